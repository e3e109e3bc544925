"""Texts with a class or a number each: which columns to read, which rows can be used.

Rows without a label are set aside, counted and told.
"""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gelora.errors import ConfigError, DataError, SkippedRowsWarning
from gelora.problems import Problem
from gelora.tasks.classification.labels import (
    LabelEncoding,
    encode_labels,
    fit_labels,
    guess_problem,
    parse_labels,
    without_hidden,
)
from gelora.tasks.columns import (
    choose_label_column,
    choose_text_columns,
    column,
    has_label_column,
    read_texts,
    rows_with_text,
)
from gelora.tasks.known import Task
from gelora.tasks.tables import Table, Tables
from gelora.tasks.task_data import Rows, Splits

logger = logging.getLogger(__name__)


def labelled_splits(
    tables: Tables,
    *,
    text_columns: Sequence[str] | None,
    label_column: str | None,
    task: Task | None,
    problem: Problem | None,
    labels_required: bool,
    missing_labels: Sequence[str] | None = None,
    drop_empty: bool = False,
) -> Splits:
    """Return the usable rows of all tables; the training table's labels decide what they mean.

    Args:
        tables: A training table, a validation table, or both.
        text_columns: One column of texts or two, else the task's, or what can be guessed.
        label_column: Else the task's, or what can be guessed.
        task: A known task.
        problem: What the labels are; None to tell by their values.
        labels_required: Otherwise, where no labels can be told or used, every row is kept, and the
            log says so. A column that is named must be there.
        missing_labels: As in `parse_labels`.
        drop_empty: Whether rows with an empty text are set aside instead of refused.

    Raises:
        ConfigError: There is no training table, and nothing else says what the labels mean.
        DataError: A column is missing, a text is empty, or labels cannot be used.
    """
    first = tables.first

    def read(labels: str | None) -> Splits:
        texts = choose_text_columns(
            first, text_columns, task=task, label_column=labels or label_column
        )
        options = {
            "text_columns": texts,
            "label_column": labels,
            "task": task,
            "missing_labels": missing_labels,
            "drop_empty": drop_empty,
        }
        return _read(tables, options, problem=problem)

    if labels_required or label_column is not None:
        return read(choose_label_column(first, label_column, task=task))
    if not has_label_column(first, task):
        unlabelled = read(None)
        if first.columns.keys() - {"text", "sentence"}:
            logger.warning(
                "%s has no column called label or labels, so every row is kept, without labels. It "
                "has %s: name the one that holds labels as label_column.",
                first.source,
                ", ".join(map(repr, first.columns)),
            )
        return unlabelled
    try:
        with warnings.catch_warnings(record=True) as skipped:  # told only of rows that are left out
            warnings.simplefilter("always")
            labelled = read(choose_label_column(first, None, task=task))
    except DataError as error:
        unlabelled = read(None)  # raises where it is the texts that cannot be used
        logger.warning("The labels are not used, and every row is kept: %s", error)
        return unlabelled
    for warning in skipped:
        warnings.warn(warning.message, stacklevel=3)
    return labelled


def _read(tables: Tables, options: dict[str, Any], *, problem: Problem | None) -> Splits:
    """Return the usable rows of all tables; `options` are those of `usable_rows`."""
    train = tables.train and usable_rows(tables.train, problem=problem, **options)
    encoding = LabelEncoding(problem or "classification")
    if options["label_column"] is not None:
        encoding = _encoding(tables, train, problem=problem, **options)

    def usable(table: Table) -> Rows:
        rows = usable_rows(table, problem=encoding.problem, are_texts=encoding.are_texts, **options)
        return encoded(rows, table)

    def encoded(rows: Rows, table: Table) -> Rows:
        if "label" not in rows.columns:
            return rows
        names = table.class_names.get(options["label_column"])
        rows = _by_name(rows, names, encoding, is_task=options["task"] is not None)
        labels = encode_labels(rows.columns["label"], encoding, where=rows.label_where)
        return replace(rows, columns={**rows.columns, "label": labels})

    return Splits(
        None if train is None or tables.train is None else encoded(train, tables.train),
        tables.validation and usable(tables.validation),
        encoding.problem,
        str(encoding),
        encoding.num_labels,
        encoding.names,
        {ending: usable(table) for ending, table in tables.more_validation.items()},
    )


def _by_name(
    rows: Rows, names: Sequence[str] | None, encoding: LabelEncoding, *, is_task: bool
) -> Rows:
    """Return the names of class numbers where a table counts its classes in another order.

    A known task whose classes have other names than the table's keeps the numbers.
    """
    if names is None or encoding.names is None or tuple(names) == encoding.names:
        return rows
    if is_task and set(names) != set(encoding.names):
        return rows
    labels = [names[int(number)] for number in rows.columns["label"]]
    return replace(rows, columns={**rows.columns, "label": labels})


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
    missing_labels: Sequence[str] | None = None,
    are_texts: bool = False,
    drop_empty: bool = False,
) -> Rows:
    """Return the rows of a table that can be used.

    Args:
        table: The table.
        text_columns: One column of texts, or two.
        label_column: None to read no labels and keep every row.
        task: A known task, in which -1 is no label; nor is it one of a column of ClassLabel.
        problem: What the labels are, if that is known.
        missing_labels: As in `parse_labels`, like the next.
        are_texts: Whether labels are read as names.
        drop_empty: Whether rows with an empty text are set aside instead of refused.

    Raises:
        DataError: A column is missing, a text is empty, labels are of mixed kinds, or no row has a
            label.

    Warns:
        SkippedRowsWarning: Rows have no label, or an empty text.
    """
    every = range(len(column(table, text_columns[0])))
    rows, labels, where = list(every), None, ""
    if label_column is not None:
        where = f"Column {label_column!r} of {table.source}"
        values = column(table, label_column)
        labels = parse_labels(
            values, where=where, problem=problem, missing=missing_labels, are_texts=are_texts
        )
        if task is not None or label_column in table.class_names:
            labels = without_hidden(labels)
        rows = [row for row in every if labels[row] is not None]
        _tell_unlabelled([values[row] for row in every if labels[row] is None], len(every), where)
    if drop_empty:
        rows = rows_with_text(table, text_columns, rows=rows)
    columns: dict[str, list[Any]] = {
        name: read_texts(table, source, rows=rows)
        for name, source in zip(("text", "text_pair"), text_columns, strict=False)
    }
    if labels is not None:
        columns["label"] = [labels[row] for row in rows]
    if "packaged" in table.provenance:
        columns["phenomenon"] = [table.columns["phenomenon"][row] for row in rows]
    provenance = {**table.provenance, "skipped": len(every) - len(rows)}
    return Rows(columns=columns, label_where=where, provenance=provenance)


def _tell_unlabelled(values: Sequence[Any], total: int, where: str) -> None:
    """Warn of rows without a label, and name the values that say so."""
    if not values:
        return
    kinds = sorted({repr(value) for value in values})
    words = ", ".join(kinds[:5]) + (", ..." if len(kinds) > 5 else "")
    if len(values) == total:
        raise DataError(f"{where} has no label in any of its {total} rows: they hold {words}.")
    warnings.warn(
        f"{where} has no label in {len(values)} of {total} rows, which hold {words} and were set "
        "aside; missing_labels says which texts mean that there is none.",
        SkippedRowsWarning,
        stacklevel=5,
    )
