"""Messages of a chat under the names of Hugging Face, whichever names they came with.

OpenAI's and ShareGPT's forms are known, with tool calls, and marks of what is to be trained on.
What a chat template could not be given is refused, never dropped.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gelora.errors import DataError

Message = dict[str, Any]
"""`role`, with `content` or `tool_calls`, and what else a chat template reads."""

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
_NAMES = {"role": ("role", "from"), "content": ("content", "value")}
_TEMPLATE_KEYS = ("name", "tool_call_id", "reasoning_content", "reasoning", "thinking")
_CALLS = ("tool_calls", "function_call")
_KNOWN = {"role", "from", "content", "value", *_TEMPLATE_KEYS, *_CALLS, *TRAIN_KEYS}


@dataclass(frozen=True)
class Turn:
    """A message, and whether its author marked it to be trained on.

    Attributes:
        message: For the chat template.
        is_trained: None where nothing marks it.
    """

    message: Message
    is_trained: bool | None = None

    @property
    def is_reply(self) -> bool:
        """Whether the assistant says it, and no mark keeps it from being trained on."""
        return self.message["role"] == "assistant" and self.is_trained is not False


def read_turns(value: object, where: str, *, none_is_absent: bool) -> list[Turn]:
    """Read a list of messages; None is a list without any.

    Args:
        value: The list, or its JSON text.
        where: The row, for messages.
        none_is_absent: None inside tool calls is an absent key: Arrow gives every object the keys
            of all others.

    Raises:
        DataError: It is no list of messages, or a message has something that cannot be used.
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
        return {key: without_none(each) for key, each in value.items() if each is not None}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [without_none(each) for each in value]
    return value


def read_mark(value: object, name: str, where: str) -> bool:
    """Return whether a mark says that something is trained on.

    Raises:
        DataError: It is neither 0 nor 1, false nor true.
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
    # A key without a value says nothing; 0 and False do.
    given = {key: each for key, each in value.items() if each not in (None, "", [], {})}
    role = next((given[name] for name in _NAMES["role"] if name in given), None)
    if not isinstance(role, str):
        raise DataError(
            f"{where} has a message without a role; it has {', '.join(map(repr, value))}: name "
            "them 'role' and 'content'."
        )
    unknown = sorted(given.keys() - _KNOWN)
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
    return Turn(_message(role, given, value, where), _mark(role, given, where))


def _message(role: str, given: Mapping[str, Any], value: Mapping[str, Any], where: str) -> Message:
    content = next((value[name] for name in _NAMES["content"] if name in value), None)
    content = _joined(content, where) if isinstance(content, Sequence) else content
    calls = given.get("tool_calls", [])
    if "function_call" in given:
        calls = [*calls, given["function_call"]]
    if role == "function_call":  # ShareGPT's: the message is the call, as JSON
        calls, content = _called(content, where), None
    message: Message = {"role": _OTHER_ROLES.get(role, role), "content": content}
    message |= {key: given[key] for key in _TEMPLATE_KEYS if key in given}
    if calls:
        if message["role"] != "assistant":
            raise DataError(f"{where} has a call of a tool in a message of the {role}.")
        message["tool_calls"] = [_call(call, where) for call in calls]
        message["content"] = content or ""
    return message


def _joined(content: Sequence[Any], where: str) -> str:
    """Return the texts of a content's parts, a line each, as most servers join them."""
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


def _called(content: object, where: str) -> list[Any]:
    calls = _parsed(content)
    calls = calls if isinstance(calls, list) else [calls]
    return calls or _no_call(content, where)


def _call(call: Any, where: str) -> dict[str, Any]:
    """Return a call with its arguments as an object, which chat templates write as JSON."""
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        return _no_call(call, where)
    arguments = _parsed(function.get("arguments") or {})
    if not isinstance(arguments, Mapping):
        return _no_call(call, where)
    function = {**function, "arguments": dict(arguments)}
    if "function" not in call:
        return {"type": "function", "function": function}
    return {**{key: v for key, v in call.items() if v is not None}, "function": function}


def _parsed(value: Any) -> Any:
    """Return what a JSON text says; None if it says nothing."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None


def _no_call(call: object, where: str) -> Any:
    raise DataError(
        f"{where} has a call of a tool that is no object with a 'name' and 'arguments' but "
        f"{call!r:.80}."
    )


def _mark(role: str, given: Mapping[str, Any], where: str) -> bool | None:
    marks = {read_mark(given[key], key, where) for key in TRAIN_KEYS if key in given}
    if len(marks) > 1:
        raise DataError(f"{where} has a message that is marked to be trained on and not to be.")
    mark = marks.pop() if marks else None
    if mark and _OTHER_ROLES.get(role, role) != "assistant":
        raise DataError(
            f"{where} marks a message of the {role} to be trained on, and only replies of the "
            "assistant are: leave the mark out."
        )
    return mark
