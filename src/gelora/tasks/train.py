"""The Trainer of every problem, its arguments, and training the adapter of a `RankPlan` with it."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from peft import PeftModel
from torch import nn
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_utils import IntervalStrategy

from gelora.errors import ConfigError, DataError, MissingExtraError
from gelora.problems import Problem
from gelora.ranks import RankPlan
from gelora.tasks.task_data import LABEL_COLUMNS, TaskData
from gelora.training.train import TrainingResult, train_adapter

FOLDERS: Mapping[Problem, str] = {
    "classification": "classification",
    "regression": "classification",
    "question_answering": "question_answering",
    "instruction_tuning": "instruction_tuning",
}


def part_of(problem: Problem, part: str) -> Any:
    """Return a module of a problem's folder: its `trainer` or its `evaluation`."""
    return load(f"gelora.tasks.{FOLDERS[problem]}.{part}")


def load(name: str) -> Any:
    """Import a module that may need TRL.

    Raises:
        MissingExtraError: It does, and TRL is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "trl":
            raise
        raise MissingExtraError(
            "Instruction tuning needs TRL, which is not installed: pip install 'gelora[sft]'."
        ) from error


def make_trainer(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    arguments: TrainingArguments,
    max_length: int | None = None,
    callbacks: Sequence[TrainerCallback | Callable[[Trainer], TrainerCallback]] = (),
) -> Trainer:
    """Return the Trainer of the data's problem, with the task's metrics at every evaluation.

    Args:
        model: With a head for the problem of the data, adapted or not.
        tokenizer: Of the model.
        data: Trained on its `train`; its `validation` is evaluated as `arguments` say.
        arguments: The Trainer's own; for instruction tuning a `trl.SFTConfig`.
        max_length: Tokens after which a text is cut; the tokenizer's and the model's limits hold.
        callbacks: More callbacks for the Trainer, or functions that make one for it.
    """
    trainer: Trainer = part_of(data.problem, "trainer").make_trainer(
        model,
        tokenizer,
        data,
        arguments=arguments,
        max_length=max_length,
        callbacks=[made for made in callbacks if isinstance(made, TrainerCallback)],
    )
    for make in callbacks:
        if not isinstance(make, TrainerCallback):
            trainer.add_callback(make(trainer))
    return trainer


def arguments_type(problem: str | None) -> Any:
    """Return the class that a Trainer's flags are read as.

    Raises:
        MissingExtraError: It is TRL's, which is not installed.
    """
    if problem != "instruction_tuning":
        return TrainingArguments
    return load("trl.trainer.sft_config").SFTConfig


def check_arguments(arguments: TrainingArguments, problem: str | None) -> None:
    """Check that the Trainer of a problem supports the arguments.

    Args:
        arguments: Arguments of the Trainer.
        problem: The problem, or None if only the data can tell.

    Raises:
        ConfigError: An argument is not supported.
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
        part_of("instruction_tuning", "trainer").check_settings(arguments)


def check_steps(arguments: TrainingArguments, data: TaskData) -> None:
    """Check that the training rows fill a batch, where incomplete batches are dropped.

    Raises:
        ConfigError: They do not.
    """
    batch = arguments.train_batch_size * max(1, arguments.world_size)
    if arguments.dataloader_drop_last and len(data.train) < batch:
        raise ConfigError(
            f"dataloader_drop_last leaves no batch of {batch} in {len(data.train)} training rows: "
            "lower per_device_train_batch_size, or leave it out."
        )


def check_metric(arguments: TrainingArguments, data: TaskData) -> None:
    """Check that the metric which chooses the best model is one that there will be.

    Raises:
        ConfigError: It is not.
    """
    named = arguments.metric_for_best_model
    names = {"loss", *data.metrics}
    settings = data.question_answering
    if settings is not None and settings.version_2_with_negative:
        parts = ("HasAns", "NoAns", "best")
        names |= {f"{part}_{name}" for part in parts for name in ("f1", "exact")}
    if named is not None and named.removeprefix("eval_") not in names:
        raise ConfigError(
            f"metric_for_best_model {named} is none of the metrics of {data.name}, which are "
            f"{', '.join(sorted(names))}: name one of these."
        )


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

    def trainer_of(wrapped: PeftModel) -> Trainer:
        return make_trainer(
            wrapped,
            tokenizer,
            data,
            arguments=arguments,
            max_length=max_length,
            callbacks=callbacks,
        )

    return train_adapter(
        model,
        plan,
        trainer_of,
        problem=data.problem,
        arguments=arguments,
        lora_kwargs=lora_kwargs,
        resume_from_checkpoint=resume_from_checkpoint,
    )


def _check_data(data: TaskData, arguments: TrainingArguments) -> None:
    if len(data.train) == 0 or LABEL_COLUMNS[data.problem] not in data.train.column_names:
        raise DataError(f"{data.name} has no labelled training texts.")
    strategy = IntervalStrategy(arguments.eval_strategy)
    if strategy is not IntervalStrategy.NO and data.validation is None:
        raise DataError(
            f"{data.name} has no validation texts for eval_strategy {strategy.value!r}: name a "
            "validation file or split, or set it to 'no'."
        )
