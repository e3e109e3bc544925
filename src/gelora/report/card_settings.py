"""What a model card says of the settings and versions of a run; nothing private goes into it.

Numbers and switches are shown whatever their names. Text could be a path or a token, so that only
the flags listed here are shown with theirs.
"""

from collections.abc import Mapping
from typing import Any

import yaml

_TEXTS = frozenset(
    {"dtype", "attn_implementation", "config_overrides", "pooling", "states", "granularity"}
    | {"estimator", "target_modules", "rank_rule", "budget", "rounding", "init_lora_weights"}
    | {"modules_to_save", "eval_strategy", "save_strategy", "lr_scheduler_type", "optim"}
)
_QUESTION_ANSWERING = frozenset(
    {"version_2_with_negative", "doc_stride", "n_best_size", "max_answer_length"}
    | {"null_score_diff_threshold"}
)
_NAMES = {
    "gelora": "gelora",
    "peft": "PEFT",
    "transformers": "Transformers",
    "trl": "TRL",
    "torch": "PyTorch",
    "datasets": "Datasets",
    "bitsandbytes": "bitsandbytes",
}


def settings(config: Mapping[str, Any], problem: str) -> dict[str, Any]:
    """Return the flags of a run that its card shows, in their order.

    Switches that are off are left out.

    >>> flags = {"seed": 42, "bf16": "true", "use_dora": False, "hub_token": "x", "doc_stride": 128}
    >>> settings(flags, "classification")
    {'seed': 42, 'bf16': True}
    """
    read = {name: _read(value) for name, value in config.items()}
    return {
        name: value
        for name, value in read.items()
        if (isinstance(value, bool | int | float) or name in _TEXTS)
        and value is not False
        and (problem == "question_answering" or name not in _QUESTION_ANSWERING)
    }


def framework_versions(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the packages that the result depends on most, with their versions.

    The line of PEFT is the one that PEFT looks for before it adds its own.
    """
    packages: Mapping[str, str] = environment.get("packages", {})
    return [(words, packages[name]) for name, words in _NAMES.items() if name in packages]


def _read(value: Any) -> Any:
    """Return a flag's value; those that are passed on are kept as they were typed."""
    if not isinstance(value, str):
        return value
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value
