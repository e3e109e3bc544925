"""Train the adapter of a `RankPlan` with `transformers.Trainer` or one of its kin.

The loop, the optimiser, checkpoints and logging are the Trainer's. What is added: the planned
ranks, verified in the model and in every saved file; a new head that is trained whole, in float32;
and resuming from the last checkpoint that is complete. It measures nothing and plans nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import PartialState
from peft import PeftModel, prepare_model_for_kbit_training
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import IntervalStrategy

from gelora.adapters import (
    adapter_parameters,
    head_parameters,
    verify_ranks,
    verify_saved_ranks,
)
from gelora.artifacts import ADAPTER_FOLDER
from gelora.checkpoints import find_checkpoint
from gelora.data import LABEL_COLUMNS, TaskData
from gelora.errors import ConfigError, DataError
from gelora.hidden_states.loading import public_name
from gelora.ranks import RankPlan
from gelora.training.fitting import fit, trainer_module
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


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    plan: RankPlan,
    *,
    arguments: TrainingArguments,
    lora_kwargs: Mapping[str, Any] | None = None,
    max_length: int | None = None,
    resume_from_checkpoint: bool | str | Path | None = None,
    callbacks: Sequence[TrainerCallback | Callable[[Trainer], TrainerCallback]] = (),
) -> TrainingResult:
    """Train an adapter with the planned ranks and save it to `output_dir/adapter`.

    What is trained is float32, whatever the model's own precision: in half precision a step smaller
    than a weight's last digit is lost, and a new head may not move at all.

    The model's head must have been initialised under `transformers.set_seed`, before it came
    here; all randomness from here on follows `arguments.seed`. On a CPU, a run that was killed
    and resumed ends with the same weights, bit for bit, as one left alone. Under torch.distributed
    every process calls with the same arguments, and the main one saves.

    Args:
        model: With a head for the problem of the data, not yet wrapped.
        tokenizer: Of the model.
        data: Trained on its `train`; its `validation` is evaluated as `arguments` say.
        plan: The ranks, made for this model.
        arguments: The Trainer's own; for instruction tuning a `trl.SFTConfig`.
        lora_kwargs: More arguments of LoraConfig, as `lora_config` takes them.
        max_length: Tokens after which a text is cut; the tokenizer's and the model's limits hold.
        resume_from_checkpoint: A checkpoint's folder, or True for the last complete one in
            `output_dir`, and for none if there is none.
        callbacks: More callbacks for the Trainer, or functions that make one for it.

    Raises:
        ModelMismatchError: The plan was made for another model.
        RankError: The adapter, or that of the checkpoint, differs from the plan.
        ArtifactError: The checkpoint named is not complete.
        ConfigError: The model is in half precision and `arguments` set neither bf16 nor fp16, or
            as `check_arguments`.
        DataError: There are no training texts, or an evaluation is asked for and there is nothing
            to evaluate on.
    """
    check_arguments(arguments, data.problem)
    _check_data(data, arguments)
    checkpoint = find_checkpoint(Path(arguments.output_dir or "."), resume_from_checkpoint)
    if checkpoint is not None:
        verify_saved_ranks(checkpoint, plan)
    # The files to come name the model as other machines know it.
    model.name_or_path = model.config.name_or_path = public_name(str(model.name_or_path))
    has_autocast = arguments.bf16 or arguments.fp16
    if not has_autocast and getattr(model, "is_quantized", False):  # set by transformers, if at all
        prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    set_seed(arguments.seed)  # of A's initial values
    wrapped = wrap(model, plan, data.problem, **(lora_kwargs or {}))
    train_in_float32(wrapped, has_autocast=has_autocast)
    # Only blocks are adapted; "auto", which the Trainer's checkpoints get, would ask the Hub
    # whether the vocabulary has grown.
    wrapped.save_pretrained = partial(  # pyright: ignore[reportAttributeAccessIssue]
        wrapped.save_pretrained, save_embedding_layers=False
    )

    trained = fit(
        wrapped,
        tokenizer,
        data,
        arguments=arguments,
        max_length=max_length,
        checkpoint=checkpoint,
        callbacks=callbacks,
    )
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


def check_arguments(arguments: TrainingArguments, problem: str | None) -> None:
    """Refuse what a problem's Trainer would only trip over later, or not do at all.

    Args:
        arguments: The Trainer's own.
        problem: None where only the data will tell.

    Raises:
        ConfigError: There is something of the kind.
    """
    if arguments.batch_eval_metrics or not arguments.eval_do_concat_batches:
        name = "batch_eval_metrics" if arguments.batch_eval_metrics else "eval_do_concat_batches"
        raise ConfigError(
            f"{name} {getattr(arguments, name)} is not taken: metrics are computed of all that was "
            "evaluated together."
        )
    if problem == "question_answering" and arguments.label_smoothing_factor:
        raise ConfigError(
            f"label_smoothing_factor {arguments.label_smoothing_factor} is not for question "
            "answering, whose loss is not smoothed: leave it out."
        )
    if problem == "instruction_tuning":
        trainer_module(problem).check_settings(arguments)


def _check_data(data: TaskData, arguments: TrainingArguments) -> None:
    if len(data.train) == 0 or LABEL_COLUMNS[data.problem] not in data.train.column_names:
        raise DataError(f"{data.name} has no labelled training texts.")
    strategy = IntervalStrategy(arguments.eval_strategy)
    if strategy is not IntervalStrategy.NO and data.validation is None:
        raise DataError(
            f"{data.name} has no validation texts for eval_strategy {strategy.value!r}: name a "
            "validation file or split, or set it to 'no'."
        )
