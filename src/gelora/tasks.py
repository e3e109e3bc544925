"""What each known task is: its columns, its labels and its metrics, as GLUE reports them.

It holds no data and downloads none; `data.py` does.
"""

import difflib
from dataclasses import dataclass
from typing import Literal, get_args

from gelora.errors import ConfigError

Problem = Literal["classification", "regression", "question_answering", "instruction_tuning"]


@dataclass(frozen=True)
class Task:
    """A task and how its results are reported.

    Attributes:
        name: As given to `--task_name`.
        text_columns: One column of texts, or two.
        label_column: The column of labels, answers or completions.
        problem: What a model is to do with the texts.
        num_labels: Classes, 1 for a regression, 0 for the other problems.
        label_names: The meaning of the labels 0, 1, ...; None where there are no classes.
        metrics: All metrics to report.
        headline_metric: The one to compare runs by.
        dataset: Repository and configuration on the Hub; None for what is generated or local only.
        validation_splits: Names of the splits to evaluate on, the first the one that decides; the
            metrics of another have the rest of its name after theirs.
    """

    name: str
    text_columns: tuple[str, ...]
    label_column: str
    problem: Problem
    num_labels: int
    label_names: tuple[str, ...] | None
    metrics: tuple[str, ...]
    headline_metric: str
    dataset: tuple[str, str | None] | None = None
    validation_splits: tuple[str, ...] = ("validation",)


def _classification(
    name: str,
    text_columns: tuple[str, ...],
    label_names: tuple[str, ...],
    *metrics: str,
) -> Task:
    return Task(
        name=name,
        text_columns=text_columns,
        label_column="label",
        problem="classification",
        num_labels=len(label_names),
        label_names=label_names,
        metrics=metrics,
        headline_metric=metrics[0],
    )


_ENTAILMENT = ("entailment", "not_entailment")
_SENTENCES = ("sentence1", "sentence2")

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        _classification("agreement", ("text",), ("unacceptable", "acceptable"), "accuracy"),
        _classification(
            "cola",
            ("sentence",),
            ("unacceptable", "acceptable"),
            "matthews_correlation",
            "accuracy",
        ),
        _classification("sst2", ("sentence",), ("negative", "positive"), "accuracy"),
        _classification("mrpc", _SENTENCES, ("not_equivalent", "equivalent"), "f1", "accuracy"),
        _classification(
            "qqp", ("question1", "question2"), ("not_duplicate", "duplicate"), "f1", "accuracy"
        ),
        Task(
            name="stsb",
            text_columns=_SENTENCES,
            label_column="label",
            problem="regression",
            num_labels=1,
            label_names=None,
            metrics=("pearson", "spearman"),
            headline_metric="pearson",
        ),
        _classification("qnli", ("question", "sentence"), _ENTAILMENT, "accuracy"),
        _classification("rte", _SENTENCES, _ENTAILMENT, "accuracy"),
        _classification("wnli", _SENTENCES, ("not_entailment", "entailment"), "accuracy"),
    )
}


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


def choose_problem(wanted: Problem | None, *, task: Task | None) -> Problem | None:
    """Return the task's problem, the one the user named, or None to tell it by the labels.

    Raises:
        ConfigError: There is no such problem, or the task is of the other kind.
    """
    if wanted is not None and wanted not in get_args(Problem):
        raise ConfigError(
            f"problem_type must be one of {', '.join(get_args(Problem))}; got {wanted!r}."
        )
    if task is None or wanted == task.problem:
        return wanted
    if wanted is not None:
        raise ConfigError(
            f"The task {task.name} is a {task.problem}, so problem_type cannot be {wanted}: leave "
            "it out."
        )
    return task.problem


def default_metrics(problem: Problem, num_labels: int) -> tuple[str, ...]:
    """Return the metrics of a task that is not in the table, the headline metric first.

    F1 needs a positive class, so it is left out where there are more than two.

    >>> default_metrics("classification", 3)
    ('accuracy', 'matthews_correlation')
    """
    if problem == "regression":
        return ("pearson", "spearman")
    if num_labels == 2:
        return ("accuracy", "f1", "matthews_correlation")
    return ("accuracy", "matthews_correlation")
