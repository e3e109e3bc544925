"""Train the trainable parameters of a model with a Trainer that is ready."""

import contextlib
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer

from gelora.memory import peak_memory_bytes


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


def fit(trainer: Trainer, *, checkpoint: Path | None = None) -> Fit:
    """Train what requires gradients in the Trainer's model, in place.

    The model leaves on the device of the Trainer's arguments. If its weights are float32 it
    computes in float32 again afterwards; what is in half precision still needs the autocast of
    training.

    Args:
        trainer: Whatever its problem.
        checkpoint: A folder to go on from.
    """
    model: Any = trainer.model
    device = trainer.args.device
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
