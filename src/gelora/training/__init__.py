"""Train the adapter of a plan: one Trainer for every problem, and what all of them share."""

from gelora.training.callbacks import DimensionCallback
from gelora.training.train import TrainingResult, train
from gelora.training.wrapping import head_modules, wrap

__all__ = ["DimensionCallback", "TrainingResult", "head_modules", "train", "wrap"]
