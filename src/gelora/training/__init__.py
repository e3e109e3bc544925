"""Train the adapter of a plan with any Trainer, whatever the problem."""

from gelora.hidden_states.task_head import head_modules
from gelora.training.callbacks import DimensionCallback
from gelora.training.train import TrainingResult, fit, train_adapter, wrap

__all__ = [
    "DimensionCallback",
    "TrainingResult",
    "fit",
    "head_modules",
    "train_adapter",
    "wrap",
]
