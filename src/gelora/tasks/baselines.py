"""What the metrics of a run are compared with.

Classes and numbers: always giving the commonest label, and a linear model on the frozen encoder.
Instruction tuning: the same model without its adapter. Questions have nothing of the kind.
"""

import numpy as np
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.tasks import TaskData, labelled_validation
from gelora.tasks.classification.evaluation import majority_baseline
from gelora.tasks.classification.frozen_encoder import frozen_encoder_baseline
from gelora.tasks.instruction_tuning.evaluation import base_model_metrics
from gelora.tasks.metrics import Metric

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
    """Return the metrics of what needs no adapter, by name."""
    if data.validation is None or data.problem not in ("classification", "regression"):
        return {}
    found: dict[str, Metrics] = {}
    if with_encoder:
        found["frozen_encoder"] = frozen_encoder_baseline(
            model, data, tokenizer, seed=seed, batch_size=batch_size, max_length=max_length
        )
    found["majority"] = _majority(data)
    return found


def after_training(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    batch_size: int,
    max_length: int,
) -> dict[str, Metrics]:
    """Return the metrics of the model that was adapted, by name."""
    if data.validation is None or data.problem != "instruction_tuning":
        return {}
    return {
        "base_model": base_model_metrics(
            model, tokenizer, data, batch_size=batch_size, max_length=max_length
        )
    }


def _majority(data: TaskData) -> Metrics:
    labels = np.asarray(data.train["label"])

    def score(data: TaskData) -> Metrics:
        validation = np.asarray(labelled_validation(data)["label"])
        return majority_baseline(labels, validation, problem=data.problem, metrics=data.metrics)

    return data.score_splits(score)
