"""The rows of a task: those of a table that can be used, and the two splits made of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from datasets import Dataset

from gelora.errors import DataError
from gelora.hidden_states.batches import Texts
from gelora.problems import Problem
from gelora.tasks.instruction_tuning.chats import Chats
from gelora.tasks.instruction_tuning.messages import chat_columns
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


Score = TypeVar("Score")

LABEL_COLUMNS: Mapping[Problem, str] = {
    "classification": "label",
    "regression": "label",
    "question_answering": "answers",
    "instruction_tuning": "completion",
}
"""The column of a split that holds what a model is to say."""


@dataclass(frozen=True)
class TaskData:
    """The two splits of a task, checked, with what their labels mean.

    Attributes:
        name: The task's name, the data set's, or the training file's.
        train: Columns by the problem. Classification and regression: `text`, `text_pair` for pairs
            of texts, and `label` unless unlabelled; the `agreement` task also has `phenomenon`.
            Question answering: `id`, `text` (the question), `text_pair` (the context) and
            `answers` (`text` and `answer_start`, both lists). Instruction tuning: `prompt` and
            `completion`, either both texts or both lists of messages (`role`, `content`, and what
            else its chat template reads), with `tools` and `chat_template_kwargs` if any row has
            them. No rows
            and no columns where a validation file alone was named.
        validation: The same columns; None only if the caller made it so.
        problem: What a model is to do with the texts.
        num_labels: The number of classes, 1 for a regression, 0 for unlabelled texts and for the
            other problems.
        label_names: The classes by number, or None if they have no names.
        metrics: What to report.
        headline_metric: What to compare runs by.
        provenance: JSON-able: files' names and SHA-256 or the Hub revision, rows, rows skipped.
        more_validation: Further splits to evaluate on, by the ending of their metrics' names.
        question_answering: How contexts are split and answers chosen; None for other problems.
    """

    name: str
    train: Dataset
    validation: Dataset | None
    problem: Problem
    num_labels: int
    label_names: tuple[str, ...] | None
    metrics: tuple[str, ...]
    headline_metric: str
    provenance: Mapping[str, Any]
    more_validation: Mapping[str, Dataset] = field(default_factory=dict[str, Dataset])
    question_answering: QuestionAnsweringSettings | None = None

    def score_splits(self, score: Callable[["TaskData"], Mapping[str, Score]]) -> dict[str, Score]:
        """Return the scores of every split to validate on, by name.

        Args:
            score: Called with each split as the `validation` of this data. The names of further
                splits' scores get the splits' endings, such as `accuracy_mismatched`, and so does
                that of the data.
        """
        scores = dict(score(self))
        for ending, split in self.more_validation.items():
            further = replace(self, name=f"{self.name}_{ending}", validation=split)
            scores |= {f"{name}_{ending}": value for name, value in score(further).items()}
        return scores


def texts_of(dataset: Dataset) -> Texts:
    """Return the texts of a split, its pairs of texts, or its prompts with completions."""
    if "completion" in dataset.column_names:
        return Chats(chat_columns(dataset).to_list())
    texts = list(dataset["text"])
    if "text_pair" not in dataset.column_names:
        return texts
    return list(zip(texts, dataset["text_pair"], strict=True))


def labelled_validation(data: TaskData) -> Dataset:
    """Return the validation split.

    Raises:
        DataError: There is none, or it has no labels or no rows.
    """
    validation = data.validation
    is_labelled = validation is not None and LABEL_COLUMNS[data.problem] in validation.column_names
    if validation is None or not is_labelled or len(validation) == 0:
        raise DataError(
            f"{data.name} has no labelled validation texts: name a validation file or split."
        )
    return validation
