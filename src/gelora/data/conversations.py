"""Read instructions and chats as prompts with completions: what a causal model is tuned on.

Rows are chats (`messages`, or `conversations` as ShareGPT has them), prompts with completions, or
texts beside answers, as Alpaca's, which become a chat of one turn. Rows that cannot be used are
counted and warned of. No tokenizer is seen here.
"""

import logging
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from gelora.data.columns import column
from gelora.data.rows import Rows
from gelora.data.tables import Table
from gelora.errors import ConfigError, DataError, SkippedRowsWarning
from gelora.tasks import Task

logger = logging.getLogger(__name__)

Message = dict[str, str]
Part = str | list[Message]
"""A prompt or a completion: a text, or messages."""

CHAT_COLUMNS = ("messages", "conversations")
_ALPACA = ("instruction", "input"), "output"
_SHAREGPT_ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant"}
_KNOWN_KEYS = {"role", "content", "from", "value"}


@dataclass(frozen=True)
class Example:
    """One row: what the model is given, and what it is to say."""

    prompt: Part
    completion: Part

    @property
    def fault(self) -> str | None:
        """Why this row cannot be trained on, if it cannot."""
        if self.completion == "":
            return "without a completion"
        if not isinstance(self.completion, str) and not any(map(_is_reply, self.completion)):
            return "without an assistant turn"
        if not self.prompt:
            return "without a prompt"
        texts = [text for part in (self.prompt, self.completion) for text in _texts(part)]
        if not all(isinstance(text, str) for text in texts):
            return "with a message that is no text"
        if not any(text.strip() for text in _texts(self.completion)):
            return "with an empty completion"
        has_prompt = any(text.strip() for text in _texts(self.prompt))
        return None if has_prompt else "with an empty prompt"


def conversation_splits(
    train_table: Table | None,
    validation_table: Table | None,
    *,
    task: Task | None,
    text_columns: Sequence[str] | None,
    label_column: str | None,
) -> tuple[Rows | None, Rows | None]:
    """Return the rows of both tables as `prompt` and `completion`, both texts or both messages.

    Of a chat the completion is the assistant's last reply, and the prompt all before it. Columns
    that are named, or the task's, are texts: they become the user's message, a blank line between
    two, and the answer the assistant's. Without names, columns called `prompt` and `completion`
    are taken as they are.

    Args:
        train_table: Rows to train on, or None.
        validation_table: Rows to validate on, or None.
        task: A known task, whose columns are taken if none are named.
        text_columns: One column of chats, or one or two of texts.
        label_column: The answers to the texts.

    Raises:
        ConfigError: Texts are named and no answers, or answers and no texts.
        DataError: A column is missing, a value is of another kind, or no row can be used.

    Warns:
        SkippedRowsWarning: Rows cannot be used.
    """
    if task is not None:
        text_columns = text_columns or task.text_columns
        label_column = label_column or task.label_column
    train, validation = (
        None if table is None else _usable(table, _read(table, text_columns, label_column))
        for table in (train_table, validation_table)
    )
    return train, validation


def _read(
    table: Table, text_columns: Sequence[str] | None, label_column: str | None
) -> list[Example]:
    """Return every row of a table, usable or not."""
    if text_columns is not None and label_column is None and len(text_columns) == 1:
        return _chats(table, text_columns[0])
    if text_columns is not None or label_column is not None:
        if not text_columns or label_column is None or len(text_columns) > 2:
            raise ConfigError(
                "Instruction tuning takes one or two text_columns and a label_column beside them, "
                f"or one text column of chats; got {text_columns} and {label_column}."
            )
        return _instructions(table, text_columns, label_column)
    for name in CHAT_COLUMNS:
        if name in table.columns:
            return _chats(table, name)
    if {"prompt", "completion"} <= table.columns.keys():
        return _prompts(table)
    texts, answer = _ALPACA
    if {texts[0], answer} <= table.columns.keys():
        return _instructions(table, [name for name in texts if name in table.columns], answer)
    there = ", ".join(map(repr, table.columns))
    raise DataError(
        f"{table.source} has {there}, and instruction tuning needs 'messages', 'prompt' "
        "with 'completion', or 'instruction' with 'output': rename them, or name text_columns and "
        "a label_column."
    )


def _chats(table: Table, name: str) -> list[Example]:
    chats = [_messages(value, name, row, table) for row, value in enumerate(column(table, name))]
    examples = [_at_last_reply(chat) for chat in chats]
    several = sum(sum(_is_reply(message) for message in chat) > 1 for chat in chats)
    if several:
        logger.info(
            "%s has %d of %d chats with several replies: the last of each is its completion, the "
            "others belong to the prompt.",
            table.source,
            several,
            len(chats),
        )
    endings = sum(
        bool(example.completion) and len(chat) > len(example.prompt) + 1
        for chat, example in zip(chats, examples, strict=True)
    )
    if endings:
        logger.warning(
            "%s has %d of %d chats that go on after the assistant's last reply, which is left out.",
            table.source,
            endings,
            len(chats),
        )
    return examples


def _prompts(table: Table) -> list[Example]:
    """Take the columns as they are: texts, which get no template, or messages."""
    prompts, completions = column(table, "prompt"), column(table, "completion")
    examples: list[Example] = []
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        if _is_text(prompt) and _is_text(completion):
            examples.append(Example(prompt or "", completion or ""))
        else:
            examples.append(
                Example(
                    _messages(prompt, "prompt", row, table),
                    _messages(completion, "completion", row, table),
                )
            )
    kinds = {type(example.prompt) for example in examples if example.fault is None}
    if len(kinds) > 1:
        raise DataError(
            f"{table.source} mixes prompts that are texts and prompts that are messages: use one "
            "kind."
        )
    return examples


def _instructions(table: Table, texts: Sequence[str], answer: str) -> list[Example]:
    """Return chats of one turn."""
    sources = [_strings(table, name) for name in (*texts, answer)]
    return [
        Example(
            [{"role": "user", "content": "\n\n".join(part for part in asked if part.strip())}],
            [{"role": "assistant", "content": said}],
        )
        for *asked, said in zip(*sources, strict=True)
    ]


def _strings(table: Table, name: str) -> list[str]:
    values = column(table, name)
    wrong = [value for value in values if not _is_text(value)]
    if wrong:
        raise DataError(
            f"Column {name!r} of {table.source} holds {type(wrong[0]).__name__} values such as "
            f"{wrong[0]!r:.50}, not texts."
        )
    return [value or "" for value in values]


def _messages(value: object, name: str, row: int, table: Table) -> list[Message]:
    where = f"Row {row + 1} of column {name!r} of {table.source}"
    if value is None:
        return []
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise DataError(f"{where} is no list of messages but {value!r:.50}.")
    return [_message(message, where) for message in value]


def _message(value: object, where: str) -> Message:
    """Return a message under the names of Hugging Face, whichever it came with."""
    if not isinstance(value, Mapping):
        raise DataError(f"{where} has a message that is no object but {value!r:.50}.")
    role, content = value.get("role", value.get("from")), value.get("content", value.get("value"))
    if not isinstance(role, str):
        raise DataError(
            f"{where} has a message without a role; it has {', '.join(map(repr, value))}: name "
            "them 'role' and 'content'."
        )
    others = sorted(key for key in value.keys() - _KNOWN_KEYS if value[key])
    if others:
        raise DataError(
            f"{where} has a message with {', '.join(map(repr, others))}, which would not be "
            "trained on: keep 'role' and 'content' alone."
        )
    return {"role": _SHAREGPT_ROLES.get(role, role), "content": content}


def _at_last_reply(chat: list[Message]) -> Example:
    replies = [index for index, message in enumerate(chat) if _is_reply(message)]
    last = replies[-1] if replies else len(chat)
    return Example(chat[:last], chat[last : last + 1])


def _is_reply(message: Message) -> bool:
    return message["role"] == "assistant"


def _usable(table: Table, examples: Sequence[Example]) -> Rows:
    """Return the rows that can be used, and warn of the others."""
    faults = Counter(example.fault for example in examples if example.fault is not None)
    told = ", ".join(f"{count} {fault}" for fault, count in sorted(faults.items()))
    if faults.total() == len(examples):
        raise DataError(f"{table.source} has no row that can be used: {told}.")
    if faults:
        warnings.warn(
            f"{faults.total()} of {len(examples)} rows of {table.source} were set aside: {told}.",
            SkippedRowsWarning,
            stacklevel=4,
        )
    usable = [example for example in examples if example.fault is None]
    return Rows(
        columns={
            "prompt": [example.prompt for example in usable],
            "completion": [example.completion for example in usable],
        },
        label_where=f"Column 'completion' of {table.source}",
        provenance={
            **table.provenance,
            "skipped": faults.total(),
            "form": "text" if isinstance(usable[0].prompt, str) else "chat",
        },
    )


def _texts(part: Part) -> list[Any]:
    return [part] if isinstance(part, str) else [message["content"] for message in part]


def _is_text(value: object) -> TypeGuard[str | None]:
    return value is None or isinstance(value, str)
