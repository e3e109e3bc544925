"""What a comparison leaves: a line for each run, its predictions, and labels to score them by.

`results.jsonl` has a `Row` a line, `predictions.jsonl` the `Predictions` of each, `trials.jsonl` a
`Trial` for each learning rate tried, `failures.jsonl` a `Failure`, and `labels.json` a `Reference`
for each task. `comparison.json` lists the rows that the last call asked for: what it did not ask
for, such as runs with settings that have changed since, stays in its file and out of the tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gelora.artifacts import read_json
from gelora.lab.comparison.lines import read_lines
from gelora.problems import Problem

RESULTS_FILE = "results.jsonl"
PREDICTIONS_FILE = "predictions.jsonl"
TRIALS_FILE = "trials.jsonl"
FAILURES_FILE = "failures.jsonl"
LABELS_FILE = "labels.json"
COMPARISON_FILE = "comparison.json"

REFERENCE_METHOD = "gelora"
"""What every other method is compared with."""

_CLOSE = 0.05


def meets_budget(budget: int, parameters: int) -> bool:
    """Say whether an adapter is within 5 % of a budget.

    >>> meets_budget(1000, 950), meets_budget(1000, 1051)
    (True, False)
    """
    return abs(parameters - budget) <= _CLOSE * budget


Key = tuple[str, str, str]
"""What tells a line from every other: its hash, its task with what is varied, the budget asked."""


def task_label(task: str, varied: Mapping[str, str]) -> str:
    """Return a task for people, with what is varied, in one order: it is part of a line's key.

    >>> task_label("cola", {"rounding": "up", "pooling": "last"})
    'cola (pooling=last, rounding=up)'
    """
    settings = ", ".join(f"{name}={value}" for name, value in sorted(varied.items()))
    return f"{task} ({settings})" if settings else task


@dataclass(frozen=True)
class Row:
    """One run: a method of one size, trained on a task with one seed, and how good it is.

    Attributes:
        hash: SHA-256 of all that decides the result, by content: data, model, method, size, seed,
            learning rate, training arguments, gelora's version. Rows that come to the same, such
            as a method of one size at two budgets, share one run and its hash.
        task: Its name in the comparison.
        method: As in `--methods`.
        varied: The settings that this run has otherwise than the others, by name; none but with
            `--vary`.
        budget: As it was asked for: "paper" (the parameters of the paper's ranks), "r=2", a number.
        budget_parameters: What that comes to for this task's model.
        size: In the method's own measure: a rank, the width of a bottleneck, or 0.
        parameters: "adapter": those beside the head that are left when training has ended;
            "head": the head's; "trained": what training moved, head included, before any pruning.
        meets_budget: The adapter's are within 5 % of the budget.
        seed: Of the new head, the adapter and the order of the texts.
        learning_rate: The peak.
        selection_seconds: Wall time of choosing ranks or directions before training: measuring,
            for ranks planned from a profile, whether or not another run used the same profile.
        forward_tokens: Tokens that this ran through the model, padding too.
        training_seconds: Wall time.
        steps: Optimiser steps.
        steps_per_second: Of training.
        peak_memory_bytes: Of the CUDA device, else of the run's whole process; None where the
            system does not tell.
        metrics: By name `value`, `standard_error` (over samples) and `num_samples`.
        headline_metric: The one to compare by.
        ranks: Of every adapted module by its path, where the method has ranks.
    """

    hash: str
    task: str
    method: str
    varied: Mapping[str, str]
    budget: str
    budget_parameters: int
    size: int
    parameters: Mapping[str, int]
    meets_budget: bool
    seed: int
    learning_rate: float
    selection_seconds: float
    forward_tokens: int
    training_seconds: float
    steps: int
    steps_per_second: float
    peak_memory_bytes: int | None
    metrics: Mapping[str, Mapping[str, float]]
    headline_metric: str
    ranks: Mapping[str, int]

    @property
    def key(self) -> Key:
        """Tells this row from every other."""
        return self.hash, task_label(self.task, self.varied), self.budget

    @property
    def value(self) -> float:
        """The headline metric."""
        return self.metrics[self.headline_metric]["value"]


@dataclass(frozen=True)
class Predictions:
    """What a run predicted of every validation item, in their order.

    Attributes:
        hash: Of the run's rows.
        values: One list an item's entry in each. Classification has "label" (class numbers),
            regression "number"; question answering every question's "f1" and "exact_match" (of 1),
            instruction tuning the completion's summed "loss" and its "tokens".
    """

    hash: str
    values: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Trial:
    """One learning rate, tried on a part of the training data and scored on the rest.

    Attributes:
        hash: As a row's.
        task: As a row's, and so are method, varied, budget, size, seed and learning_rate.
        method: The method.
        varied: Settings of `--vary`.
        budget: As asked for.
        size: The method's.
        seed: Of the trial.
        learning_rate: That was tried.
        metric: The task's headline metric.
        value: On the rest of the training data; None where training diverged.
        seconds: Wall time of training.
        loss: On the same rows, to tell equals by: mean cross-entropy in nats, or squared error;
            None for other problems, and where training diverged.
    """

    hash: str
    task: str
    method: str
    varied: Mapping[str, str]
    budget: str
    size: int
    seed: int
    learning_rate: float
    metric: str
    value: float | None
    seconds: float
    loss: float | None = None

    @property
    def key(self) -> Key:
        """Tells this trial from every other."""
        return self.hash, task_label(self.task, self.varied), self.budget


@dataclass(frozen=True)
class Failure:
    """A run, a trial or a rank selection of the last call that ended with an error.

    Attributes:
        stage: "ranks" (measuring and sizing), "trial" or "run".
        task: Its name in the comparison.
        method: The method, or empty where it is the task's ranks that failed.
        varied: Settings of `--vary`.
        budget: As asked for, or empty.
        seed: Of the run; None where there is none.
        learning_rate: Of the run; None where there is none.
        error: Its kind and its message.
        traceback: Where it was raised; empty for an error of gelora's.
    """

    stage: str
    task: str
    method: str
    varied: Mapping[str, str]
    budget: str
    seed: int | None
    learning_rate: float | None
    error: str
    traceback: str = ""


@dataclass(frozen=True)
class Reference:
    """What the predictions of a task are scored by.

    Attributes:
        problem: Of the task.
        metrics: Their names, the headline metric first.
        num_labels: The number of classes; 1 for a regression, 0 otherwise.
        labels: Class numbers, or numbers to predict; empty for the other problems, whose
            predictions are scores by themselves.
        sha256: Of the task's data.
    """

    problem: Problem
    metrics: Sequence[str]
    num_labels: int
    labels: Sequence[float]
    sha256: str


@dataclass(frozen=True)
class Results:
    """All that the last call asked for, as far as it is there.

    Attributes:
        rows: In the order they were asked for: by task, budget, method, seed.
        predictions: By the hash of their rows.
        trials: In the same order.
        failures: Of the last call.
        references: By task.
        settings: What was asked for: tasks, methods, budgets, seeds, learning_rates.
    """

    rows: Sequence[Row]
    predictions: Mapping[str, Predictions]
    trials: Sequence[Trial]
    failures: Sequence[Failure]
    references: Mapping[str, Reference]
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


def read_results(folder: str | Path) -> Results:
    """Read what a comparison has left in its folder, finished or not.

    Raises:
        ArtifactError: There is no comparison, or a file of it cannot be read.
    """
    folder = Path(folder)
    asked = read_json(folder / COMPARISON_FILE, kind="comparison")
    rows = {row.key: row for row in read_lines(folder / RESULTS_FILE, Row)}
    trials = {trial.key: trial for trial in read_lines(folder / TRIALS_FILE, Trial)}
    labels = read_json(folder / LABELS_FILE, kind="labels")["tasks"]
    return Results(
        rows=[rows[key] for key in map(tuple, asked["rows"]) if key in rows],
        predictions={p.hash: p for p in read_lines(folder / PREDICTIONS_FILE, Predictions)},
        trials=[trials[key] for key in map(tuple, asked["trials"]) if key in trials],
        failures=read_lines(folder / FAILURES_FILE, Failure),
        references={name: Reference(**fields) for name, fields in labels.items()},
        settings=asked["settings"],
    )
