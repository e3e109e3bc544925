"""Train the adapter of a `RankPlan` with `transformers.Trainer`, for classes or for a number.

The loop, the optimiser, checkpoints and logging are the Trainer's. What is added: the planned
ranks, verified in the model and in every saved file; a new head that is trained whole, in float32;
and resuming from the last checkpoint that is complete. It measures nothing and plans nothing.
"""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel, TaskType, get_peft_model, prepare_model_for_kbit_training
from torch import Tensor
from transformers import (
    DataCollatorWithPadding,
    EvalPrediction,
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
    lora_config,
    verify_ranks,
    verify_saved_ranks,
)
from gelora.artifacts import ADAPTER_FOLDER
from gelora.checkpoints import find_checkpoint
from gelora.data import TaskData, tokenize
from gelora.errors import ConfigError, DataError, RankError
from gelora.memory import peak_memory_bytes
from gelora.metrics import metric_values
from gelora.model.architectures import find_architecture
from gelora.model.batches import token_limit
from gelora.model.loading import public_name
from gelora.ranks import RankPlan


@dataclass(frozen=True)
class TrainingResult:
    """A trained adapter and what training it took.

    Attributes:
        model: The model with its adapter, as after the last step, or as at the best one with
            `load_best_model_at_end`.
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
    callbacks: Sequence[TrainerCallback] = (),
) -> TrainingResult:
    """Train an adapter with the planned ranks and save it to `output_dir/adapter`.

    What is trained is float32, whatever the model's own precision: in half precision a step smaller
    than a weight's last digit is lost, and a new head may not move at all.

    The model's head must have been initialised under `transformers.set_seed`, before it came
    here; all randomness from here on follows `arguments.seed`. On a CPU, a run that was killed
    and resumed ends with the same weights, bit for bit, as one left alone.

    Args:
        model: With a head for sequence classification or regression, not yet wrapped.
        tokenizer: Of the model.
        data: Trained on its `train`; its `validation` is evaluated as `arguments` say.
        plan: The ranks, made for this model.
        arguments: The Trainer's own.
        lora_kwargs: More arguments of LoraConfig, as `lora_config` takes them.
        max_length: Tokens after which a text is cut; the tokenizer's and the model's limits hold.
        resume_from_checkpoint: A checkpoint's folder, or True for the last complete one in
            `output_dir`, and for none if there is none.
        callbacks: More callbacks for the Trainer.

    Raises:
        ModelMismatchError: The plan was made for another model.
        RankError: The adapter, or that of the checkpoint, differs from the plan.
        ArtifactError: The checkpoint named is not complete.
        ConfigError: The model is in half precision and `arguments` set neither bf16 nor fp16.
        DataError: There are no training texts, or an evaluation is asked for and there is nothing
            to evaluate on.
    """
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
    wrapped = wrap(model, plan, **(lora_kwargs or {}))
    _train_in_float32(wrapped, has_autocast=has_autocast)
    # Only blocks are adapted; "auto", which the Trainer's checkpoints get, would ask the Hub
    # whether the vocabulary has grown.
    wrapped.save_pretrained = partial(  # pyright: ignore[reportAttributeAccessIssue]
        wrapped.save_pretrained, save_embedding_layers=False
    )

    def tokens(split: Any) -> Any:
        return tokenize(split, tokenizer, max_length=token_limit(tokenizer, wrapped, max_length))

    trainer = Trainer(
        model=wrapped,
        args=arguments,
        train_dataset=tokens(data.train),
        eval_dataset=tokens(data.validation) if data.validation is not None else None,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=_metrics_function(data.metrics),
        preprocess_logits_for_metrics=_logits_alone,
        callbacks=list(callbacks),
    )
    # The heads' forward takes any keyword, which the Trainer reads as a loss already divided by the
    # whole accumulated batch; it is the mean of its own part, so the Trainer must divide it.
    trainer.model_accepts_loss_kwargs = False
    device = arguments.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):  # the Trainer prints its log; stdout is not ours
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = time.perf_counter() - start
    verify_ranks(wrapped, plan)
    if arguments.should_save:
        folder = Path(arguments.output_dir or ".") / ADAPTER_FOLDER
        wrapped.save_pretrained(str(folder))
        verify_saved_ranks(folder, plan)
    return TrainingResult(
        model=wrapped,
        history=_history(trainer.state.log_history),
        seconds=seconds,
        peak_memory_bytes=peak_memory_bytes(device),
        adapter_parameters=adapter_parameters(wrapped),
        head_parameters=head_parameters(wrapped),
    )


def wrap(model: PreTrainedModel, plan: RankPlan, **lora_arguments: Any) -> PeftModel:
    """Put the planned adapter on a model for sequence classification, and verify it.

    The whole head is trained with it. PEFT by itself adds only modules called `classifier` and
    `score`, which leaves DeBERTa's new `pooler` at its random values.

    Raises:
        ModelMismatchError: The plan was made for another model.
        RankError: The adapter differs from the plan.
    """
    asked = lora_arguments.get("modules_to_save") or ()
    lora_arguments["modules_to_save"] = sorted({*head_modules(model), *asked})
    config = lora_config(plan, model, **{**lora_arguments, "task_type": TaskType.SEQ_CLS})
    wrapped = get_peft_model(model, config)
    # PEFT's set has another order in every process, and it adds names that are already there.
    config.target_modules = sorted(config.target_modules or ())
    config.modules_to_save = sorted(set(config.modules_to_save or ()))
    verify_ranks(wrapped, plan)
    count = adapter_parameters(wrapped)
    if count != plan.trainable_parameters and not config.use_dora:  # whose magnitudes come on top
        raise RankError(
            f"The adapter has {count} trainable parameters, the plan says "
            f"{plan.trainable_parameters}: plan again."
        )
    return wrapped


def head_modules(model: PreTrainedModel) -> list[str]:
    """Return the modules beside the backbone that have parameters: the head, often with a pooler.

    BERT's own pooler is inside the backbone, comes with the checkpoint and stays frozen.
    """
    backbone = find_architecture(model).prefix.partition(".")[0]
    return [
        name
        for name, module in model.named_children()
        if backbone not in ("", name) and any(True for _ in module.parameters())
    ]


def _train_in_float32(model: PeftModel, *, has_autocast: bool) -> None:
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


def _check_data(data: TaskData, arguments: TrainingArguments) -> None:
    if len(data.train) == 0 or "label" not in data.train.column_names:
        raise DataError(f"{data.name} has no labelled training texts.")
    strategy = IntervalStrategy(arguments.eval_strategy)
    if strategy is not IntervalStrategy.NO and data.validation is None:
        raise DataError(
            f"{data.name} has no validation texts for eval_strategy {strategy.value!r}: name a "
            "validation file or split, or set it to 'no'."
        )


def _metrics_function(metrics: Sequence[str]) -> Callable[[EvalPrediction], dict[str, float]]:
    def compute(prediction: EvalPrediction) -> dict[str, float]:
        scores, labels = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
        if scores.shape[1] == 1:  # a single output: a number, not a class
            scores = scores[:, 0]
        return metric_values(scores, labels, metrics=metrics)

    return compute


def _logits_alone(outputs: Tensor | tuple[Tensor, ...], labels: Tensor) -> Tensor:
    """Drop what else a model returns, such as hidden states, before the Trainer collects it."""
    del labels
    return outputs[0] if isinstance(outputs, tuple) else outputs


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
