"""What a comparison leaves: a line for each run, its predictions, and labels to score them by.

`results.jsonl` has a `RunResult` a line, `predictions.jsonl` the `Predictions` of each run,
`trials.jsonl` a `Trial` for each learning rate tried, `failures.jsonl` a `Failure`, and
`labels.json` a `Reference` for each task. `comparison.json` lists the lines that the last call
asked for. Other lines, such as those of earlier settings, stay in their file and out of the tables.
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
class _Run:
    """What tells one run from another, as its line in a file has it.

    Attributes:
        hash: SHA-256 of all that decides the result, by content: data, model, method, size, seed,
            learning rate, training arguments, gelora's source. A method that has one size at two
            budgets is run once, and its lines share this hash.
        task: Name of the task in the comparison.
        method: As in `--methods`.
        varied: The settings that `--vary` changed in this run, by name.
        budget: As it was asked for: "paper" (the parameters of the paper's ranks), "r=2", a number.
        size: In the method's own measure: a rank, the width of a bottleneck, or 0.
        seed: Of the new head, the adapter and the order of the texts.
        learning_rate: The peak.
    """

    hash: str
    task: str
    method: str
    varied: Mapping[str, str]
    budget: str
    size: int
    seed: int
    learning_rate: float

    @property
    def key(self) -> Key:
        """Identifies the line in its file."""
        return self.hash, task_label(self.task, self.varied), self.budget


@dataclass(frozen=True)
class RunResult(_Run):
    """One run: a method of one size, trained on a task with one seed, and its scores.

    Attributes:
        budget_parameters: Parameters of the budget for this task's model.
        parameters: "adapter": those outside the head that are left after training; "head": the
            head's; "trained": all that training moved, before any pruning.
        meets_budget: Whether the adapter's parameters are within 5 % of the budget.
        selection_seconds: Wall time of choosing ranks or directions before training. Measuring
            counts for every method that plans from the profile, though it is done once.
        forward_tokens: Tokens, padding included, that this ran through the model.
        training_seconds: Wall time.
        steps: Optimizer steps.
        steps_per_second: Of training.
        peak_memory_bytes: Of the CUDA device, else of the run's whole process; None where the
            system does not tell.
        metrics: By name `value`, `standard_error` (over samples) and `num_samples`.
        headline_metric: The metric to compare by.
        ranks: Of every adapted module by its path, where the method has ranks.
    """

    budget_parameters: int
    parameters: Mapping[str, int]
    meets_budget: bool
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
    def value(self) -> float:
        """The headline metric."""
        return self.metrics[self.headline_metric]["value"]


@dataclass(frozen=True)
class Predictions:
    """What a run predicted of every validation item, in their order.

    Attributes:
        hash: Of the run.
        values: Lists with one entry for each item. Classification has "label" (class numbers),
            regression "number", question answering every question's "f1" and "exact_match" (of 1),
            instruction tuning the completion's summed "loss" and its "tokens".
    """

    hash: str
    values: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Trial(_Run):
    """One learning rate, tried on a part of the training data and scored on the rest.

    Attributes:
        metric: The task's headline metric.
        value: On the rest of the training data; None where training diverged.
        seconds: Wall time of training.
        loss: On the same rows: mean cross-entropy in nats, or squared error. It decides between
            equal values. None for other problems, and where training diverged.
    """

    metric: str
    value: float | None
    seconds: float
    loss: float | None = None


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

    rows: Sequence[RunResult]
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
    request = read_json(folder / COMPARISON_FILE, kind="comparison")
    rows = {row.key: row for row in read_lines(folder / RESULTS_FILE, RunResult)}
    trials = {trial.key: trial for trial in read_lines(folder / TRIALS_FILE, Trial)}
    labels = read_json(folder / LABELS_FILE, kind="labels")["tasks"]
    return Results(
        rows=[rows[key] for key in map(tuple, request["rows"]) if key in rows],
        predictions={p.hash: p for p in read_lines(folder / PREDICTIONS_FILE, Predictions)},
        trials=[trials[key] for key in map(tuple, request["trials"]) if key in trials],
        failures=read_lines(folder / FAILURES_FILE, Failure),
        references={name: Reference(**fields) for name, fields in labels.items()},
        settings=request["settings"],
    )
