"""Write conversations by a tokenizer's chat template, and tell in words what it refuses.

A template is a program of the model's authors. It may raise on a role, fail on a key that is not
there, or leave out what it does not know: tools, their calls and answers, a system text.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError
from transformers import PreTrainedTokenizerBase

from gelora.errors import ConfigError, DataError

Example = Mapping[str, Any]
Message = Mapping[str, Any]

_ANOTHER = (
    "name another chat template with --chat_template_path (in Python, tokenizer.chat_template)"
)
# What a template's program raises, on purpose or on data that it does not expect.
_ERRORS = (TemplateError, TypeError, ValueError, LookupError, AttributeError)


def conversation_of(example: Example) -> list[Message]:
    """Return all messages of an example."""
    if "messages" in example:
        return list(example["messages"])
    return [*example["prompt"], *example["completion"]]


def template_options(example: Example) -> dict[str, Any]:
    """Return what the template is given beside the messages, as TRL hands it over."""
    tools = example.get("tools")
    tools = json.loads(tools) if isinstance(tools, str) and tools else tools
    return {**({"tools": tools} if tools else {}), **(example.get("chat_template_kwargs") or {})}


def render(
    tokenizer: PreTrainedTokenizerBase,
    conversation: Sequence[Message],
    *,
    where: str,
    **options: Any,
) -> Any:
    """Return what `apply_chat_template` makes of a conversation.

    Args:
        tokenizer: With a chat template.
        conversation: Its messages.
        where: Which conversation, for messages.
        **options: Of `apply_chat_template`.

    Raises:
        ConfigError: The template is no valid Jinja.
        DataError: The template refuses the conversation.
    """
    try:
        return tokenizer.apply_chat_template([dict(m) for m in conversation], **options)
    except TemplateSyntaxError as error:
        raise ConfigError(
            f"The tokenizer's chat template is no valid Jinja (line {error.lineno}: "
            f"{error.message}): mend it, or {_ANOTHER}."
        ) from error
    except _ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        reason += "" if reason.endswith((".", "!", "?")) else "."
        raise DataError(
            f"The tokenizer's chat template refuses {where}{_beginning(conversation)}: "
            f"{reason} {_advice(tokenizer, conversation, options)}"
        ) from error


def check_written(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]) -> None:
    """Check that the template takes every conversation, and writes all that it is given.

    Each kind of part is tried on the first conversation that has it, and the names of tools that
    are called are sought in all.

    Raises:
        ConfigError: The template is no valid Jinja.
        DataError: The template refuses a conversation, or leaves out a part of one.
    """
    tried: set[str] = set()
    for index, example in enumerate(examples):
        conversation, options = conversation_of(example), template_options(example)
        parts = dict(_without_parts(conversation, options))
        calls = [call for message in conversation for call in message.get("tool_calls") or ()]
        where = f"the conversation at index {index}"
        text = render(tokenizer, conversation, where=where, tokenize=False, **options)
        names = [str((call.get("function") or call).get("name", "")) for call in calls]
        lost = next((f"the call of {name!r}" for name in names if name not in text), None)
        for name, (others, other_options) in parts.items():
            if lost is None and name not in tried:
                tried.add(name)
                if _text(tokenizer, others, other_options) == text:
                    lost = name
        if lost is not None:
            raise DataError(
                f"The tokenizer's chat template leaves out {lost} in {where}"
                f"{_beginning(conversation)}, so it would not be trained on: {_ANOTHER} that "
                "writes it, or remove it from the rows."
            )


def _without_parts(
    conversation: list[Message], options: dict[str, Any]
) -> Iterator[tuple[str, tuple[list[Message], dict[str, Any]]]]:
    """Yield the name of every part that a template may leave out, and the rest without it."""
    if "tools" in options:
        yield "the tools", (conversation, {k: v for k, v in options.items() if k != "tools"})
    # Which tool answers is for the template to say; it may go by the order alone.
    for key, free in (("tool_calls", ""), ("name", "tool")):
        has_key = [key in message and message.get("role") != free for message in conversation]
        if any(has_key):
            pairs = zip(conversation, has_key, strict=True)
            others = [{k: v for k, v in m.items() if k != key} if has else m for m, has in pairs]
            yield f"{key!r} of a message", (others, options)
    for key in ("reasoning_content", "reasoning", "thinking"):
        if conversation[-1].get(key):  # templates leave out earlier thoughts on purpose
            last = {k: v for k, v in conversation[-1].items() if k != key}
            yield f"{key!r} of the last reply", ([*conversation[:-1], last], options)
    for role in ("system", "developer", "tool"):
        if any(m.get("role") == role and m.get("content") for m in conversation):
            others = [{**m, "content": ""} if m.get("role") == role else m for m in conversation]
            yield f"the messages of the {role}", (others, options)


def _text(
    tokenizer: PreTrainedTokenizerBase, conversation: Sequence[Message], options: Mapping[str, Any]
) -> str | None:
    """Return a conversation as text; None if the template refuses it."""
    try:
        return str(
            tokenizer.apply_chat_template(
                [dict(m) for m in conversation], **{**options, "tokenize": False}
            )
        )
    except _ERRORS:
        return None


def _beginning(conversation: Sequence[Message]) -> str:
    """Return the first words of a conversation, by which its row can be found."""
    first = conversation[0].get("content") if conversation else None
    return f", which begins {first[:40]!r}" if isinstance(first, str) and first else ""


def _advice(
    tokenizer: PreTrainedTokenizerBase,
    conversation: Sequence[Message],
    options: Mapping[str, Any],
) -> str:
    """Return what gets past a refusal: the first change that the template takes."""
    changes = {
        "Put the system text at the beginning of the user's first message": _folded(conversation),
        "Join messages of one role that follow each other": _merged(conversation),
        "Leave out what stands before the user's first message": _from_user(conversation),
    }
    for advice, changed in changes.items():
        if changed != list(conversation) and _text(tokenizer, changed, options) is not None:
            return f"{advice}, or {_ANOTHER}."
    return f"Change the row or leave it out, or {_ANOTHER}."


def _folded(conversation: Sequence[Message]) -> list[Message]:
    """Return the conversation with its system text in the first message of the user."""
    if len(conversation) < 2 or conversation[0].get("role") not in ("system", "developer"):
        return list(conversation)
    system, user, *rest = conversation
    return [{**user, "content": _both(system, user)}, *rest]


def _merged(conversation: Sequence[Message]) -> list[Message]:
    """Return the conversation with messages of one role in succession as one."""
    merged: list[Message] = []
    for message in conversation:
        if merged and merged[-1].get("role") == message.get("role") and "tool_calls" not in message:
            merged[-1] = {**merged[-1], "content": _both(merged[-1], message)}
        else:
            merged.append(message)
    return merged


def _from_user(conversation: Sequence[Message]) -> list[Message]:
    """Return the conversation from the user's first message on, behind a system text."""
    users = [index for index, m in enumerate(conversation) if m.get("role") == "user"]
    head = [m for m in conversation[:1] if m.get("role") in ("system", "developer")]
    return [*head, *conversation[users[0] :]] if users else list(conversation)


def _both(first: Message, second: Message) -> str:
    """Return the texts of two messages, a blank line between them."""
    return "\n\n".join(str(message.get("content") or "") for message in (first, second))
