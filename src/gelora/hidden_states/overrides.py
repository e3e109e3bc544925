"""Settings of a model's config given as text: `cls_dropout=0.1,attention_dropout=0`."""

import difflib
import json
from typing import Any

from transformers import PreTrainedConfig

from gelora.errors import ConfigError

# Settings that a model reads though its config does not list them, by the kind of model.
UNLISTED = {"deberta": {"cls_dropout": None}, "deberta-v2": {"cls_dropout": None}}
_TRUTH = {"true": True, "false": False}


def override(config: PreTrainedConfig, settings: str) -> None:
    """Change a config in place.

    Args:
        config: The model's.
        settings: `NAME=VALUE`, separated by commas; a value is read as the kind it replaces.

    Raises:
        ConfigError: There is no setting of that name, or it takes no such value.

    >>> from transformers import BertConfig
    >>> config = BertConfig()
    >>> override(config, "hidden_dropout_prob=0,num_hidden_layers=3")
    >>> config.hidden_dropout_prob, config.num_hidden_layers
    (0.0, 3)
    """
    known = {**UNLISTED.get(config.model_type, {}), **config.to_dict()}
    known |= {name: known.get(listed) for name, listed in config.attribute_map.items()}
    for setting in settings.split(","):
        name, equals, text = (part.strip() for part in setting.partition("="))
        if not equals:
            raise ConfigError(
                f"config_overrides takes NAME=VALUE, separated by commas. Got {setting!r}."
            )
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f": did you mean {near[0]}?" if near else "."
            raise ConfigError(
                f"The config of a {config.model_type} model has no setting {name!r}{hint}"
            )
        setattr(config, name, _read(name, text, instead_of=known[name]))


def _read(name: str, text: str, *, instead_of: Any) -> Any:
    """Read a value as the kind that it replaces; where that is None, as what it looks like."""
    try:
        if isinstance(instead_of, bool):
            return _TRUTH[text.lower()]
        if isinstance(instead_of, int | float):
            number = float(text)
            # 0 and 1 may stand for a share; a count of layers or heads is whole and not below 0.
            is_count = isinstance(instead_of, int) and instead_of > 1
            if is_count and (not number.is_integer() or number < 0):
                raise ValueError  # noqa: TRY301 - told below
            return int(number) if isinstance(instead_of, int) and number.is_integer() else number
        if isinstance(instead_of, str):
            return text
        return _TRUTH[text.lower()] if text.lower() in _TRUTH else json.loads(text)
    except (KeyError, ValueError) as error:
        if instead_of is None:
            return text
        raise ConfigError(
            f"config_overrides cannot set {name}, which is {instead_of!r}, to {text!r}."
        ) from error
