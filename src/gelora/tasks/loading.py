"""Load a task's rows as a training and a validation split.

The rows come from the packaged `agreement` task, data sets of the Hub, or local files. They are
read, sampled and held out, and their source is recorded. Only downloads of `datasets` are cached.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gelora.errors import ConfigError
from gelora.problems import SAMPLE_WORDS, Problem
from gelora.tasks.classification.labelled import labelled_splits
from gelora.tasks.columns import check_not_elsewhere
from gelora.tasks.instruction_tuning.conversations import conversation_splits
from gelora.tasks.instruction_tuning.messages import as_dataset
from gelora.tasks.known import Task, choose_problem, default_metrics, find_task
from gelora.tasks.question_answering.questions import question_splits
from gelora.tasks.question_answering.settings import QuestionAnsweringSettings
from gelora.tasks.sources import Tables, open_tables
from gelora.tasks.task_data import NO_ROWS, Splits, TaskData

logger = logging.getLogger(__name__)

HELD_OUT_FRACTION = 0.1
"""Of the training rows, taken for validation where no validation split is named."""


def load_task_data(
    *,
    task_name: str | None = None,
    dataset_name: str | None = None,
    dataset_config: str | None = None,
    dataset_train_split: str = "train",
    dataset_test_split: str | None = None,
    train_file: str | Path | None = None,
    validation_file: str | Path | None = None,
    validation_mismatched_file: str | Path | None = None,
    text_columns: Sequence[str] | None = None,
    label_column: str | None = None,
    task_type: Problem | None = None,
    max_train_samples: int | None = None,
    max_eval_samples: int | None = None,
    missing_labels: Sequence[str] | None = None,
    drop_empty: bool = False,
    seed: int = 0,
    labels_required: bool = True,
    train_required: bool = True,
    question_answering: QuestionAnsweringSettings | None = None,
) -> TaskData:
    """Load, check and sample a task's data.

    The rows come from the files named, or from `dataset_name`, or else from the task itself:
    packaged for `agreement`, from the Hub for the others. A task named beside a file or a data set
    gives the columns, labels and metrics. Where there is nothing to validate on, a tenth of the
    training rows is held out for it.

    Args:
        task_name: A key of `TASKS`.
        dataset_name: A data set of the Hub, or a local folder of one.
        dataset_config: Its config, for data sets that have several.
        dataset_train_split: Its split to train on.
        dataset_test_split: Its split to validate on; None for the task's own, else `validation`,
            and where there is no such split, to hold rows out.
        train_file: A file of `FILE_KINDS` (CSV with any usual separator, JSON, JSON lines, Parquet,
            Arrow), or the folder of a data set that `save_to_disk` wrote, whose own split is then
            validated on.
        validation_file: The same for validation; None holds rows out.
        validation_mismatched_file: The same for MNLI's second validation set.
        text_columns: One column or two; else the task's, usual names, or the only texts there are.
            Question answering always reads `question`, `context` and `answers`.
        label_column: Else the task's, `label` or `labels`.
        task_type: Else the task's, or a regression if any label is a fraction. Whole numbers,
            such as stars, are classes unless it is said here that they are to be predicted.
        max_train_samples: Train on so many rows drawn at random, in their order.
        max_eval_samples: Validate on so many.
        missing_labels: Texts that say that a row has no label; None for null, blank, NaN and, in a
            column of numbers, the usual texts for NaN. Such rows are set aside and counted.
        drop_empty: Whether rows with an empty text are set aside and counted, not refused.
        seed: Of the draws and of the rows held out, not of the `agreement` task's sentences.
        labels_required: False for measuring alone. Labels that there are still decide which rows
            are left out, as in training; where none can be told or used, every row is kept.
        train_required: False for evaluating alone: a validation file is enough, unless the training
            rows tell which classes there are. Of a known task, no training file is read then.
        question_answering: How contexts are split and answers chosen; None for the defaults.

    Returns:
        The task's data.

    Raises:
        ConfigError: The arguments name no source or two, an unknown task, or no possible number.
        DataError: The data cannot be used: a file, a column, a text or a label.

    >>> data = load_task_data(task_name="agreement", max_train_samples=100)
    >>> len(data.train), len(data.validation), data.label_names
    (100, 1000, ('unacceptable', 'acceptable'))
    """
    _check_limits(max_train_samples=max_train_samples, max_eval_samples=max_eval_samples)
    task = None if task_name is None else find_task(task_name)
    problem = choose_problem(task_type, task=task)
    _check_columns(task, problem, text_columns=text_columns, label_column=label_column)
    tables = open_tables(
        task,
        dataset=(dataset_name, dataset_config, dataset_train_split, dataset_test_split),
        files=(train_file, validation_file, validation_mismatched_file),
        train_required=train_required,
    )
    if problem is None and text_columns is None and label_column is None:
        check_not_elsewhere(tables.first)
    columns: dict[str, Any] = {"text_columns": text_columns, "label_column": label_column}
    if problem == "question_answering":
        splits = _questions(tables, task, question_answering, drop_empty=drop_empty)
    elif problem == "instruction_tuning":
        rows = conversation_splits(tables.train, tables.validation, task=task, **columns)
        splits = Splits(*rows, problem, "completions to learn")
    else:
        splits = labelled_splits(
            tables,
            **columns,
            task=task,
            problem=problem,
            labels_required=labels_required,
            missing_labels=missing_labels,
            drop_empty=drop_empty,
        )
    train, validation = splits.train or NO_ROWS, splits.validation
    if validation is None:
        train, validation = train.hold_out(HELD_OUT_FRACTION, seed=seed)
    train = train.sample(max_train_samples, seed=seed)
    validation = validation.sample(max_eval_samples, seed=seed)
    more = {
        ending: rows.sample(max_eval_samples, seed=seed)
        for ending, rows in splits.more_validation.items()
    }
    counted = f"{len(train)} {SAMPLE_WORDS[splits.problem]}, "
    logger.info(
        "%s: %s%s; %d %sto validate on",
        tables.first.source,
        counted if len(train) else "",  # evaluating needs none
        splits.summary,
        len(validation) + sum(map(len, more.values())),
        "held out " if splits.validation is None else "",
    )
    metrics = task.metrics if task else default_metrics(splits.problem, splits.num_labels)
    return TaskData(
        name=tables.name,
        train=as_dataset(train.columns),
        validation=as_dataset(validation.columns),
        problem=splits.problem,
        num_labels=splits.num_labels,
        label_names=splits.label_names,
        metrics=metrics,
        headline_metric=metrics[0],
        provenance={
            split: {**rows.provenance, "rows": len(rows)}
            for split, rows in {"train": train, "validation": validation, **more}.items()
        },
        more_validation={ending: as_dataset(rows.columns) for ending, rows in more.items()},
        question_answering=splits.question_answering,
    )


def _questions(
    tables: Tables,
    task: Task | None,
    settings: QuestionAnsweringSettings | None,
    *,
    drop_empty: bool,
) -> Splits:
    settings = settings or QuestionAnsweringSettings()
    train, validation, version_2 = question_splits(
        tables.train,
        tables.validation,
        task=task,
        version_2_with_negative=settings.version_2_with_negative,
        drop_empty=drop_empty,
    )
    settings = replace(settings, version_2_with_negative=version_2)
    return Splits(
        train, validation, "question_answering", "answers to find", question_answering=settings
    )


def _check_limits(**limits: int | None) -> None:
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            raise ConfigError(f"{name} must be 1 or more; got {limit}.")


def _check_columns(
    task: Task | None, problem: Problem | None, **columns: Sequence[str] | str | None
) -> None:
    if task is not None and not task.metrics:
        raise ConfigError(
            f"The task {task.name} holds questions alone, no answers to learn or to score: it is "
            "for gelora evaluate, which writes a model's answers."
        )
    named = next((name for name, value in columns.items() if value is not None), None)
    if problem == "question_answering" and named is not None:
        raise ConfigError(
            f"{named} is not for question answering, which reads the columns question, context and "
            "answers: leave it out, and name the columns so."
        )
