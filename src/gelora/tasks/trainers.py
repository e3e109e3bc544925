"""The Trainer of every problem, and its arguments: TRL's own for instruction tuning."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainingArguments

from gelora.errors import ConfigError
from gelora.tasks.folders import load, part_of
from gelora.tasks.task_data import TaskData


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
        callbacks=[one for one in callbacks if isinstance(one, TrainerCallback)],
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
        part_of("instruction_tuning", "trainer").check_settings(arguments)
