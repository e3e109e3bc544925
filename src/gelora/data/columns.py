"""Choose the columns of a table that hold the texts and the labels, and check the texts.

A column that was named is taken or refused; one that was not is guessed only where a single guess
is possible, and the refusal lists the columns.
"""

from collections.abc import Sequence
from typing import Any

from gelora.data.tables import Table
from gelora.errors import ConfigError, DataError
from gelora.tasks import Problem, Task

_PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "passage"),
)
_SINGLES = (("text",), ("sentence",))
_LABELS = ("label", "labels")
_ELSEWHERE: tuple[tuple[Problem, tuple[str, ...]], ...] = (
    ("question_answering", ("question", "context", "answers")),
    ("instruction_tuning", ("messages",)),
    ("instruction_tuning", ("conversations",)),
    ("instruction_tuning", ("prompt", "completion")),
    ("instruction_tuning", ("instruction", "output")),
)
"""Columns by which a table is known to be for a problem without labels."""
_SHOWN = 5  # rows named in a message


def check_not_elsewhere(table: Table) -> None:
    """Refuse to look for labels in a table that plainly is for another problem.

    Raises:
        ConfigError: It is; the message names the problem.
    """
    if any(name in table.columns for name in _LABELS):
        return
    for problem, names in _ELSEWHERE:
        if set(names) <= table.columns.keys():
            raise ConfigError(
                f"{table.source} has no labels but {', '.join(map(repr, names))}: set problem_type "
                f"to {problem}, or name its text_columns and label_column."
            )


def choose_text_columns(
    table: Table, wanted: Sequence[str] | None, *, task: Task | None, label_column: str | None
) -> tuple[str, ...]:
    """Return the column of texts, or the two of a pair.

    Args:
        table: The training rows.
        wanted: The columns the user named.
        task: A known task, whose columns are taken if the user named none.
        label_column: Not a column of texts, even if its labels are words; nor is one called so.

    Raises:
        ConfigError: More than two columns are named, or none of them.
        DataError: A column is not there, or no single guess is possible.
    """
    if wanted is not None:
        if len(wanted) not in (1, 2):
            raise ConfigError(f"text_columns takes one column or two; got {list(wanted)}.")
        return tuple(_existing(table, name, "text_columns") for name in wanted)
    if task is not None:
        return tuple(_existing(table, name, "text_columns") for name in task.text_columns)
    others = tuple(name for name in table.string_columns if name not in (label_column, *_LABELS))
    for known in (_PAIRS, _SINGLES):
        found = [names for names in known if set(names) <= set(others)]
        if len(found) == 1:
            return found[0]
        if found:
            break
    else:
        if len(others) == 1:
            return others
    raise DataError(
        f"Which columns of {table.source} hold the texts cannot be told; it has "
        f"{_listed(table)}: name one or two as text_columns."
    )


def choose_label_column(table: Table, wanted: str | None, *, task: Task | None) -> str:
    """Return the column of labels.

    Raises:
        DataError: The column is not there, or no single guess is possible.
    """
    if wanted is not None:
        return _existing(table, wanted, "label_column")
    if task is not None:
        return _existing(table, task.label_column, "label_column")
    found = [name for name in _LABELS if name in table.columns]
    if len(found) != 1:
        raise DataError(
            f"Which column of {table.source} holds the labels cannot be told; it has "
            f"{_listed(table)}: name one as label_column."
        )
    return found[0]


def column(table: Table, name: str) -> Sequence[Any]:
    """Return a column's values.

    Raises:
        DataError: There is no such column, as in a validation file unlike the training file.
    """
    return table.columns[_existing(table, name, "the column to read")]


def read_texts(table: Table, name: str, *, rows: Sequence[int]) -> list[str]:
    """Return the texts of some rows.

    Raises:
        DataError: Some are no texts, or empty; the message counts them and names the first rows,
            counted from 1 without a header.
    """
    values = column(table, name)
    texts = [values[row] for row in rows]
    wrong = [text for text in texts if not (text is None or isinstance(text, str))]
    if wrong:
        raise DataError(
            f"Column {name!r} of {table.source} holds {type(wrong[0]).__name__} values such as "
            f"{wrong[0]!r:.50}, not texts."
        )
    empty = [row + 1 for row, text in zip(rows, texts, strict=True) if not (text and text.strip())]
    if empty:
        more = ", ..." if len(empty) > _SHOWN else ""
        raise DataError(
            f"{len(empty)} of {len(texts)} texts in column {name!r} of {table.source} are empty "
            f"(rows {', '.join(map(str, empty[:_SHOWN]))}{more}): fill them or remove the rows."
        )
    return texts


def _existing(table: Table, name: str, purpose: str) -> str:
    if name not in table.columns:
        raise DataError(
            f"There is no column {name!r} in {table.source} ({purpose}); it has {_listed(table)}."
        )
    return name


def _listed(table: Table) -> str:
    return ", ".join(map(repr, table.columns))
