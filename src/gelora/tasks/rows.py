"""The usable rows of a split, and those of them that are drawn or held out."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gelora.errors import DataError
from gelora.problems import Problem
from gelora.tasks.question_answering.settings import QuestionAnsweringSettings


@dataclass(frozen=True)
class Rows:
    """Rows to train or to validate on.

    Attributes:
        columns: Those of `TaskData`, and any to be kept.
        label_where: The labels' column and source, for messages.
        provenance: JSON-able.
    """

    columns: dict[str, list[Any]]
    label_where: str
    provenance: dict[str, Any]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def sample(self, limit: int | None, *, seed: int) -> "Rows":
        """Return at most `limit` rows, drawn at random and kept in their order."""
        if limit is None or limit >= len(self):
            return self
        return self.take(np.random.default_rng(seed).permutation(len(self))[:limit])

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
        validation = self.take(order[:held_out])
        return self.take(order[held_out:]), replace(
            validation, provenance={**self.provenance, **note}
        )

    def take(self, chosen: np.ndarray) -> "Rows":
        """Return the chosen rows, in their order."""
        order = np.sort(chosen).tolist()
        taken = {name: [values[row] for row in order] for name, values in self.columns.items()}
        return replace(self, columns=taken)


NO_ROWS = Rows(columns={}, label_where="", provenance={})


@dataclass(frozen=True)
class Splits:
    """The usable rows of all tables of a task.

    Attributes:
        train: None where there is no such table, like the next.
        validation: The same columns.
        problem: What a model is to do with the texts.
        summary: What the rows hold, for the log.
        num_labels: As in `TaskData`, like the next.
        label_names: The classes by number.
        more_validation: Further rows to validate on, by the ending of their metrics' names.
        question_answering: As in `TaskData`.
    """

    train: Rows | None
    validation: Rows | None
    problem: Problem
    summary: str
    num_labels: int = 0
    label_names: tuple[str, ...] | None = None
    more_validation: Mapping[str, Rows] = field(default_factory=dict[str, Rows])
    question_answering: QuestionAnsweringSettings | None = None
