"""Load texts and labels as a training and a validation split, and tokenise them.

From the generated `agreement` task, GLUE and other data sets of the Hub, or local CSV, JSON and
JSON Lines files. It puts together what `tables.py` reads, `columns.py` chooses and `labels.py`
understands, samples, and records where the rows came from. Nothing is cached on disk, but for what
`datasets` downloads.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset, concatenate_datasets
from transformers import PreTrainedTokenizerBase

from gelora.data.columns import choose_label_column, choose_text_columns
from gelora.data.labels import LabelEncoding
from gelora.data.rows import Rows, usable_splits
from gelora.data.sources import PHENOMENON, open_tables
from gelora.errors import ConfigError, DataError
from gelora.question_answering.settings import QuestionAnsweringSettings
from gelora.tasks import Problem, Task, choose_problem, default_metrics, find_task

logger = logging.getLogger(__name__)

HELD_OUT_FRACTION = 0.1
"""Of the training rows, taken for validation where no validation split is named."""

LABEL_COLUMNS: Mapping[Problem, str] = {
    "classification": "label",
    "regression": "label",
    "question_answering": "answers",
    "instruction_tuning": "completion",
}
"""The column of a split that holds what a model is to say."""

_TOKENIZE_ROWS = 1000


@dataclass(frozen=True)
class TaskData:
    """The two splits of a task, checked, with what their labels mean.

    Attributes:
        name: The task's name, the data set's, or the training file's.
        train: Columns by the problem. Classification and regression: `text`, `text_pair` for pairs
            of texts, and `label` unless unlabelled; the `agreement` task also has `phenomenon`.
            Question answering: `id`, `text` (the question), `text_pair` (the context) and
            `answers` (`text` and `answer_start`, both lists). Instruction tuning: `prompt` and
            `completion`, either both texts or both lists of messages (`role`, `content`).
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
    problem_type: Problem | None = None,
    max_train_samples: int | None = None,
    max_eval_samples: int | None = None,
    seed: int = 0,
    labels_required: bool = True,
    question_answering: QuestionAnsweringSettings | None = None,
) -> TaskData:
    """Load, check and sample a task's data.

    The rows come from `train_file`, or from `dataset_name`, or else from the task itself: generated
    for `agreement`, from GLUE on the Hub for the others. A task named beside a file or a data set
    gives the columns, labels and metrics. Where there is nothing to validate on, a tenth of the
    training rows is held out for it.

    Args:
        task_name: A key of `TASKS`.
        dataset_name: A data set of the Hub, or a local folder of one.
        dataset_config: Its config, for data sets that have several.
        dataset_train_split: Its split to train on.
        dataset_test_split: Its split to validate on; None for `validation`, and where there is no
            such split, to hold rows out.
        train_file: A .csv, .json or .jsonl file, or one of these + .gz.
        validation_file: The same for validation; None holds rows out.
        validation_mismatched_file: The same for MNLI's second validation set.
        text_columns: One column or two; else the task's, usual names, or the only texts there are.
        label_column: Else the task's, `label` or `labels`.
        problem_type: Else the task's, or a regression if any label is a fraction. Whole numbers,
            such as stars, are classes unless it is said here that they are to be predicted.
        max_train_samples: Train on so many rows drawn at random, in their order.
        max_eval_samples: Validate on so many.
        seed: Of the draws and of the rows held out, not of the `agreement` task's sentences.
        labels_required: False for measuring alone. Labels that there are still decide which rows
            are left out, as in training; where none can be told or used, every row is kept.
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
    problem = choose_problem(problem_type, task=task)
    name, train_table, validation_table = open_tables(
        task,
        dataset=(dataset_name, dataset_config, dataset_train_split, dataset_test_split),
        files=(train_file, validation_file),
    )

    def read(labels: str | None) -> tuple[Rows, Rows | None, LabelEncoding | None]:
        texts = choose_text_columns(
            train_table, text_columns, task=task, label_column=labels or label_column
        )
        return usable_splits(
            train_table,
            validation_table,
            text_columns=texts,
            label_column=labels,
            keep=(PHENOMENON,) if "generated" in train_table.provenance else (),
            task=task,
            problem=problem,
        )

    try:
        train, validation, encoding = read(
            choose_label_column(train_table, label_column, task=task)
        )
    except DataError:
        if labels_required:
            raise
        train, validation, encoding = read(None)
    if validation is None:
        train, validation = train.hold_out(HELD_OUT_FRACTION, seed=seed)
    train = train.sample(max_train_samples, seed=seed)
    validation = validation.sample(max_eval_samples, seed=seed)
    logger.info(
        "%s: %d texts, %s; %d %sto validate on",
        train_table.source,
        len(train),
        encoding or "without labels",
        len(validation),
        "held out " if validation_table is None else "",
    )
    if encoding is None:
        encoding = LabelEncoding(problem or "classification", 0, None, {})
    return _task_data(name, train, validation, task=task, encoding=encoding)


def texts_of(dataset: Dataset) -> list[str] | list[tuple[str, str]]:
    """Return the texts, or the pairs of texts, of a split of `TaskData`."""
    texts = list(dataset["text"])
    if "text_pair" not in dataset.column_names:
        return texts
    return list(zip(texts, dataset["text_pair"], strict=True))


def tokenize(
    dataset: Dataset, tokenizer: PreTrainedTokenizerBase, *, max_length: int | None
) -> Dataset:
    """Tokenise a split of `TaskData`, in memory.

    Args:
        dataset: The split.
        tokenizer: The model's own.
        max_length: Tokens at most, special ones and both texts of a pair together; None to cut
            nothing. `batches.token_limit` says what the model takes.

    Returns:
        The tokenizer's columns (`input_ids`, `attention_mask`, for some `token_type_ids`), not
        padded, and `labels` unless unlabelled.
    """
    parts: list[Dataset] = []
    for start in range(0, len(dataset), _TOKENIZE_ROWS):
        rows: dict[str, list[Any]] = dataset[start : start + _TOKENIZE_ROWS]
        pairs = rows.get("text_pair")
        cut = {"truncation": max_length is not None, "max_length": max_length}
        encoded = tokenizer(rows["text"], pairs, **cut)
        labels = {"labels": rows["label"]} if "label" in rows else {}
        parts.append(Dataset.from_dict({**encoded, **labels}))
    return concatenate_datasets(parts)


def _check_limits(**limits: int | None) -> None:
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            raise ConfigError(f"{name} must be 1 or more; got {limit}.")


def _task_data(
    name: str,
    train: Rows,
    validation: Rows,
    *,
    task: Task | None,
    encoding: LabelEncoding,
) -> TaskData:
    metrics = task.metrics if task else default_metrics(encoding.problem, encoding.num_labels)
    splits = {"train": train, "validation": validation}
    return TaskData(
        name=name,
        train=Dataset.from_dict(train.columns),
        validation=Dataset.from_dict(validation.columns),
        problem=encoding.problem,
        num_labels=encoding.num_labels,
        label_names=encoding.names,
        metrics=metrics,
        headline_metric=task.headline_metric if task else metrics[0],
        provenance={
            split: {**rows.provenance, "rows": len(rows)} for split, rows in splits.items()
        },
    )
