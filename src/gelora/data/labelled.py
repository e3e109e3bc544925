"""Texts with a class or a number each: which columns to read, which rows can be used.

Choosing columns is `columns.py`'s, understanding labels `labels.py`'s; this applies both to all
tables of a task, and sets aside the rows without a label.
"""

import warnings
from collections.abc import Sequence
from typing import Any

from gelora.data.columns import choose_label_column, choose_text_columns, column, read_texts
from gelora.data.labels import (
    LabelEncoding,
    fit_labels,
    guess_problem,
    parse_labels,
    without_hidden,
)
from gelora.data.rows import Rows, Splits
from gelora.data.sources import PHENOMENON, Tables
from gelora.data.tables import Table
from gelora.errors import ConfigError, DataError, SkippedRowsWarning
from gelora.tasks import Problem, Task


def labelled_splits(
    tables: Tables,
    *,
    text_columns: Sequence[str] | None,
    label_column: str | None,
    task: Task | None,
    problem: Problem | None,
    labels_required: bool,
) -> Splits:
    """Return the usable rows of all tables; the training table's labels decide what they mean.

    Args:
        tables: A training table, a validation table, or both.
        text_columns: One column of texts or two, else the task's, or what can be guessed.
        label_column: Else the task's, or what can be guessed.
        task: A known task.
        problem: What the labels are; None to tell by their values.
        labels_required: Otherwise, where no labels can be told or used, every row is kept.

    Raises:
        ConfigError: There is no training table, and nothing else says what the labels mean.
        DataError: A column is missing, a text is empty, or labels cannot be used.
    """
    first = tables.first

    def read(labels: str | None) -> Splits:
        texts = choose_text_columns(
            first, text_columns, task=task, label_column=labels or label_column
        )
        options = {"text_columns": texts, "label_column": labels, "task": task}
        return _read(tables, options, problem=problem)

    try:
        return read(choose_label_column(first, label_column, task=task))
    except DataError:
        if labels_required:
            raise
        return read(None)


def _read(tables: Tables, options: dict[str, Any], *, problem: Problem | None) -> Splits:
    """Return the usable rows of all tables; `options` are those of `usable_rows`."""
    train = tables.train and usable_rows(tables.train, problem=problem, **options)
    encoding = LabelEncoding(problem or "classification")
    if options["label_column"] is not None:
        encoding = _encoding(tables, train, problem=problem, **options)

    def usable(table: Table) -> Rows:
        return usable_rows(table, problem=encoding.problem, **options).encoded(encoding)

    return Splits(
        None if train is None else train.encoded(encoding),
        tables.validation and usable(tables.validation),
        encoding,
        {ending: usable(table) for ending, table in tables.more_validation.items()},
    )


def _encoding(
    tables: Tables,
    train: Rows | None,
    *,
    label_column: str,
    task: Task | None,
    problem: Problem | None,
    **_: Any,
) -> LabelEncoding:
    """Say what the labels mean, by the task or by those of the training rows."""
    names = task.label_names if task else None
    if tables.train is None or train is None:
        if names is None and problem != "regression":
            raise ConfigError(
                "Which classes the labels to validate on are is told by the training rows: name "
                "their train_file, too, or a task_name."
            )
        return fit_labels((), problem=problem or "classification", class_names=names, where="")
    labels = train.columns["label"]
    return fit_labels(
        labels,
        problem=problem or guess_problem(labels),
        class_names=names or tables.train.class_names.get(label_column),
        where=train.label_where,
    )


def usable_rows(
    table: Table,
    *,
    text_columns: Sequence[str],
    label_column: str | None,
    task: Task | None = None,
    problem: Problem | None = None,
) -> Rows:
    """Return the rows of a table that can be used.

    Args:
        table: The table.
        text_columns: One column of texts, or two.
        label_column: None to read no labels and keep every row.
        task: A known task, for what its hidden labels look like.
        problem: What the labels are, if that is known.

    Raises:
        DataError: A column is missing, a text is empty, labels are of mixed kinds, or no row has a
            label.

    Warns:
        SkippedRowsWarning: Rows have no label.
    """
    every = range(len(column(table, text_columns[0])))
    rows, labels, where = list(every), None, ""
    if label_column is not None:
        where = f"Column {label_column!r} of {table.source}"
        parsed = parse_labels(column(table, label_column), where=where)
        found = without_hidden(parsed, task=task, problem=problem)
        rows = [row for row in every if found[row] is not None]
        labels = [found[row] for row in rows]
        _tell_skipped(len(every) - len(rows), len(every), where)
    columns: dict[str, list[Any]] = {
        name: read_texts(table, source, rows=rows)
        for name, source in zip(("text", "text_pair"), text_columns, strict=False)
    }
    if labels is not None:
        columns["label"] = labels
    if "generated" in table.provenance:
        columns[PHENOMENON] = [table.columns[PHENOMENON][row] for row in rows]
    provenance = {**table.provenance, "skipped": len(every) - len(rows)}
    return Rows(columns=columns, label_where=where, provenance=provenance)


def _tell_skipped(skipped: int, total: int, where: str) -> None:
    if skipped == total:
        raise DataError(
            f"{where} has no label in any of its {total} rows: all are null, blank or -1."
        )
    if skipped:
        warnings.warn(
            f"{where} has no label (null, blank or -1) in {skipped} of {total} rows, which were "
            "set aside.",
            SkippedRowsWarning,
            stacklevel=4,
        )
