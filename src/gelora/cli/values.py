"""Flags as texts: from a command line or YAML, to Python values, and back to a command line.

A text becomes a number or a truth value only if that is written as the same text again, so `no`,
`2024_01` and `1e-3` stay as they are. YAML 1.1 would turn the first two into False and 202401.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

import yaml

from gelora.errors import ConfigError

Texts = dict[str, list[str]]
"""The values of every flag, as they are written on a command line."""


class _TextLoader(yaml.SafeLoader):
    """Reads every scalar but null as text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own class attribute
        first: [resolver for resolver in resolvers if resolver[0].endswith(":null")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of one flag per line.

    Raises:
        ConfigError: It is missing, no YAML, or holds no keys.
    """
    try:
        content: object = yaml.load(path.read_text(encoding="utf-8"), Loader=_TextLoader)
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
    return {str(key).replace("-", "_"): _of_yaml(value) for key, value in values.items()}


def as_texts(values: Mapping[str, Any]) -> Texts:
    """Return the values of flags as texts; a flag whose value is None is left to its default.

    >>> as_texts({"seed": 1, "text_columns": ["a", "b"], "bf16": True, "max_rank": None})
    {'seed': ['1'], 'text_columns': ['a', 'b'], 'bf16': ['True']}
    """
    texts: Texts = {}
    for name, value in values.items():
        if isinstance(value, list | tuple):
            texts[name] = list(map(str, cast("Iterable[object]", value)))
        elif value is not None:
            texts[name] = [json.dumps(value) if isinstance(value, dict) else str(value)]
    return texts


def as_arguments(values: Mapping[str, Any]) -> list[str]:
    """Return a mapping as the tokens of a command line.

    >>> as_arguments({"seed": 1, "text_columns": ["a", "b"], "bf16": True, "max_rank": None})
    ['--seed=1', '--text_columns', 'a', 'b', '--bf16=True']
    """
    arguments: list[str] = []
    for name, texts in as_texts(values).items():
        is_list = isinstance(values[name], list | tuple)
        arguments += [f"--{name}", *texts] if is_list else [f"--{name}={texts[0]}"]
    return arguments


def split_flags(arguments: Sequence[str]) -> tuple[list[str], Texts]:
    """Return the values that stand before any flag, and the flags; of a repeated flag, the last.

    >>> split_flags(["runs/one", "--text-columns", "a", "b", "--bf16", "--run-name=a-b"])
    (['runs/one'], {'text_columns': ['a', 'b'], 'bf16': [], 'run_name': ['a-b']})
    """
    leading = list(takewhile(lambda token: not token.startswith("--"), arguments))
    flags: Texts = {}
    texts: list[str] = []
    for token in arguments[len(leading) :]:
        if token.startswith("--"):
            name, equals, value = token.removeprefix("--").partition("=")
            texts = flags[name.replace("-", "_")] = [value] if equals else []
        else:
            texts.append(token)
    return leading, flags


def as_mapping(arguments: Sequence[str]) -> dict[str, Any]:
    """Return flags as a mapping, the inverse of `as_arguments`.

    >>> as_mapping(["--max_steps", "10", "--bf16", "--run_name=2024_01"])
    {'max_steps': 10, 'bf16': True, 'run_name': '2024_01'}

    Raises:
        ConfigError: A value stands before any flag.
    """
    leading, flags = split_flags(arguments)
    refuse_stray(leading)
    return {name: value_of(texts) for name, texts in flags.items()}


def refuse_stray(texts: Sequence[str]) -> None:
    """Check that there is no value that no flag takes.

    Raises:
        ConfigError: There is one; the message guesses its flag.
    """
    if texts:
        is_file = Path(texts[0]).suffix or Path(texts[0]).is_file()
        raise ConfigError(
            f"{texts[0]!r} is no flag, and no flag before it takes it. Did you mean "
            f"--{'train_file' if is_file else 'output_dir'} {texts[0]}?"
        )


def value_of(texts: Sequence[str]) -> Any:
    """Return the value of a flag whose type is not known here: True, one value, or a list."""
    values = list(map(_regainable, texts))
    return (values or [True])[0] if len(values) <= 1 else values


def _of_yaml(value: Any) -> Any:
    if isinstance(value, str):
        return _regainable(value)
    if isinstance(value, list):
        return [_of_yaml(item) for item in cast("list[Any]", value)]
    return _of_json(value)


def _regainable(text: str) -> Any:
    """Return the number, truth value or mapping in a text, if it is written as the same text."""
    written = {"True": "true", "False": "false"}.get(text, text)
    value = _of_json(written)
    is_regained = isinstance(value, int | float | dict) and json.dumps(value) == written
    return cast("Any", value) if is_regained else text


def _of_json(value: Any) -> Any:
    """Return texts that are JSON as its values, also inside mappings and lists."""
    if isinstance(value, dict):
        return {k: _of_json(v) for k, v in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_of_json(item) for item in cast("list[Any]", value)]
    try:
        return json.loads(value, parse_constant=str) if isinstance(value, str) else value
    except ValueError:
        return value
