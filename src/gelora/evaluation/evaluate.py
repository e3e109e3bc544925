"""Evaluate a model on a task of any problem."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.data import TaskData
from gelora.metrics import Metric
from gelora.tasks import Problem

if TYPE_CHECKING:
    from peft import PeftModel

EVALUATORS: Mapping[Problem, str] = {
    "classification": "classification",
    "regression": "classification",
    "question_answering": "question_answering",
    "instruction_tuning": "instruction_tuning",
}


def evaluate(
    model: "PreTrainedModel | PeftModel",
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    batch_size: int = 64,
    max_length: int | None = None,
) -> dict[str, Metric]:
    """Return the task's metrics on its validation split.

    Where the task has more splits, their metrics follow with the split's ending, such as
    `accuracy_mismatched`.

    Raises:
        DataError: There is no labelled validation split, or as `compute_metrics`.
    """
    module: Any = import_module(f"gelora.evaluation.{EVALUATORS[data.problem]}")

    def score(data: TaskData) -> dict[str, Metric]:
        return module.evaluate(model, tokenizer, data, batch_size=batch_size, max_length=max_length)

    return data.score_splits(score)
