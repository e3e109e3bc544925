"""Load a task's rows as a training and a validation split.

The rows come from the packaged `agreement` task, data sets of the Hub, or local files. Rows may be
sampled and held out, and their source is recorded. Only downloads of `datasets` are cached.
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
from gelora.tasks.tables import (
    Table,
    Tables,
    is_saved,
    read_file,
    read_saved,
    read_saved_validation,
    read_split,
)
from gelora.tasks.task_data import NO_ROWS, TaskData

logger = logging.getLogger(__name__)

HELD_OUT_FRACTION = 0.1
"""Share of the training rows held out for validation where no validation split is named."""

_AGREEMENT = "agreement"
_VALIDATION = "validation"

File = str | Path | None


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
    tables = _open_tables(
        task,
        dataset=(dataset_name, dataset_config, dataset_train_split, dataset_test_split),
        files=(train_file, validation_file, validation_mismatched_file),
        train_required=train_required,
    )
    if problem is None and text_columns is None and label_column is None:
        check_not_elsewhere(tables.first)
    columns: dict[str, Any] = {"text_columns": text_columns, "label_column": label_column}
    if problem == "question_answering":
        settings = question_answering or QuestionAnsweringSettings()
        splits = question_splits(tables, task=task, settings=settings, drop_empty=drop_empty)
    elif problem == "instruction_tuning":
        splits = conversation_splits(tables, task=task, **columns)
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


def _open_tables(
    task: Task | None,
    *,
    dataset: tuple[str | None, str | None, str, str | None],
    files: tuple[File, File, File],
    train_required: bool,
) -> Tables:
    """Read a task's rows.

    Args:
        task: A known task, which says where its rows are and which splits to validate on.
        dataset: Name, configuration, and the splits to train and to validate on.
        files: To train on, to validate on, and MNLI's mismatched validation file.
        train_required: Whether a training file is needed; otherwise, where the task says what
            labels mean, the training file is not read.
    """
    name, config, train_split, test_split = dataset
    file = next((file for file in files if file is not None), None)
    if file is not None and name is not None:
        raise ConfigError(f"Give a file ({file}) or dataset_name ({name}), not both.")
    if file is not None:
        return _open_files(task, *files, train_required=train_required)
    if name is not None:
        return _open_dataset(task, name, config, train_split, test_split)
    if task is not None and task.name == _AGREEMENT:
        return Tables(_AGREEMENT, _packaged_table("train"), _packaged_table(_VALIDATION))
    if task is None or task.dataset is None:
        raise ConfigError("Nothing names the data: give task_name, dataset_name or train_file.")
    return _open_dataset(task, *task.dataset, train_split, test_split)


def _open_files(
    task: Task | None, train: File, validation: File, mismatched: File, *, train_required: bool
) -> Tables:
    others = [_ending(split) for split in task.validation_splits[1:]] if task else []
    if mismatched is not None and not others:
        raise ConfigError(
            f"validation_mismatched_file ({mismatched}) is for the task mnli, which alone has two "
            "sets to evaluate on."
        )
    if mismatched is not None and validation is None:
        raise ConfigError(
            f"validation_mismatched_file ({mismatched}) needs a validation_file beside it."
        )
    if task is not None and validation is not None and not train_required:
        train = None  # the task says all that its rows could
    if train is None and train_required:
        raise ConfigError(f"validation_file ({validation}) needs a train_file beside it.")
    name = task.name if task else Path(train or validation or "").name.partition(".")[0]
    more = {} if mismatched is None else {others[0]: read_file(mismatched)}
    train_table = own_validation = None
    if train is not None and is_saved(train):
        train_table, own_validation = read_saved(train)
    elif train is not None:
        train_table = read_file(train)
    if validation is not None:
        read = read_saved_validation if is_saved(validation) else read_file
        return Tables(name, train_table, read(validation), more)
    if own_validation is not None:
        logger.info("%s is validated on, for no validation_file is named.", own_validation.source)
    return Tables(name, train_table, own_validation)


def _open_dataset(
    task: Task | None, dataset: str, config: str | None, train_split: str, test_split: str | None
) -> Tables:
    name = task.name if task else Path(dataset).name if is_saved(dataset) else dataset
    if is_saved(dataset) and test_split is None:
        train, validation = read_saved(dataset, train_split)
        if validation is not None:
            logger.info(
                "%s is validated on, for no dataset_test_split is named.", validation.source
            )
        return Tables(name, train, validation)
    train = read_split(dataset, config, train_split)
    splits = (test_split,) if test_split else task.validation_splits if task else (_VALIDATION,)
    if test_split is None and splits[0] not in train.splits:
        names = ", ".join(train.splits)
        logger.info("%s has no split %r (it has %s): rows are held out.", dataset, splits[0], names)
        return Tables(name, train, None)
    first, *others = splits
    more = {_ending(split): read_split(dataset, config, split) for split in others}
    return Tables(name, train, read_split(dataset, config, first), more)


def _ending(split: str) -> str:
    return split.removeprefix(f"{_VALIDATION}_")


def _packaged_table(split: str) -> Table:
    folder = Path(__file__).parent / _AGREEMENT  # written by tools/agreement
    table = read_file(folder / f"{split}.csv.gz")
    provenance = {"packaged": _AGREEMENT, "split": split, "sha256": table.provenance["sha256"]}
    return replace(table, source=f"{_AGREEMENT} [{split}]", provenance=provenance)
