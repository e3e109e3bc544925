"""Convert the values of flags between YAML, a command line and Python.

Every value is read as text first. It becomes a number or a truth value only if that is written as
the same text again, so `no`, `2024_01` and `1e-3` stay as they are. YAML 1.1 would turn the first
two into False and 202401.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from gelora.errors import ConfigError


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
            text = json.dumps(value) if isinstance(value, dict) else str(value)
            arguments.append(f"--{name}={text}")
    return arguments


def as_mapping(arguments: Sequence[str]) -> dict[str, Any]:
    """Return flags as a mapping, the inverse of `as_arguments`.

    >>> as_mapping(["--max_steps", "10", "--bf16", "--run_name=2024_01"])
    {'max_steps': 10, 'bf16': True, 'run_name': '2024_01'}

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
            is_file = Path(token).suffix or Path(token).is_file()
            hint = f" Did you mean --{'train_file' if is_file else 'output_dir'} {token}?"
            raise ConfigError(f"{token!r} is no flag, and no flag before it takes it.{hint}")
        else:
            found[name].append(token)
    return {name: _of_tokens(values) for name, values in found.items()}


def _of_tokens(values: list[str]) -> Any:
    if not values:
        return True
    read = [_regainable(value) for value in values]
    return read[0] if len(read) == 1 else read


def _of_yaml(value: Any) -> Any:
    if isinstance(value, str):
        return _regainable(value)
    if isinstance(value, list):
        return [_of_yaml(item) for item in cast("list[Any]", value)]
    return _of_json(value)


def _regainable(text: str) -> Any:
    """Return the number, truth value or mapping that a text says, if its text can be regained."""
    said = {"True": "true", "False": "false"}.get(text, text)
    read = _of_json(said)
    is_regained = isinstance(read, int | float | dict) and json.dumps(read) == said
    return cast("Any", read) if is_regained else text


def _of_json(value: Any) -> Any:
    """Return what texts say as JSON, also inside mappings and lists; other texts as they are."""
    if isinstance(value, dict):
        return {k: _of_json(v) for k, v in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_of_json(item) for item in cast("list[Any]", value)]
    try:
        return json.loads(value, parse_constant=str) if isinstance(value, str) else value
    except ValueError:
        return value
