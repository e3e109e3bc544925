"""Evaluate a model on a task of any problem."""

from typing import TYPE_CHECKING

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.tasks.metrics import Metric
from gelora.tasks.task_data import TaskData
from gelora.tasks.train import part_of

if TYPE_CHECKING:
    from peft import PeftModel


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
    module = part_of(data.problem, "evaluation")

    def score(data: TaskData) -> dict[str, Metric]:
        return module.evaluate(model, tokenizer, data, batch_size=batch_size, max_length=max_length)

    return data.score_splits(score)
