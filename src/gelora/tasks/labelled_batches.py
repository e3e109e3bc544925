"""Labelled rows as their problem's Trainer prepares them, to measure a model with a head on."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, TrainingArguments

from gelora.errors import DataError
from gelora.tasks.task_data import LABEL_COLUMNS, TaskData
from gelora.tasks.train import make_trainer


def labelled_batches(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    arguments: TrainingArguments,
    split: Literal["train", "validation"] = "train",
    max_length: int | None = None,
    num_rows: int | None = None,
    batch_size: int = 1,
    seed: int = 0,
) -> Iterator[dict[str, Tensor]]:
    """Draw rows of a split and yield them as their problem's Trainer batches them.

    A row of question answering is a window of a context. Texts for instruction tuning are not
    packed, and those that are cut before their completion are left out. Batches of more than one
    row hold rows of similar length, the longest first.

    Args:
        model: With a head for the problem, wrapped or not; it leaves as it came.
        tokenizer: The model's own.
        data: The rows are drawn from it.
        arguments: The Trainer's own, as for training; for instruction tuning a `trl.SFTConfig`.
        split: Which rows.
        max_length: Tokens after which a text is cut; the tokenizer's and the model's limits hold.
        num_rows: Rows drawn at most; None for all.
        batch_size: Rows of a batch.
        seed: Chooses the rows and their order.

    Raises:
        ConfigError: As the problem's Trainer.
        DataError: There are no labelled rows.

    Warns:
        SkippedRowsWarning: As the problem's Trainer, of the rows drawn.
    """
    source = data.train if split == "train" else data.validation
    if not source or LABEL_COLUMNS[data.problem] not in source.column_names:
        word = "training" if split == "train" else "validation"
        raise DataError(f"{data.name} has no labelled {word} rows to draw samples from.")
    drawn = source.select(_draw(len(source), num_rows, seed))
    settings = copy.copy(arguments)
    settings.eval_strategy = "no"
    # TRL would prepare the model for it at once.
    settings.gradient_checkpointing = settings.activation_checkpointing = False
    settings.gradient_checkpointing_kwargs = None
    if data.problem == "instruction_tuning":
        settings.packing = False  # pyright: ignore[reportAttributeAccessIssue]
    with _frozen(model):  # no Trainer makes weights float32 that do not train
        trainer = make_trainer(
            model,
            tokenizer,
            replace(data, train=drawn, validation=None),
            arguments=settings,
            max_length=max_length,
        )
    rows: Any = trainer.train_dataset
    order = _draw(len(rows), num_rows, seed)
    if batch_size > 1:
        order = sorted(order, key=lambda row: -len(rows[row]["input_ids"]))
    for start in range(0, len(order), batch_size):
        yield trainer.data_collator([rows[row] for row in order[start : start + batch_size]])


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_()


def _draw(num_rows: int, most: int | None, seed: int) -> list[int]:
    return np.random.default_rng(seed).permutation(num_rows)[:most].tolist()
