"""Baselines of a run's metrics.

Classes and numbers: the commonest label, and a linear model on the frozen encoder. Instruction
tuning: the same model without its adapter. Question answering has no baseline.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.errors import SkippedRowsWarning
from gelora.tasks import TaskData, labelled_validation
from gelora.tasks.classification.frozen_encoder import frozen_encoder_baseline
from gelora.tasks.instruction_tuning.evaluation import evaluate
from gelora.tasks.metrics import Metric, compute_metrics

Metrics = dict[str, Metric]


def before_training(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    with_encoder: bool,
    seed: int,
    batch_size: int,
    max_length: int,
) -> dict[str, Metrics]:
    """Return the metrics of the baselines that need no adapter, by name."""
    if data.validation is None or data.problem not in ("classification", "regression"):
        return {}
    labels = np.asarray(data.train["label"])

    def majority(split: TaskData) -> Metrics:
        validation = np.asarray(labelled_validation(split)["label"])
        return majority_baseline(labels, validation, problem=data.problem, metrics=data.metrics)

    baselines: dict[str, Metrics] = {}
    if with_encoder:
        baselines["frozen_encoder"] = frozen_encoder_baseline(
            model, data, tokenizer, seed=seed, batch_size=batch_size, max_length=max_length
        )
    return {**baselines, "majority": data.score_splits(majority)}


def after_training(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    batch_size: int,
    max_length: int,
) -> dict[str, Metrics]:
    """Return the metrics of the model without its adapter, by name of the baseline."""
    if data.validation is None or data.problem != "instruction_tuning":
        return {}
    with model.disable_adapter(), warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedRowsWarning)  # evaluating the adapter has warned
        metrics = evaluate(model, tokenizer, data, batch_size=batch_size, max_length=max_length)
    return {"base_model": metrics}


def majority_baseline(
    labels_train: Shaped[np.ndarray, " train"],
    labels_validation: Shaped[np.ndarray, " validation"],
    *,
    problem: str,
    metrics: Sequence[str],
) -> dict[str, Metric]:
    """Return the metrics of one constant prediction: the commonest label, or the mean number.

    Args:
        labels_train: Labels that the constant is taken from.
        labels_validation: Labels that the constant is scored on.
        problem: "classification" or "regression".
        metrics: Names of the metrics.

    >>> train, validation = np.array([0, 0, 1]), np.array([0, 1, 1, 0])
    >>> majority_baseline(train, validation, problem="classification", metrics=["accuracy"])
    {'accuracy': Metric(value=0.5, standard_error=0.25, num_samples=4)}
    """
    if problem == "regression":
        scores = np.full(len(labels_validation), labels_train.mean())
    else:
        num_labels = 1 + max(1, labels_train.max(), labels_validation.max())
        majority = np.bincount(labels_train).argmax()
        scores = np.tile(np.eye(num_labels)[majority], (len(labels_validation), 1))
    return compute_metrics(scores, labels_validation, metrics=metrics)
