"""Read instructions and chats as the prompts and completions that a causal model is tuned on.

Rows are chats (`messages`, or ShareGPT's `conversations`), prompts with completions, or texts with
answers such as Alpaca's, which become a chat of one turn. A warning counts the rows that cannot be
used. No tokenizer is needed.
"""

import logging
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

from gelora.errors import ConfigError, DataError, SkippedRowsWarning
from gelora.tasks.columns import column, texts_or_none
from gelora.tasks.instruction_tuning.messages import (
    Message,
    Turn,
    from_arrow,
    has_content,
    is_exact,
    read_turns,
    row_options,
    system_texts,
    trained_rows,
)
from gelora.tasks.known import Task
from gelora.tasks.tables import Table, Tables
from gelora.tasks.task_data import Rows, Splits

logger = logging.getLogger(__name__)

Part = str | list[Message]
"""A prompt or a completion: a text, or messages."""

CHAT_COLUMNS = ("messages", "conversations")
_ALPACA = ("instruction", "input"), "output"


@dataclass(frozen=True)
class Example:
    """One row: a prompt and the completion to learn.

    Attributes:
        prompt: A text, or messages.
        completion: A text if the prompt is a text, else messages.
        is_trained: False where the row is marked not to be trained on.
        has_marked: Whether a reply in the prompt is marked not to be trained on.
        options: Further arguments of the chat template.
    """

    prompt: Part
    completion: Part
    is_trained: bool = True
    has_marked: bool = False
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def fault(self) -> str | None:
        """The reason why this row cannot be trained on; None if it can."""
        if not self.is_trained:
            return "marked as not to be trained on"
        if isinstance(self.prompt, str) or isinstance(self.completion, str):
            return _fault_of_texts(str(self.prompt), str(self.completion))  # both are
        if not is_exact([*self.prompt, *self.completion], self.options):
            return "with a number too long to be kept exactly (write it as a text)"
        return _fault_of_messages(self.prompt, self.completion)


def _fault_of_texts(prompt: str, completion: str) -> str | None:
    for name, text in (("completion", completion), ("prompt", prompt)):
        if not text.strip():
            return f"with an empty {name}" if text else f"without a {name}"
    return None


def _fault_of_messages(prompt: list[Message], completion: list[Message]) -> str | None:
    messages = [*prompt, *completion]
    if not any(map(_is_reply, completion)):
        return "without an assistant turn"
    if not prompt:
        return "without a prompt"
    if not all(isinstance(message["content"], str) for message in messages):
        return "with a message that is no text"
    parts = {
        "an empty completion": any(map(has_content, completion)),
        "an empty assistant turn": all(map(has_content, filter(_is_reply, messages))),
        "an empty prompt": any(map(has_content, prompt)),
    }
    return next((f"with {fault}" for fault, is_right in parts.items() if not is_right), None)


def conversation_splits(
    tables: Tables,
    *,
    task: Task | None,
    text_columns: Sequence[str] | None,
    label_column: str | None,
) -> Splits:
    """Return the rows of both tables as `prompt` and `completion`, both texts or both messages.

    The completion of a chat is the assistant's last reply, and its prompt is all before it. Columns
    that are named, or the task's, hold texts: they become the user's message, with a blank line
    between two, and the answer becomes the assistant's. Without names, columns called `prompt` and
    `completion` are taken as they are.

    Args:
        tables: Rows to train on, rows to validate on, or both.
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
        for table in (tables.train, tables.validation)
    )
    return Splits(train, validation, "instruction_tuning", "completions to learn")


def _read(
    table: Table, text_columns: Sequence[str] | None, label_column: str | None
) -> list[Example]:
    """Return every row of a table, usable or not."""
    examples = _examples(table, text_columns, label_column)
    if label_column is not None:  # the columns that are named are all that counts
        return examples
    return [
        replace(
            _with_system(example, system, f"Row {row} of {table.source}"),
            is_trained=example.is_trained and is_trained,
            options=options,
        )
        for row, (example, is_trained, system, options) in enumerate(
            zip(
                examples, trained_rows(table), system_texts(table), row_options(table), strict=True
            ),
            start=1,
        )
    ]


def _examples(
    table: Table, text_columns: Sequence[str] | None, label_column: str | None
) -> list[Example]:
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
    names = ", ".join(map(repr, table.columns))
    raise DataError(
        f"{table.source} has {names}, and instruction tuning needs 'messages', 'prompt' "
        "with 'completion', or 'instruction' with 'output': rename them, or name text_columns and "
        "a label_column."
    )


def _chats(table: Table, name: str) -> list[Example]:
    chats = [_turns(value, name, row, table) for row, value in enumerate(column(table, name))]
    examples = [_at_last_reply(chat) for chat in chats]

    def note(severity: int, count: int, text: str) -> None:
        if count:
            logger.log(severity, "%s has %d of %d chats %s", table.source, count, len(chats), text)

    several = sum(sum(turn.is_reply for turn in chat) > 1 for chat in chats)
    note(
        logging.INFO,
        several,
        "with several replies: the last of each is its completion, the others belong to the "
        "prompt.",
    )
    cut = sum(
        bool(example.completion) and len(chat) > len(example.prompt) + 1
        for chat, example in zip(chats, examples, strict=True)
    )
    note(
        logging.WARNING,
        cut,
        "that go on after the assistant's last reply that is to be trained on: what follows is "
        "left out.",
    )
    note(
        logging.INFO,
        sum(example.has_marked or not example.is_trained for example in examples),
        "with replies that are marked as not to be trained on: they are in no completion.",
    )
    note(
        logging.WARNING,
        sum(sum(turn.is_trained is True for turn in chat) > 1 for chat in chats),
        "that mark several replies to be trained on: only the last of them is, unless "
        "--assistant_only_loss true counts every reply.",
    )
    return examples


def _turns(value: object, name: str, row: int, table: Table) -> list[Turn]:
    where = f"Row {row + 1} of column {name!r} of {table.source}"
    return read_turns(value, where, none_is_absent=from_arrow(table))


def _prompts(table: Table) -> list[Example]:
    """Return prompts and completions as they are: texts, which get no template, or messages."""
    examples: list[Example] = []
    pairs = zip(column(table, "prompt"), column(table, "completion"), strict=True)
    for row, (prompt, completion) in enumerate(pairs):
        if _is_text(prompt) and _is_text(completion):
            examples.append(Example(prompt or "", completion or ""))
        else:
            turns = (
                _turns(prompt, "prompt", row, table),
                _turns(completion, "completion", row, table),
            )
            examples.append(_of_turns(*turns, where=f"Row {row + 1} of {table.source}"))
    kinds = {type(example.prompt) for example in examples if example.fault is None}
    if len(kinds) > 1:
        raise DataError(
            f"{table.source} mixes prompts that are texts and prompts that are messages: use one "
            "kind."
        )
    return examples


def _of_turns(prompt: Sequence[Turn], completion: Sequence[Turn], *, where: str) -> Example:
    trained = {turn.is_reply for turn in completion if _is_reply(turn.message)}
    if len(trained) > 1:
        raise DataError(
            f"{where} has a completion with some replies marked as not to be trained on, and a "
            "completion is trained on whole: put what is not to be trained on into the prompt."
        )
    return Example(
        [turn.message for turn in prompt],
        [turn.message for turn in completion],
        is_trained=False not in trained,
        has_marked=any(_is_reply(turn.message) and not turn.is_reply for turn in prompt),
    )


def _instructions(table: Table, texts: Sequence[str], answer: str) -> list[Example]:
    """Return chats of one turn."""
    rows = range(table.num_rows)
    columns = [texts_or_none(table, name, rows=rows) for name in (*texts, answer)]
    return [
        Example(
            [{"role": "user", "content": "\n\n".join(t for t in user if t and t.strip())}],
            [{"role": "assistant", "content": reply or ""}],
        )
        for *user, reply in zip(*columns, strict=True)
    ]


def _at_last_reply(chat: list[Turn]) -> Example:
    replies = [index for index, turn in enumerate(chat) if turn.is_reply]
    others = [index for index, turn in enumerate(chat) if _is_reply(turn.message)]
    last = max(replies or others, default=len(chat))
    return _of_turns(chat[:last], chat[last : last + 1], where="")


def _with_system(example: Example, system: str, where: str) -> Example:
    """Return the example with the text of a system column as its first message."""
    if not system or not example.prompt:
        return example
    first = example.prompt[0]
    if isinstance(first, str):
        raise DataError(
            f"{where} has a system text beside a prompt that is a text, which gets no chat "
            "template: write it into the prompt, and remove the column."
        )
    if first["role"] != "system":
        first = {"role": "system", "content": system}
        return replace(example, prompt=[first, *example.prompt])
    if first["content"].strip() != system:
        raise DataError(
            f"{where} has one system text in its messages and another in a column: keep one."
        )
    return example


def _is_reply(message: Message) -> bool:
    return message["role"] == "assistant"


def _usable(table: Table, examples: Sequence[Example]) -> Rows:
    """Return the rows that can be used, and warn of the others."""
    faults = Counter(example.fault for example in examples if example.fault is not None)
    counted = ", ".join(f"{count} {fault}" for fault, count in sorted(faults.items()))
    if faults.total() == len(examples):
        raise DataError(f"{table.source} has no row that can be used: {counted}.")
    if faults:
        warnings.warn(
            f"{faults.total()} of {len(examples)} rows of {table.source} were set aside: "
            f"{counted}.",
            SkippedRowsWarning,
            stacklevel=4,
        )
    usable = [example for example in examples if example.fault is None]
    option = next((name for e in usable for name in e.options if isinstance(e.prompt, str)), None)
    if option is not None:
        raise DataError(
            f"{table.source} has {option!r} beside prompts that are texts, which get no chat "
            "template to write them: give messages, or remove the column."
        )
    options = {
        "tools": [example.options.get("tools") for example in usable],
        "chat_template_kwargs": [e.options.get("chat_template_kwargs", {}) for e in usable],
    }
    marked = sum(example.has_marked for example in usable)
    return Rows(
        columns={
            "prompt": [example.prompt for example in usable],
            "completion": [example.completion for example in usable],
            **{name: values for name, values in options.items() if any(values)},
        },
        label_where=f"Column 'completion' of {table.source}",
        provenance={
            **table.provenance,
            "skipped": faults.total(),
            "form": "text" if isinstance(usable[0].prompt, str) else "chat",
            **({"marked_replies": marked} if marked else {}),
        },
    )


def _is_text(value: object) -> TypeGuard[str | None]:
    return value is None or isinstance(value, str)
