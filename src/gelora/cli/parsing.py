"""From a command line, and the YAML file it may name, to a `Config`; every other flag refused.

YAML has no parser of its own: each key becomes its flag, placed before those of the command line,
so that the later one wins and both are read the same way. Loads no torch; only where flags are
passed on to `transformers.TrainingArguments`, or a YAML key may be one, is transformers imported.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, field, fields, make_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import yaml

from gelora.cli.config import FLAGS, GROUPS, VERBS, Config, flags_of
from gelora.errors import ConfigError

SWITCHES = frozenset(
    flag.name for group in GROUPS.values() for flag in fields(group) if flag.type is bool
)


def parse(verb: str, arguments: Sequence[str]) -> Config:
    """Read a verb's flags; `--help` prints them and leaves by SystemExit.

    Raises:
        ConfigError: A flag or YAML key is unknown, or the file cannot be read.
        SystemExit: A value is of the wrong type (code 2), or help was asked for (0).
    """
    import tyro

    path = _config_path(arguments)
    keys = read_yaml(path) if path is not None else {}
    tokens = [*as_arguments(_for_verb(verb, keys, path)), *arguments]
    parsed, rest = cast(
        "tuple[Any, list[str]]",
        tyro.cli(
            _flags_type(verb),
            prog=f"gelora {verb}",
            description=_description(verb),
            args=_plain_switches(tokens),
            return_unknown_args=True,
            use_underscores=True,
            config=(tyro.conf.OmitArgPrefixes,),
        ),
    )
    extra = as_mapping(rest)
    if not VERBS[verb].forwards:
        for name in extra:
            raise unknown_flag(name, flags_of(verb))
    return Config(**{group: getattr(parsed, group) for group in VERBS[verb].groups}, extra=extra)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a flat YAML file: keys are flags.

    Raises:
        ConfigError: It is missing, no YAML, or not flat.
    """
    try:
        content: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The config file {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"The config file {path} is not YAML: {problem}.") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"The config file {path} holds no keys: write one flag: value per line.")
    values = cast("dict[Any, Any]", content)
    for key, value in values.items():
        if isinstance(value, dict):
            raise ConfigError(
                f"The key {key!r} in {path} holds keys of its own: write one flag: value per line."
            )
    return {str(key).replace("-", "_"): value for key, value in values.items()}


def as_arguments(values: Mapping[str, Any]) -> list[str]:
    """Return a mapping as flags; a key whose value is None is left to its default.

    >>> as_arguments({"seed": 1, "text_columns": ["a", "b"], "bf16": True, "max_rank": None})
    ['--seed=1', '--text_columns', 'a', 'b', '--bf16=True']
    """
    arguments: list[str] = []
    for name, value in values.items():
        if isinstance(value, list | tuple):
            arguments += [f"--{name}", *map(str, cast("Iterable[object]", value))]
        elif value is not None:
            arguments.append(f"--{name}={value}")
    return arguments


def as_mapping(arguments: Sequence[str]) -> dict[str, Any]:
    """Return flags as a mapping, the inverse of `as_arguments`; values are read as YAML's.

    >>> as_mapping(["--max_steps", "10", "--bf16", "--optim=sgd"])
    {'max_steps': 10, 'bf16': True, 'optim': 'sgd'}

    Raises:
        ConfigError: A value stands before any flag.
    """
    found: dict[str, list[str]] = {}
    name = None
    for token in arguments:
        if token.startswith("--"):
            name, equals, value = token.removeprefix("--").partition("=")
            name = name.replace("-", "_")
            found[name] = [value] if equals else []
        elif name is None:
            raise ConfigError(f"{token!r} is no flag, and no flag before it takes it.")
        else:
            found[name].append(token)
    return {name: _value(values) for name, values in found.items()}


def unknown_flag(name: str, known: Iterable[str], *, key_in: Path | None = None) -> ConfigError:
    """Return the error for a flag, or a key in a file, that is not known, naming the nearest."""
    shown = f"flag --{name}" if key_in is None else f"flag for the key {name!r} in {key_in}"
    verbs = [f"gelora {verb}" for verb in VERBS if name in flags_of(verb)]
    elsewhere = f"; it is one of {', '.join(verbs)}." if verbs else "; --help lists all flags."
    return ConfigError(f"There is no {shown}{nearest(name, known) or elsewhere}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that is nearest, or an empty text.

    >>> nearest("mesure", ["measure", "plan"])
    "; did you mean 'measure'?"
    """
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.7)
    return f"; did you mean {near[0]!r}?" if near else ""


def training_fields() -> frozenset[str]:
    """Return the names of all flags of `transformers.TrainingArguments`."""
    from transformers import TrainingArguments

    return frozenset(one.name for one in fields(TrainingArguments))


def _config_path(arguments: Sequence[str]) -> Path | None:
    """Return the last --config, before the parser that its content goes into runs."""
    path = None
    for token, following in pairwise([*arguments, ""]):
        flag, equals, value = token.partition("=")
        if flag == "--config":
            path = Path(value if equals else following)
    return path


def _for_verb(verb: str, keys: Mapping[str, Any], path: Path | None) -> dict[str, Any]:
    """Keep a file's keys that are this verb's: one file serves all verbs of a run."""
    foreign = [name for name in keys if name not in FLAGS]
    if foreign:
        known = training_fields()
        for name in foreign:
            if name not in known:
                raise unknown_flag(name, known | FLAGS.keys(), key_in=path)
    mine = flags_of(verb)
    forwards = VERBS[verb].forwards
    return {k: v for k, v in keys.items() if k in mine or (forwards and k not in FLAGS)}


def _flags_type(verb: str) -> type:
    groups: list[tuple[str, type, Field[Any]]] = [
        (name, GROUPS[name], field(default_factory=GROUPS[name])) for name in VERBS[verb].groups
    ]
    return make_dataclass(verb, groups, frozen=True)


def _description(verb: str) -> str:
    more = " Every other flag of transformers.TrainingArguments is passed on to it."
    return VERBS[verb].summary + (more if VERBS[verb].forwards else "")


def _plain_switches(tokens: Sequence[str]) -> list[str]:
    """Turn `--flag true` and `--flag=false`, as Hugging Face takes them, into --flag, --no_flag."""
    plain: list[str] = []
    switch = None
    for token in tokens:
        flag, equals, value = token.partition("=")
        word = (value if equals else token).lower()
        name = flag.removeprefix("--").replace("-", "_")
        if switch is not None and not equals and word in ("true", "false"):
            plain[-1] = f"--{switch}" if word == "true" else f"--no_{switch}"
            switch = None
        elif flag.startswith("--") and name in SWITCHES:
            off = equals and word == "false"
            plain.append(f"--no_{name}" if off else f"--{name}")
            switch = None if equals else name
        else:
            plain.append(token)
            switch = None
    return plain


def _value(values: list[str]) -> Any:
    if not values:
        return True
    read = [yaml.safe_load(value) for value in values]
    return read[0] if len(read) == 1 else read
