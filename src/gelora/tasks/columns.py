"""Choose the columns of a table that hold the texts and the labels, and check the texts.

A named column is taken or refused. Otherwise the column is guessed, if a single guess is possible.
An error lists the columns.
"""

import difflib
import warnings
from collections.abc import Sequence
from typing import Any

from gelora.errors import ConfigError, DataError, SkippedRowsWarning
from gelora.problems import Problem
from gelora.tasks.known import Task
from gelora.tasks.tables import Table

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
    """Refuse a table without labels whose columns are those of another problem.

    Raises:
        ConfigError: The columns are those of another problem; the message names it.
    """
    if has_label_column(table, None):
        return
    for problem, names in _ELSEWHERE:
        if set(names) <= table.columns.keys():
            raise ConfigError(
                f"{table.source} has no labels but {', '.join(map(repr, names))}: set task_type "
                f"to {problem}, or name its text_columns and label_column."
            )


def choose_text_columns(
    table: Table, names: Sequence[str] | None, *, task: Task | None, label_column: str | None
) -> tuple[str, ...]:
    """Return the column of texts, or the two of a pair.

    Args:
        table: The training rows.
        names: Columns that the user named.
        task: A known task, whose columns are taken if the user named none.
        label_column: Not a column of texts, even if its labels are words; nor is one called so.

    Raises:
        ConfigError: More than two columns are named, or none of them.
        DataError: A column is not there, or no single guess is possible.
    """
    if names is not None and len(names) not in (1, 2):
        raise ConfigError(f"text_columns takes one column or two; got {list(names)}.")
    if names is None and task is not None:
        names = task.text_columns
    if names is not None:
        return tuple(_existing(table, name, "text_columns") for name in names)
    others = tuple(
        name
        for name in table.string_columns
        if name != label_column and name.lower() not in _LABELS
    )
    written = {name.lower(): name for name in others}
    for known in (_PAIRS, _SINGLES):
        usual = [columns for columns in known if set(columns) <= written.keys()]
        if len(usual) == 1:
            return tuple(written[name] for name in usual[0])
        if usual:
            break
    else:
        if len(others) == 1:
            return others
    raise DataError(
        f"Which columns of {table.source} hold the texts cannot be told; it has "
        f"{_listed(table)}: name one or two as text_columns."
    )


def choose_label_column(table: Table, name: str | None, *, task: Task | None) -> str:
    """Return the column of labels.

    Raises:
        DataError: The column is not there, or no single guess is possible.
    """
    if name is None and task is not None:
        name = task.label_column
    if name is not None:
        return _existing(table, name, "label_column")
    usual = [column_name for column_name in table.columns if column_name.lower() in _LABELS]
    if len(usual) != 1:
        raise DataError(
            f"Which column of {table.source} holds the labels cannot be told; it has "
            f"{_listed(table)}: name one as label_column."
        )
    return usual[0]


def has_label_column(table: Table, task: Task | None) -> bool:
    """Say whether a column is called as labels are: by the task, or `label` or `labels`."""
    names = _LABELS if task is None else (task.label_column,)
    return any(name in names or name.lower() in names for name in table.columns)


def column(table: Table, name: str) -> Sequence[Any]:
    """Return a column's values, or those of a field in it by a dotted name.

    Raises:
        DataError: There is no such column, as in a validation file unlike the training file.
    """
    values = table.values(name)
    if values is None:
        raise _missing(table, name, "the column to read")
    return values


def rows_with_text(table: Table, names: Sequence[str], *, rows: Sequence[int]) -> list[int]:
    """Return those of the rows in which no column of texts is empty.

    Raises:
        DataError: There is none.

    Warns:
        SkippedRowsWarning: Some are empty.
    """
    kept = list(rows)
    for name in names:
        values = column(table, name)
        kept = [row for row in kept if not _is_empty(values[row])]
    if rows and not kept:
        raise DataError(f"All of {len(rows)} rows of {table.source} have an empty text.")
    if len(kept) < len(rows):
        warnings.warn(
            f"{len(rows) - len(kept)} of {len(rows)} rows of {table.source} have an empty text and "
            "were set aside.",
            SkippedRowsWarning,
            stacklevel=6,
        )
    return kept


def read_texts(table: Table, name: str, *, rows: Sequence[int]) -> list[str]:
    """Return the texts of some rows.

    Raises:
        DataError: Some are no texts, or empty; the message counts them and names the first rows,
            counted from 1 without a header.
    """
    texts = texts_or_none(table, name, rows=rows)
    empty = [row + 1 for row, text in zip(rows, texts, strict=True) if _is_empty(text)]
    if empty:
        more = ", ..." if len(empty) > _SHOWN else ""
        raise DataError(
            f"{len(empty)} of {len(texts)} texts in column {name!r} of {table.source} are empty "
            f"(rows {', '.join(map(str, empty[:_SHOWN]))}{more}): fill them, or set these rows "
            "aside with drop_empty."
        )
    return [text or "" for text in texts]


def texts_or_none(table: Table, name: str, *, rows: Sequence[int]) -> list[str | None]:
    """Return the texts of some rows, or None where there is nothing.

    Raises:
        DataError: Some are no texts.
    """
    values = column(table, name)
    texts = [values[row] for row in rows]
    wrong = next((text for text in texts if not isinstance(text, str | None)), None)
    if wrong is not None:
        raise DataError(
            f"Column {name!r} of {table.source} holds {type(wrong).__name__} values such as "
            f"{wrong!r:.50}, not texts."
        )
    return texts


def _existing(table: Table, name: str, purpose: str) -> str:
    if table.values(name) is None:
        raise _missing(table, name, purpose)
    return name


def _missing(table: Table, name: str, purpose: str) -> DataError:
    near = difflib.get_close_matches(name, list(table.columns), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return DataError(
        f"There is no column {name!r} in {table.source} ({purpose}); it has {_listed(table)}{hint}"
    )


def _is_empty(text: Any) -> bool:
    return text is None or (isinstance(text, str) and not text.strip())


def _listed(table: Table) -> str:
    return ", ".join(map(repr, table.columns))
