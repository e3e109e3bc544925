"""The Trainer for texts with a class or a number each."""

from collections.abc import Callable, Sequence

import numpy as np
from peft import PeftModel
from torch import Tensor
from transformers import (
    EvalPrediction,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from gelora.hidden_states.batches import token_limit
from gelora.tasks.classification.evaluation import tokenize
from gelora.tasks.metrics import metric_values
from gelora.tasks.task_data import TaskData
from gelora.training.train import collator


def make_trainer(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    arguments: TrainingArguments,
    max_length: int | None,
    callbacks: Sequence[TrainerCallback],
) -> Trainer:
    """Return the Trainer of a wrapped model, with the task's metrics at every evaluation.

    Warns:
        SkippedRowsWarning: Training texts are cut. Of the validation texts evaluating warns.
    """
    limit = token_limit(tokenizer, model, max_length)
    validation = data.validation
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=tokenize(
            data.train, tokenizer, max_length=limit, named=f"{data.name}, training"
        ),
        eval_dataset=validation and tokenize(validation, tokenizer, max_length=limit),
        processing_class=tokenizer,
        data_collator=collator(tokenizer, ["labels"]),
        compute_metrics=_metrics_function(data.metrics),
        preprocess_logits_for_metrics=_logits_alone,
        callbacks=list(callbacks),
    )
    # The heads' forward takes any keyword, which the Trainer reads as a loss already divided by the
    # whole accumulated batch; it is the mean of its own part, so the Trainer must divide it.
    trainer.model_accepts_loss_kwargs = False
    return trainer


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
