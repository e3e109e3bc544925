"""The usable rows of tables: texts checked, rows without a label set aside, samples drawn.

It does not choose columns (`columns.py`) or say what a label means (`labels.py`).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gelora.data.columns import column, read_texts
from gelora.data.labels import (
    LabelEncoding,
    encode_labels,
    fit_labels,
    guess_problem,
    parse_labels,
    without_hidden,
)
from gelora.data.tables import Table
from gelora.errors import DataError, SkippedRowsWarning
from gelora.tasks import Problem, Task


@dataclass(frozen=True)
class Rows:
    """Rows to train or to validate on.

    Attributes:
        columns: `text`, `text_pair` for pairs, `label` unless unlabelled, and any to be kept.
        label_where: The labels' column and source, for messages.
        provenance: JSON-able.
    """

    columns: dict[str, list[Any]]
    label_where: str
    provenance: dict[str, Any]

    def __len__(self) -> int:
        return len(self.columns["text"])

    def encoded(self, encoding: LabelEncoding) -> "Rows":
        """Return the rows with class numbers or floats for labels.

        Raises:
            DataError: A label is none of the encoding's.
        """
        labels = encode_labels(self.columns["label"], encoding, where=self.label_where)
        return replace(self, columns={**self.columns, "label": labels})

    def sample(self, limit: int | None, *, seed: int) -> "Rows":
        """Return at most `limit` rows, drawn at random and kept in their order."""
        if limit is None or limit >= len(self):
            return self
        return self._take(np.random.default_rng(seed).permutation(len(self))[:limit])

    def hold_out(self, fraction: float, *, seed: int) -> tuple["Rows", "Rows"]:
        """Split into the rows that stay and a fraction of them, at least one, drawn at random.

        Raises:
            DataError: There is one row alone.
        """
        if len(self) < 2:
            raise DataError(
                f"{self.label_where} has one usable row alone, so none can be held out to validate "
                "on: add rows, or name a validation file or split."
            )
        order = np.random.default_rng(seed).permutation(len(self))
        held_out = max(1, round(fraction * len(self)))
        note = {"held_out_fraction": fraction, "held_out_seed": seed}
        validation = self._take(order[:held_out])
        return self._take(order[held_out:]), replace(
            validation, provenance={**self.provenance, **note}
        )

    def _take(self, chosen: np.ndarray) -> "Rows":
        order = np.sort(chosen).tolist()
        taken = {name: [values[row] for row in order] for name, values in self.columns.items()}
        return replace(self, columns=taken)


def usable_splits(
    train_table: Table,
    validation_table: Table | None,
    *,
    label_column: str | None,
    task: Task | None = None,
    problem: Problem | None = None,
    **options: Any,
) -> tuple[Rows, Rows | None, LabelEncoding | None]:
    """Return the usable rows of both tables, and what their labels mean if they have any.

    Args:
        train_table: Its labels decide.
        validation_table: The same columns.
        label_column: None to read no labels and keep every row.
        task: A known task.
        problem: What the labels are; None to tell by their values.
        options: More of `usable_rows`.

    Raises:
        DataError: As `usable_rows`, `fit_labels` and `encode_labels`.
    """
    options |= {"label_column": label_column, "task": task}
    train, encoding = usable_rows(train_table, problem=problem, **options), None
    if label_column is not None:
        labels, class_names = train.columns["label"], train_table.class_names.get(label_column)
        problem = problem or guess_problem(labels)
        encoding = fit_labels(
            labels,
            problem=problem,
            class_names=task.label_names if task else class_names,
            where=train.label_where,
        )
        train = train.encoded(encoding)
    if validation_table is None:
        return train, None, encoding
    validation = usable_rows(validation_table, problem=problem, **options)
    return train, validation if encoding is None else validation.encoded(encoding), encoding


def usable_rows(
    table: Table,
    *,
    text_columns: Sequence[str],
    label_column: str | None,
    keep: Sequence[str] = (),
    task: Task | None = None,
    problem: Problem | None = None,
) -> Rows:
    """Return the rows of a table that can be used.

    Args:
        table: The table.
        text_columns: One column of texts, or two.
        label_column: None to read no labels and keep every row.
        keep: Other columns to keep under their own names.
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
    columns |= {name: [table.columns[name][row] for row in rows] for name in keep}
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
