"""Train the adapter of a plan: one Trainer for every problem, and what all of them share."""

from gelora.hidden_states.heads import head_modules
from gelora.training.callbacks import DimensionCallback
from gelora.training.train import TrainingResult, check_arguments, train
from gelora.training.wrapping import check_causal, wrap

__all__ = [
    "DimensionCallback",
    "TrainingResult",
    "check_arguments",
    "check_causal",
    "head_modules",
    "train",
    "wrap",
]
