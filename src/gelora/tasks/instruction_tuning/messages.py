"""Read the messages of chats, and the columns beside them, under Hugging Face's names.

OpenAI's and ShareGPT's forms are known, with tool calls and marks that say what to train on. Tools
and settings go to the chat template, and a system text becomes a message. A field that would change
the training and cannot be used is refused. Any other column is left out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gelora.errors import DataError
from gelora.tasks.tables import BINARY, Table

if TYPE_CHECKING:
    from datasets import Dataset

Message = dict[str, Any]
"""`role`, with `content` or `tool_calls`, and other keys that a chat template reads."""

TRAIN_KEYS = ("weight", "train", "training", "loss")
"""Keys of a message that say whether it carries loss: 0 or 1, false or true."""

_ROLES = ("system", "developer", "user", "assistant", "tool")
_OTHER_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "function_call": "assistant",
    "function": "tool",
    "function_response": "tool",
    "observation": "tool",
}
_TEMPLATE_KEYS = ("name", "tool_call_id", "reasoning_content", "reasoning", "thinking")
_CALLS = ("tool_calls", "function_call")
_KNOWN = {"role", "from", "content", "value", *_TEMPLATE_KEYS, *_CALLS, *TRAIN_KEYS}


@dataclass(frozen=True)
class Turn:
    """A message, and its mark that says whether to train on it.

    Attributes:
        message: The message as the chat template reads it.
        is_trained: The mark; None where there is none.
    """

    message: Message
    is_trained: bool | None = None

    @property
    def is_reply(self) -> bool:
        """Whether the assistant says it, and no mark excludes it from training."""
        return self.message["role"] == "assistant" and self.is_trained is not False


def read_turns(value: object, where: str, *, none_is_absent: bool) -> list[Turn]:
    """Read a list of messages; None is a list without any.

    Args:
        value: The list, or its JSON text.
        where: Name of the row in errors.
        none_is_absent: Whether a key with None is absent. Arrow gives every object the keys of all
            others.

    Raises:
        DataError: The value is no list of messages, or a message cannot be used.
    """
    if value is None:
        return []
    messages = _parsed(value)
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        raise DataError(f"{where} is no list of messages but {value!r:.50}.")
    return [_turn(without_none(m) if none_is_absent else m, where) for m in messages]


def without_none(value: Any) -> Any:
    """Return a value without the keys that are None, at any depth."""
    if isinstance(value, Mapping):
        return {key: without_none(part) for key, part in value.items() if part is not None}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [without_none(part) for part in value]
    return value


def read_mark(value: object, name: str, where: str) -> bool:
    """Return whether a mark says to train on its row or message.

    Raises:
        DataError: The mark is neither 0 nor 1, false nor true.
    """
    if not isinstance(value, int | float) or value not in (0, 1):
        raise DataError(
            f"{where} has {name!r} {value!r:.50}, and a part is either trained on (1, true) or not "
            f"(0, false): change it, or leave {name!r} out."
        )
    return bool(value)


def has_content(message: Message) -> bool:
    """Tell whether a message says or calls anything."""
    return bool(message.get("tool_calls")) or bool(message["content"].strip())


def _turn(value: object, where: str) -> Turn:
    if not isinstance(value, Mapping):
        raise DataError(f"{where} has a message that is no object but {value!r:.50}.")
    # Empty values are ignored; 0 and False are values.
    fields = {key: part for key, part in value.items() if part not in (None, "", [], {})}
    role = fields.get("role", fields.get("from"))
    if not isinstance(role, str):
        raise DataError(
            f"{where} has a message without a role; it has {', '.join(map(repr, value))}: name "
            "them 'role' and 'content'."
        )
    unknown = sorted(fields.keys() - _KNOWN)
    if unknown:
        raise DataError(
            f"{where} has a message with {', '.join(map(repr, unknown))}, which may change what is "
            "to be trained on and is not known here: remove it from the messages. Known are "
            f"{', '.join(sorted(_KNOWN))}."
        )
    if _OTHER_ROLES.get(role, role) not in _ROLES:
        raise DataError(
            f"{where} has a message of the role {role!r}, which no chat template is known to "
            f"write: use {', '.join(_ROLES)}, or ShareGPT's human and gpt."
        )
    return Turn(_message(role, fields, value, where), _mark(role, fields, where))


def _message(role: str, fields: Mapping[str, Any], value: Mapping[str, Any], where: str) -> Message:
    content = value.get("content", value.get("value"))
    content = _joined(content, where) if isinstance(content, Sequence) else content
    calls = fields.get("tool_calls", [])
    if "function_call" in fields:
        calls = [*calls, fields["function_call"]]
    if role == "function_call":  # in ShareGPT's form the message is the call, as JSON
        parsed = _parsed(content)
        calls = parsed if isinstance(parsed, list) else [parsed]
        if not calls:
            raise _no_call(content, where)
        content = None
    message: Message = {"role": _OTHER_ROLES.get(role, role), "content": content}
    message |= {key: fields[key] for key in _TEMPLATE_KEYS if key in fields}
    if calls:
        if message["role"] != "assistant":
            raise DataError(f"{where} has a call of a tool in a message of the {role}.")
        message["tool_calls"] = [_call(call, where) for call in calls]
        message["content"] = content or ""
    return message


def _joined(content: Sequence[Any], where: str) -> str:
    """Join the texts of a content's parts by line ends, as most servers do."""
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for part in content:
        kind = part.get("type", "text") if isinstance(part, Mapping) else type(part).__name__
        text = part.get("text") if isinstance(part, Mapping) else None
        others = without_none(part).keys() - {"type", "text"} if text is not None else ()
        if kind not in ("text", "input_text", "output_text") or not isinstance(text, str) or others:
            raise DataError(
                f"{where} has a message with a part of the type {kind!r}, {part!r:.50}, and only "
                "texts are trained on: remove the row, or the part."
            )
        texts.append(text)
    return "\n".join(texts)


def _call(call: Any, where: str) -> dict[str, Any]:
    """Return a call with its arguments as an object, which chat templates write as JSON."""
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise _no_call(call, where)
    arguments = _parsed(function.get("arguments") or {})
    if not isinstance(arguments, Mapping):
        raise _no_call(call, where)
    function = {**function, "arguments": dict(arguments)}
    if "function" not in call:
        return {"type": "function", "function": function}
    return {**{key: v for key, v in call.items() if v is not None}, "function": function}


def _parsed(value: Any) -> Any:
    """Return the value of a JSON text, None if it is no JSON; other values as they are."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None


def _no_call(call: object, where: str) -> DataError:
    return DataError(
        f"{where} has a call of a tool that is no object with a 'name' and 'arguments' but "
        f"{call!r:.80}."
    )


def _mark(role: str, fields: Mapping[str, Any], where: str) -> bool | None:
    marks = {read_mark(fields[key], key, where) for key in TRAIN_KEYS if key in fields}
    if len(marks) > 1:
        raise DataError(f"{where} has a message that is marked to be trained on and not to be.")
    mark = marks.pop() if marks else None
    if mark and _OTHER_ROLES.get(role, role) != "assistant":
        raise DataError(
            f"{where} marks a message of the {role} to be trained on, and only replies of the "
            "assistant are: leave the mark out."
        )
    return mark


OPTIONS = ("tools", "chat_template_kwargs")
"""Columns that are passed to the chat template, under TRL's names."""

_SYSTEM = ("system", "system_prompt")
_REFUSED = (
    *("documents", "functions", "function_call", "history", "enable_thinking", "chat_template"),
    *("image", "images", "video", "videos", "audio", "audios"),
)


def from_arrow(table: Table) -> bool:
    """Tell whether Arrow held the rows, which gives every object the keys of all others."""
    is_dataset = bool({"dataset", "folder"} & table.provenance.keys())
    return is_dataset or Path(table.source).suffix in BINARY


def row_options(table: Table) -> list[dict[str, Any]]:
    """Return the arguments of the chat template that each row has beside its messages.

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
    options: list[dict[str, Any]] = [{} for _ in range(table.num_rows)]
    for name in OPTIONS:
        for row, value in enumerate(_values(table, name)):
            option = _option(name, value, f"Row {row + 1} of column {name!r} of {table.source}")
            if not _is_empty(option):
                options[row][name] = without_none(option) if from_arrow(table) else option
    return options


def _option(name: str, value: Any, where: str) -> Any:
    """Return a value of `tools` or `chat_template_kwargs`, which may be JSON text."""
    option = value
    if isinstance(value, str) and value.strip():
        try:
            option = json.loads(value)
        except ValueError as error:
            raise DataError(f"{where} is a text that is no JSON: {value!r:.80}.") from error
    if _is_empty(option):
        return None
    is_list = isinstance(option, list | tuple)
    if name == "tools" and not (is_list and all(isinstance(tool, Mapping) for tool in option)):
        raise DataError(f"{where} is not a list of objects but {value!r:.80}.")
    if name != "tools" and not isinstance(option, Mapping):
        raise DataError(f"{where} is not an object but {value!r:.80}.")
    return option


def system_texts(table: Table) -> list[str]:
    """Return the system text that a column gives each row, empty where it gives none.

    Raises:
        DataError: It is no text.
    """
    texts = [""] * table.num_rows
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

    A row is left out if its `weight` is 0, its `train` or `training` is false, or its `label` is
    false beside a completion, as in unpaired preferences.

    Raises:
        DataError: A `weight` is neither 0 nor 1.
    """
    trained = [True] * table.num_rows
    for row, value in enumerate(_values(table, "weight")):
        if value is not None:
            trained[row] = read_mark(value, "weight", f"Row {row + 1} of {table.source}")
    names = ("train", "training", *(["label"] if "completion" in table.columns else []))
    for name in names:
        for row, value in enumerate(_values(table, name)):
            trained[row] = trained[row] and value is not False
    return trained


def is_exact(messages: Sequence[Message], options: Mapping[str, Any]) -> bool:
    """Tell whether a data set returns a chat unchanged; long numbers lose digits."""
    if _are_plain(messages) and not options:
        return True
    from datasets.utils.json import ujson_loads  # noqa: PLC0415 - slow, and most chats are plain

    try:
        return all(ujson_loads(json.dumps(value)) == value for value in (list(messages), options))
    except (TypeError, ValueError):
        return False


def as_dataset(columns: Mapping[str, list[Any]]) -> "Dataset":
    """Return columns as a data set, where each message keeps its own keys.

    Arrow's objects have the same keys in all rows, with None where a row lacks a key. A chat
    template would write these keys as arguments of a tool.

    Args:
        columns: Columns of any problem; messages are in `prompt`, `completion` or `messages`.
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
    """Return the columns of a split that a chat template reads."""
    names = ("prompt", "completion", *OPTIONS)
    return dataset.select_columns([name for name in names if name in dataset.column_names])


def _are_plain(messages: Sequence[Message]) -> bool:
    return all(message.keys() == {"role", "content"} for message in messages)


def _values(table: Table, name: str) -> Sequence[Any]:
    return table.columns.get(name, ())


def _is_empty(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, list | dict) and not value)
