"""Train the adapter of a `RankPlan` with `transformers.Trainer` or one of its kin.

The loop, the optimiser, checkpoints and logging are the Trainer's. What is added: the planned
ranks, verified in the model and in every saved file; a new head that is trained whole, in float32;
and resuming from the last checkpoint that is complete. It measures nothing and plans nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import PartialState
from peft import PeftModel, prepare_model_for_kbit_training
from transformers import PreTrainedModel, Trainer, TrainingArguments, set_seed

from gelora.adapters import (
    adapter_parameters,
    head_parameters,
    verify_ranks,
    verify_saved_ranks,
)
from gelora.artifacts import ADAPTER_FOLDER
from gelora.checkpoints import find_checkpoint
from gelora.hidden_states.loading import public_name
from gelora.problems import Problem
from gelora.ranks import RankPlan
from gelora.training.fitting import fit
from gelora.training.wrapping import train_in_float32, wrap


@dataclass(frozen=True)
class TrainingResult:
    """A trained adapter and what training it took.

    Attributes:
        model: The model with its adapter, as after the last step, or as at the best one with
            `load_best_model_at_end`. If its weights are float32 it computes in float32, as one that
            is loaded again does; what is left in half precision needs the autocast of training.
        history: The Trainer's log entries: numbers by name, those that are finite.
        seconds: Wall time of this process's training, evaluations and checkpoints included.
        peak_memory_bytes: Of the CUDA device; on a CPU of the whole process since it started, or
            None where the system does not tell.
        adapter_parameters: Trainable parameters of the adapter.
        head_parameters: Trainable parameters of the head.
    """

    model: PeftModel
    history: list[dict[str, float]]
    seconds: float
    peak_memory_bytes: int | None
    adapter_parameters: int
    head_parameters: int


def train_adapter(
    model: PreTrainedModel,
    plan: RankPlan,
    make_trainer: Callable[[PeftModel], Trainer],
    *,
    problem: Problem,
    arguments: TrainingArguments,
    lora_kwargs: Mapping[str, Any] | None = None,
    resume_from_checkpoint: bool | str | Path | None = None,
) -> TrainingResult:
    """Train an adapter with the planned ranks and save it to `output_dir/adapter`.

    What is trained is float32, whatever the model's own precision: in half precision a step smaller
    than a weight's last digit is lost, and a new head may not move at all.

    Args:
        model: With a head for the problem, not yet wrapped.
        plan: The ranks, made for this model.
        make_trainer: Makes the Trainer, with its data, for the wrapped model.
        problem: Decides PEFT's task type, and whether the head is new.
        arguments: The Trainer's own.
        lora_kwargs: More arguments of LoraConfig, as `lora_config` takes them.
        resume_from_checkpoint: A checkpoint's folder, or True for the last complete one in
            `output_dir`, and for none if there is none.

    Raises:
        ModelMismatchError: The plan was made for another model.
        RankError: The adapter, or that of the checkpoint, differs from the plan.
        ArtifactError: The checkpoint named is not complete.
        ConfigError: The model is in half precision and `arguments` set neither bf16 nor fp16.
    """
    checkpoint = find_checkpoint(Path(arguments.output_dir or "."), resume_from_checkpoint)
    if checkpoint is not None:
        verify_saved_ranks(checkpoint, plan)
    # The files to come name the model as other machines know it.
    model.name_or_path = model.config.name_or_path = public_name(str(model.name_or_path))
    has_autocast = arguments.bf16 or arguments.fp16
    if not has_autocast and getattr(model, "is_quantized", False):  # set by transformers, if at all
        prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    set_seed(arguments.seed)  # of A's initial values
    wrapped = wrap(model, plan, problem, **(lora_kwargs or {}))
    train_in_float32(wrapped, has_autocast=has_autocast)
    # Only blocks are adapted; "auto", which the Trainer's checkpoints get, would ask the Hub
    # whether the vocabulary has grown.
    wrapped.save_pretrained = partial(  # pyright: ignore[reportAttributeAccessIssue]
        wrapped.save_pretrained, save_embedding_layers=False
    )

    trained = fit(make_trainer(wrapped), checkpoint=checkpoint)
    verify_ranks(wrapped, plan)
    if arguments.should_save:
        folder = Path(arguments.output_dir or ".") / ADAPTER_FOLDER
        wrapped.save_pretrained(str(folder))
        verify_saved_ranks(folder, plan)
    PartialState().wait_for_everyone()  # before one reads what another saves
    return TrainingResult(
        model=wrapped,
        history=trained.history,
        seconds=trained.seconds,
        peak_memory_bytes=trained.peak_memory_bytes,
        adapter_parameters=adapter_parameters(wrapped),
        head_parameters=head_parameters(wrapped),
    )
