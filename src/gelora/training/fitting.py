"""Train the trainable parameters of a model with the Trainer of its problem."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from gelora.data import TaskData
from gelora.memory import peak_memory_bytes
from gelora.tasks import Problem

# The file that makes each problem's Trainer, loaded when it is wanted: TRL is an extra.
TRAINERS: Mapping[Problem, str] = {
    "classification": "classification",
    "regression": "classification",
    "question_answering": "question_answering",
    "instruction_tuning": "instruction_tuning",
}


@dataclass(frozen=True)
class Fit:
    """What training took, and how it went.

    Attributes:
        history: The Trainer's log entries: numbers by name, those that are finite.
        steps: Optimiser steps, those before a checkpoint was resumed too.
        seconds: Wall time of this process's training, evaluations and checkpoints included.
        peak_memory_bytes: Of the CUDA device; on a CPU of the whole process since it started, or
            None where the system does not tell.
    """

    history: list[dict[str, float]]
    steps: int
    seconds: float
    peak_memory_bytes: int | None


def fit(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    arguments: TrainingArguments,
    max_length: int | None = None,
    checkpoint: Path | None = None,
    callbacks: Sequence[TrainerCallback | Callable[[Trainer], TrainerCallback]] = (),
) -> Fit:
    """Train what requires gradients, in place.

    Args:
        model: With a head for the problem of the data, adapted or not; it leaves on the device of
            `arguments`. If its weights are float32 it computes in float32 again afterwards; what
            is in half precision still needs the autocast of training.
        tokenizer: Of the model.
        data: Trained on its `train`; its `validation` is evaluated as `arguments` say.
        arguments: The Trainer's own; for instruction tuning a `trl.SFTConfig`.
        max_length: Tokens after which a text is cut; the tokenizer's and the model's limits hold.
        checkpoint: A folder to go on from.
        callbacks: More callbacks for the Trainer, or functions that make one for it.
    """
    trainer = trainer_module(data.problem).make_trainer(
        model,
        tokenizer,
        data,
        arguments=arguments,
        max_length=max_length,
        callbacks=[one for one in callbacks if isinstance(one, TrainerCallback)],
    )
    for make in callbacks:
        if not isinstance(make, TrainerCallback):
            trainer.add_callback(make(trainer))
    device = arguments.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):  # the Trainer prints its log; stdout is not ours
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = time.perf_counter() - start
    if all(p.dtype == torch.float32 for p in model.parameters() if p.is_floating_point()):
        trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    trainer.accelerator.wait_for_everyone()
    return Fit(
        history=_history(trainer.state.log_history),
        steps=trainer.state.global_step,
        seconds=seconds,
        peak_memory_bytes=peak_memory_bytes(device),
    )


def trainer_module(problem: Problem) -> Any:
    """Return the module with the `make_trainer` of a problem."""
    return import_module(f"gelora.training.{TRAINERS[problem]}")


def _history(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Keep what belongs to a step; times differ from run to run, and have their own field."""
    return [
        {
            name: value
            for name, value in entry.items()
            if isinstance(value, int | float)
            and math.isfinite(value)  # half precision's gradient norms overflow now and then
            and not name.endswith(("_runtime", "_per_second"))
        }
        for entry in entries
        if "train_runtime" not in entry  # the Trainer's summary
    ]
