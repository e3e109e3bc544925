"""Load texts and labels as a training and a validation split, and tokenise them.

From the generated `agreement` task, GLUE and other data sets of the Hub, or local CSV, JSON and
JSON Lines files. It puts together what `tables.py` reads, `columns.py` chooses and `labels.py`
understands, samples, and records where the rows came from. Nothing is cached on disk, but for what
`datasets` downloads.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, concatenate_datasets
from transformers import PreTrainedTokenizerBase

from gelora.data.agreement import Sentence, agreement
from gelora.data.columns import choose_label_column, choose_text_columns
from gelora.data.labels import LabelEncoding
from gelora.data.rows import Rows, usable_splits
from gelora.data.tables import Table, read_file, read_split
from gelora.errors import ConfigError, DataError
from gelora.tasks import Problem, Task, choose_problem, default_metrics, find_task

logger = logging.getLogger(__name__)

GLUE = "nyu-mll/glue"

HELD_OUT_FRACTION = 0.1
"""Of the training rows, taken for validation where no validation split is named."""

_VALIDATION = "validation"
_AGREEMENT = "agreement"
_PHENOMENON = "phenomenon"
_AGREEMENT_SEED = 0  # the sentences stay the same in runs of other seeds, as a download would
_TOKENIZE_ROWS = 1000


@dataclass(frozen=True)
class TaskData:
    """The two splits of a task, checked, with what their labels mean.

    Attributes:
        name: The task's name, the data set's, or the training file's.
        train: Columns `text`, `text_pair` for pairs of texts, and `label` unless unlabelled. The
            `agreement` task also has `phenomenon`.
        validation: The same columns; None only if the caller made it so.
        problem: `classification` or `regression`.
        num_labels: The number of classes, 1 for a regression, 0 for unlabelled texts.
        label_names: The classes by number, or None if they have no names.
        metrics: What to report.
        headline_metric: What to compare runs by.
        provenance: JSON-able: files' names and SHA-256 or the Hub revision, rows, rows skipped.
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


def load_task_data(
    *,
    task_name: str | None = None,
    dataset_name: str | None = None,
    dataset_config: str | None = None,
    dataset_train_split: str = "train",
    dataset_test_split: str | None = None,
    train_file: str | Path | None = None,
    validation_file: str | Path | None = None,
    text_columns: Sequence[str] | None = None,
    label_column: str | None = None,
    problem_type: Problem | None = None,
    max_train_samples: int | None = None,
    max_eval_samples: int | None = None,
    seed: int = 0,
    labels_required: bool = True,
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
        text_columns: One column or two; else the task's, usual names, or the only texts there are.
        label_column: Else the task's, `label` or `labels`.
        problem_type: Else the task's, or a regression if any label is a fraction. Whole numbers,
            such as stars, are classes unless it is said here that they are to be predicted.
        max_train_samples: Train on so many rows drawn at random, in their order.
        max_eval_samples: Validate on so many.
        seed: Of the draws and of the rows held out, not of the `agreement` task's sentences.
        labels_required: False for measuring alone. Labels that there are still decide which rows
            are left out, as in training; where none can be told or used, every row is kept.

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
    name, train_table, validation_table = _open(
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
            keep=(_PHENOMENON,) if "generated" in train_table.provenance else (),
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


def _open(
    task: Task | None,
    *,
    dataset: tuple[str | None, str | None, str, str | None],
    files: tuple[str | Path | None, str | Path | None],
) -> tuple[str, Table, Table | None]:
    """Return the data's name, the training table, and the validation table if one is named."""
    dataset_name, config, train_split, validation_split = dataset
    train_file, validation_file = files
    if train_file is not None and dataset_name is not None:
        raise ConfigError(
            f"Give train_file ({train_file}) or dataset_name ({dataset_name}), not both."
        )
    if train_file is None and validation_file is not None:
        raise ConfigError(f"validation_file ({validation_file}) needs a train_file beside it.")
    if train_file is not None:
        name = task.name if task else Path(train_file).name.partition(".")[0]
        validation = None if validation_file is None else read_file(validation_file)
        return name, read_file(train_file), validation
    if dataset_name is None:
        if task is None:
            raise ConfigError("Nothing names the data: give task_name, dataset_name or train_file.")
        if task.name == _AGREEMENT:
            return task.name, *_generated_tables()
        dataset_name, config = GLUE, task.name
    name = task.name if task else dataset_name
    train = read_split(dataset_name, config, train_split)
    if validation_split is None and _VALIDATION not in train.splits:
        logger.info(
            "%s has no split %r (it has %s): rows are held out.",
            dataset_name,
            _VALIDATION,
            ", ".join(train.splits),
        )
        return name, train, None
    return name, train, read_split(dataset_name, config, validation_split or _VALIDATION)


def _generated_tables() -> tuple[Table, Table]:
    train, validation = agreement(seed=_AGREEMENT_SEED)
    return _generated_table(train, "train"), _generated_table(validation, "validation")


def _generated_table(sentences: Sequence[Sentence], split: str) -> Table:
    lines = [f"{sentence.label} {sentence.text}\n" for sentence in sentences]
    return Table(
        source=f"{_AGREEMENT} [{split}]",
        columns={
            "text": [sentence.text for sentence in sentences],
            "label": [sentence.label for sentence in sentences],
            _PHENOMENON: [sentence.phenomenon for sentence in sentences],
        },
        string_columns=("text",),
        provenance={
            "generated": _AGREEMENT,
            "split": split,
            "seed": _AGREEMENT_SEED,
            "sha256": hashlib.sha256("".join(lines).encode()).hexdigest(),
        },
    )


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
