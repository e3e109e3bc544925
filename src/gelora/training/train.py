"""Train the adapter of a `RankPlan` with `transformers.Trainer` or one of its kin.

The loop, the optimiser, checkpoints and logging are the Trainer's. Added are the planned ranks,
verified in the model and in every saved file; a new head that is trained whole, in float32; and
resuming from the last complete checkpoint.
"""

import contextlib
import math
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from torch import Tensor, nn
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
    set_seed,
)

from gelora.adapters import (
    adapter_parameters,
    expert_rank,
    head_parameters,
    lora_config,
    plan_prefix,
    verify_ranks,
    verify_saved_ranks,
)
from gelora.artifacts import ADAPTER_FOLDER
from gelora.checkpoints import find_checkpoint
from gelora.errors import ConfigError, RankError
from gelora.hidden_states.batches import padded_batch
from gelora.hidden_states.experts import added_parameters
from gelora.hidden_states.loading import public_name
from gelora.hidden_states.task_head import TASK_TYPES, new_head
from gelora.memory import peak_memory_bytes
from gelora.problems import Problem
from gelora.ranks import RankPlan

Collator = Callable[[list[Any]], dict[str, Tensor]]


def collator(tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]) -> Collator:
    """Return what makes a batch: padded on the right, so that positions stay where they are.

    Args:
        tokenizer: Says what to pad with.
        labels: The columns that hold one number for each row.
    """

    def collate(rows: list[Any]) -> dict[str, Tensor]:
        numbers = {name: torch.tensor([row[name] for row in rows]) for name in labels}
        return {**padded_batch(rows, tokenizer), **numbers}

    return collate


def wrap(
    model: PreTrainedModel, plan: RankPlan, problem: Problem, **lora_arguments: Any
) -> PeftModel:
    """Put the planned adapter on a model with a head for the problem, and verify it.

    A new head is trained in full. The head of a language model comes with the checkpoint and stays
    frozen. Other modules in `modules_to_save` are trained in full, too.

    Raises:
        ModelMismatchError: The plan was made for another model.
        RankError: The adapter differs from the plan.
    """
    saved = sorted({*new_head(model, problem), *(lora_arguments.get("modules_to_save") or ())})
    config = lora_config(model, plan, **{**lora_arguments, "modules_to_save": saved})
    prefix = plan_prefix(plan, model)
    experts = {n: expert_rank(plan, n, prefix) for n in config.target_parameters or ()}
    expected = plan.trainable_parameters + added_parameters(model, experts)
    wrapped = wrap_by(model, config, problem)
    verify_ranks(wrapped, plan)
    count = adapter_parameters(wrapped)
    if count != expected and not config.use_dora:  # whose magnitudes come on top
        raise RankError(
            f"The adapter has {count} trainable parameters, the plan says {expected}: plan again."
        )
    return wrapped


def wrap_by(model: PreTrainedModel, config: LoraConfig, problem: Problem) -> PeftModel:
    """Put an adapter of PEFT's LoRA family on a model, and its new head to be trained whole.

    Args:
        model: With a head for the problem, not yet wrapped.
        config: Gets the problem's task type, and the head among its `modules_to_save`.
        problem: Of the task.
    """
    config.task_type = TASK_TYPES[problem]
    config.modules_to_save = (
        sorted({*new_head(model, problem), *(config.modules_to_save or ())}) or None
    )
    with warnings.catch_warnings():
        if config.target_parameters:  # PEFT looks for these keys among modules alone, and uses them
            warnings.filterwarnings("ignore", message=r"The following rank_pattern keys")
            warnings.filterwarnings("ignore", message=r"The following alpha_pattern keys")
        wrapped = get_peft_model(model, config)
    # PEFT's set has another order in every process, and it adds names that are already there.
    config.target_modules = sorted(config.target_modules or ())
    config.modules_to_save = sorted(set(config.modules_to_save or ())) or None
    return wrapped


def train_in_float32(model: nn.Module, *, has_autocast: bool) -> None:
    """Make every trainable parameter float32; PEFT does so for LoRA's own, not for the head.

    Raises:
        ConfigError: The head's inputs would be in half precision still.
    """
    for parameter in model.parameters():
        if not parameter.requires_grad or parameter.dtype == torch.float32:
            continue
        if not has_autocast:
            name = str(parameter.dtype).removeprefix("torch.")
            flag = "fp16" if parameter.dtype == torch.float16 else "bf16"
            raise ConfigError(
                f"The model is in {name}, where small training steps are lost to rounding: load it "
                f"with --dtype float32, or add --{flag} true to train in mixed precision."
            )
        parameter.data = parameter.data.float()


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


@dataclass(frozen=True, kw_only=True)
class TrainingResult(Fit):
    """A trained adapter and what training it took.

    Attributes:
        model: The model with its adapter, as after the last step, or as at the best one with
            `load_best_model_at_end`. If its weights are float32 it computes in float32, as one that
            is loaded again does; what is left in half precision needs the autocast of training.
        adapter_parameters: Trainable parameters of the adapter.
        head_parameters: Trainable parameters of the head.
    """

    model: PeftModel
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
        **vars(trained),
        model=wrapped,
        adapter_parameters=adapter_parameters(wrapped),
        head_parameters=head_parameters(wrapped),
    )
