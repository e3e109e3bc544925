"""The known tasks: their columns, their labels, their metrics, and where the Hub has them."""

import difflib
from dataclasses import dataclass
from typing import get_args

from gelora.errors import ConfigError
from gelora.problems import Problem


@dataclass(frozen=True)
class Task:
    """A task and how its results are reported.

    Attributes:
        name: As given to `--task_name`.
        text_columns: One column of texts, or two.
        label_column: The column of labels, answers or completions.
        problem: What a model is to do with the texts.
        label_names: The meaning of the labels 0, 1, ...; None where there are no classes.
        metrics: All metrics to report, the one to compare runs by first; none for `mt_bench`,
            whose answers a judge scores elsewhere.
        dataset: Repository and configuration on the Hub; None for what is packaged or local only.
        validation_splits: Names of the splits to evaluate on, the first the one that decides; the
            metrics of another have the rest of its name after theirs.
    """

    name: str
    text_columns: tuple[str, ...]
    label_column: str
    problem: Problem
    label_names: tuple[str, ...] | None
    metrics: tuple[str, ...]
    dataset: tuple[str, str | None] | None = None
    validation_splits: tuple[str, ...] = ("validation",)

    @property
    def num_labels(self) -> int:
        """The number of classes, 1 for a regression, 0 for the other problems."""
        if self.label_names is not None:
            return len(self.label_names)
        return 1 if self.problem == "regression" else 0

    @property
    def headline_metric(self) -> str:
        """The metric to compare runs by."""
        return self.metrics[0]


_SENTENCES = ("sentence1", "sentence2")
_ACCEPTABILITY = ("unacceptable", "acceptable")
_ENTAILMENT = ("entailment", "not_entailment")
_METRICS: dict[Problem, tuple[str, ...]] = {
    "regression": ("pearson", "spearman"),
    "question_answering": ("f1", "exact_match"),
    "instruction_tuning": ("perplexity",),
}
"""Metrics by problem; those of a classification depend on the task."""


def _glue(
    name: str,
    text_columns: tuple[str, ...],
    label_names: tuple[str, ...] | None,
    *metrics: str,
    validation_splits: tuple[str, ...] = ("validation",),
) -> Task:
    problem = "regression" if label_names is None else "classification"
    dataset = ("nyu-mll/glue", name)
    return Task(
        name, text_columns, "label", problem, label_names, metrics, dataset, validation_splits
    )


def _squad(name: str) -> Task:
    problem = "question_answering"
    columns = ("question", "context")
    return Task(
        name, columns, "answers", problem, None, _METRICS[problem], (f"rajpurkar/{name}", None)
    )


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("agreement", ("text",), "label", "classification", _ACCEPTABILITY, ("accuracy",)),
        _glue("cola", ("sentence",), _ACCEPTABILITY, "matthews_correlation", "accuracy"),
        _glue("sst2", ("sentence",), ("negative", "positive"), "accuracy"),
        _glue("mrpc", _SENTENCES, ("not_equivalent", "equivalent"), "f1", "accuracy"),
        _glue("qqp", ("question1", "question2"), ("not_duplicate", "duplicate"), "f1", "accuracy"),
        _glue("stsb", _SENTENCES, None, *_METRICS["regression"]),
        _glue(
            "mnli",
            ("premise", "hypothesis"),
            ("entailment", "neutral", "contradiction"),
            "accuracy",
            validation_splits=("validation_matched", "validation_mismatched"),
        ),
        _glue("qnli", ("question", "sentence"), _ENTAILMENT, "accuracy"),
        _glue("rte", _SENTENCES, _ENTAILMENT, "accuracy"),
        _glue("wnli", _SENTENCES, ("not_entailment", "entailment"), "accuracy"),
        _squad("squad"),
        _squad("squad_v2"),
        Task(
            "alpaca",
            ("instruction", "input"),
            "output",
            "instruction_tuning",
            None,
            _METRICS["instruction_tuning"],
            ("tatsu-lab/alpaca", None),
        ),
        Task("mt_bench", ("turns",), "reference", "instruction_tuning", None, ()),
    )
}


def less_is_better(metric: str) -> bool:
    """Say whether the lower of two values of a metric is the better one.

    >>> less_is_better("eval_perplexity"), less_is_better("accuracy")
    (True, False)
    """
    return metric.endswith(("loss", "perplexity"))


def find_task(name: str) -> Task:
    """Return the task of that name.

    Raises:
        ConfigError: There is none; the message names the nearest, or all.

    >>> find_task("cola").headline_metric
    'matthews_correlation'
    """
    if name in TASKS:
        return TASKS[name]
    near = difflib.get_close_matches(name.lower(), TASKS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the tasks are {', '.join(TASKS)}."
    raise ConfigError(f"There is no task {name!r}: {hint}")


def choose_problem(task_type: Problem | None, *, task: Task | None) -> Problem | None:
    """Return the task's problem, else `task_type`, else None to decide by the labels.

    Raises:
        ConfigError: There is no such problem, or the task is of the other kind.
    """
    if task_type is not None and task_type not in get_args(Problem):
        raise ConfigError(
            f"task_type must be one of {', '.join(get_args(Problem))}; got {task_type!r}."
        )
    if task is None or task_type == task.problem:
        return task_type
    if task_type is not None:
        raise ConfigError(
            f"The task {task.name} is {task.problem}, so task_type cannot be {task_type}: leave "
            "it out."
        )
    return task.problem


def default_metrics(problem: Problem, num_labels: int) -> tuple[str, ...]:
    """Return the metrics of a task that is not in the table, the headline metric first.

    F1 needs a positive class, so it is left out where there are more than two.

    >>> default_metrics("classification", 3)
    ('accuracy', 'matthews_correlation')
    """
    if problem != "classification":
        return _METRICS[problem]
    if num_labels == 2:
        return ("accuracy", "f1", "matthews_correlation")
    return ("accuracy", "matthews_correlation")
