"""What a row of chats says beside its messages, and how a data set keeps it.

Tools and settings of the chat template are handed to the template, a system text becomes a message,
and a mark decides whether the row is trained on. Columns that would change what is trained on, and
that nothing here can use, are refused. Any other column is a note, and is left out.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gelora.errors import DataError
from gelora.tasks.instruction_tuning.messages import Message, read_mark, without_none
from gelora.tasks.tables import Table

if TYPE_CHECKING:
    from datasets import Dataset

OPTIONS = ("tools", "chat_template_kwargs")
"""Columns for the chat template, under TRL's names."""

_SYSTEM = ("system", "system_prompt")
_REFUSED = (
    *("documents", "functions", "function_call", "history", "enable_thinking", "chat_template"),
    *("image", "images", "video", "videos", "audio", "audios"),
)


def from_arrow(table: Table) -> bool:
    """Tell whether Arrow held the rows, which gives every object the keys of all others."""
    is_data_set = {"dataset", "folder"} & table.provenance.keys()
    return bool(is_data_set) or Path(table.source).suffix in (".parquet", ".arrow")


def row_options(table: Table) -> list[dict[str, Any]]:
    """Return what the chat template is given beside each row's messages.

    Raises:
        DataError: A column changes what is trained on and cannot be used, or a value of `tools` or
            `chat_template_kwargs` is of another kind.
    """
    for name in _REFUSED:
        row = next((row for row, v in enumerate(_values(table, name)) if not _is_empty(v)), None)
        if row is not None:
            raise DataError(
                f"Column {name!r} of {table.source} (row {row + 1}) may change what is to be "
                "trained on, and cannot be used: put it into the messages or, for the chat "
                "template, into chat_template_kwargs, or remove the column."
            )
    options: list[dict[str, Any]] = [{} for _ in range(num_rows(table))]
    for name, kind in zip(OPTIONS, (Sequence, Mapping), strict=True):
        for row, value in enumerate(_values(table, name)):
            where = f"Row {row + 1} of column {name!r} of {table.source}"
            parsed = _parsed(value, where)
            if _is_empty(parsed):
                continue
            if not isinstance(parsed, kind) or not all(_fits(part, kind) for part in parsed):
                wanted = "a list of objects" if kind is Sequence else "an object"
                raise DataError(f"{where} is not {wanted} but {value!r:.80}.")
            options[row][name] = without_none(parsed) if from_arrow(table) else parsed
    return options


def system_texts(table: Table) -> list[str]:
    """Return the system text that a column gives each row, empty where it gives none.

    Raises:
        DataError: It is no text.
    """
    texts = [""] * num_rows(table)
    for name in _SYSTEM:
        for row, value in enumerate(_values(table, name)):
            if not isinstance(value, str | None):
                raise DataError(
                    f"Row {row + 1} of column {name!r} of {table.source} is no text but "
                    f"{value!r:.50}."
                )
            texts[row] = texts[row] or (value or "").strip()
    return texts


def trained_rows(table: Table) -> list[bool]:
    """Return whether each row is to be trained on.

    Its `weight` of 0 says no, and so does a `train` or `training` of false, or a `label` of false
    beside a completion, as preferences without pairs have it.

    Raises:
        DataError: A `weight` is neither 0 nor 1.
    """
    trained = [True] * num_rows(table)
    for row, value in enumerate(_values(table, "weight")):
        if value is not None:
            trained[row] = read_mark(value, "weight", f"Row {row + 1} of {table.source}")
    names = ("train", "training", *(["label"] if "completion" in table.columns else []))
    for name in names:
        for row, value in enumerate(_values(table, name)):
            trained[row] = trained[row] and value is not False
    return trained


def num_rows(table: Table) -> int:
    """Count a table's rows."""
    return len(next(iter(table.columns.values()), ()))


def is_exact(messages: Sequence[Message], options: Mapping[str, Any]) -> bool:
    """Tell whether a data set gives back what it is given: long numbers it does not."""
    if _are_plain(messages) and not options:
        return True
    from datasets.utils.json import ujson_loads  # noqa: PLC0415 - slow, and most chats are plain

    try:
        return all(ujson_loads(json.dumps(value)) == value for value in (list(messages), options))
    except (TypeError, ValueError):
        return False


def as_dataset(columns: Mapping[str, list[Any]]) -> "Dataset":
    """Return columns as a data set, where each message keeps its own keys.

    Arrow's objects have one set of keys in all rows, with None for those that a row does not have,
    and a chat template would write these as arguments of a tool.

    Args:
        columns: Of any problem; messages are in `prompt`, `completion` or `messages`.
    """
    from datasets import Dataset, Features, Json, List  # noqa: PLC0415 - slow to import

    chats = [columns[name] for name in ("prompt", "completion", "messages") if name in columns]
    are_plain = all(
        isinstance(chat, str) or _are_plain(chat) for column in chats for chat in column
    )
    if are_plain and not any(name in columns for name in OPTIONS):
        return Dataset.from_dict(dict(columns))
    features = {name: Json() if name in OPTIONS else List(Json()) for name in columns}
    encoded = {
        name: [
            json.dumps(value) if name in OPTIONS else [json.dumps(message) for message in value]
            for value in values
        ]
        for name, values in columns.items()
    }
    return Dataset.from_dict(encoded, features=Features(features))


def chat_columns(dataset: "Dataset") -> "Dataset":
    """Return what a chat template reads of a split: prompts, completions, and what is beside."""
    names = ("prompt", "completion", *OPTIONS)
    return dataset.select_columns([name for name in names if name in dataset.column_names])


def _are_plain(messages: Sequence[Message]) -> bool:
    return all(message.keys() == {"role", "content"} for message in messages)


def _values(table: Table, name: str) -> Sequence[Any]:
    return table.columns.get(name, ())


def _parsed(value: object, where: str) -> Any:
    if not isinstance(value, str) or not value.strip():
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise DataError(f"{where} is a text that is no JSON: {value!r:.80}.") from error


def _fits(part: object, kind: type) -> bool:
    return isinstance(part, Mapping) if kind is Sequence else True


def _is_empty(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, list | dict) and not value)
