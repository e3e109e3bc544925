"""Train the adapter of a `RankPlan` on a task's data, with the Trainer of its problem."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_utils import IntervalStrategy

from gelora.errors import DataError
from gelora.ranks import RankPlan
from gelora.tasks.task_data import LABEL_COLUMNS, TaskData
from gelora.tasks.trainers import check_arguments, make_trainer
from gelora.training.train import TrainingResult, train_adapter


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
