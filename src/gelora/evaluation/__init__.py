"""The metrics of a model on a task's validation split, each problem in a file of its own."""

from gelora.evaluation.classification import length_sorted_batches, majority_baseline, predict
from gelora.evaluation.evaluate import evaluate
from gelora.evaluation.labelled import labelled_validation

__all__ = [
    "evaluate",
    "labelled_validation",
    "length_sorted_batches",
    "majority_baseline",
    "predict",
]
