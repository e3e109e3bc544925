"""Labelled samples for the Fisher information: training rows, one at a time."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, TrainingArguments

from gelora.errors import DataError
from gelora.tasks import LABEL_COLUMNS, TaskData
from gelora.tasks.train import make_trainer


def sample_batches(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    arguments: TrainingArguments,
    max_length: int | None = None,
    num_samples: int,
    seed: int,
) -> Iterator[dict[str, Tensor]]:
    """Draw training rows and yield them as their problem's Trainer batches them, one at a time.

    Of question answering a row is a window of a context. Texts for instruction tuning are not
    packed, and those that are cut before their completion are left out.

    Args:
        model: With a head for the problem, wrapped or not; it leaves as it came.
        tokenizer: The model's own.
        data: Its training rows are drawn from.
        arguments: The Trainer's own, as for training; for instruction tuning a `trl.SFTConfig`.
        max_length: Tokens after which a text is cut; the tokenizer's and the model's limits hold.
        num_samples: Rows drawn at most.
        seed: Chooses them and their order.

    Raises:
        ConfigError: As the problem's Trainer.
        DataError: There are no labelled rows.

    Warns:
        SkippedRowsWarning: As the problem's Trainer, of the rows drawn.
    """
    if len(data.train) == 0 or LABEL_COLUMNS[data.problem] not in data.train.column_names:
        raise DataError(f"{data.name} has no labelled training rows to draw samples from.")
    drawn = data.train.select(_draw(len(data.train), num_samples, seed))
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
    for row in _draw(len(rows), num_samples, seed):
        yield trainer.data_collator([rows[row]])


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


def _draw(num_rows: int, num_samples: int, seed: int) -> list[int]:
    return np.random.default_rng(seed).permutation(num_rows)[:num_samples].tolist()
