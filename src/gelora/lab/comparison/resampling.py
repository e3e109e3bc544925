"""Headline metrics of resampled items, many draws at once.

A draw is how often each item was taken, so a metric of it is one with weights: counts of classes,
moments of numbers, sums of what was scored by item. Nothing here knows methods or seeds of runs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from gelora.errors import ArtifactError
from gelora.lab.comparison.results import Reference

Weights = Float[np.ndarray, "draws items"]
Values = Float[np.ndarray, " draws"]

_CHUNK = 4_000_000  # weights held at once: 32 MB


def draw_items(num_items: int, *, draws: int, seed: int) -> Iterator[Weights]:
    """Yield how often each item is taken in each draw of as many items, some draws at a time."""
    generator = np.random.default_rng(seed)
    chunk = max(1, _CHUNK // num_items)
    for done in range(0, draws, chunk):
        size = min(chunk, draws - done)
        taken = generator.multinomial(num_items, np.full(num_items, 1 / num_items), size=size)
        yield taken.astype(np.float64)


def weighted_metric(
    metric: str, predictions: Mapping[str, Sequence[float]], reference: Reference, weights: Weights
) -> Values:
    """Return a metric of every draw; with equal weights it is `gelora.tasks.metrics`' own.

    Args:
        metric: Its name.
        predictions: The values of `Predictions`.
        reference: What they are scored by.
        weights: How often each item counts in each draw.

    Raises:
        ArtifactError: The predictions are not of as many items, or the metric is not known.
    """
    columns = {name: np.asarray(values, np.float64) for name, values in predictions.items()}
    num_items = weights.shape[1]
    lengths = {len(values) for values in columns.values()}
    if reference.labels:
        lengths.add(len(reference.labels))
    if lengths != {num_items}:
        raise ArtifactError(
            f"Predictions and labels have {sorted(lengths)} items where {num_items} are resampled: "
            "they are of different data; run the comparison again."
        )
    formulas = _FORMULAS[reference.problem]
    if metric not in formulas:
        raise ArtifactError(
            f"{metric!r} of {reference.problem} cannot be resampled; known are "
            f"{', '.join(formulas)}."
        )
    return formulas[metric](columns, reference, weights)


def item_count(predictions: Mapping[str, Sequence[float]]) -> int:
    """Return how many items a run predicted."""
    return len(next(iter(predictions.values())))


Columns = Mapping[str, Float[np.ndarray, " items"]]
Formula = Callable[[Columns, Reference, Weights], Values]


def _accuracy(columns: Columns, reference: Reference, weights: Weights) -> Values:
    return weights @ (columns["label"] == np.asarray(reference.labels)) / weights.sum(axis=1)


def _f1(columns: Columns, reference: Reference, weights: Weights) -> Values:
    """Return F1 of class 1 where there are two, else its mean over the classes that occur."""
    right, predicted, labelled = _class_counts(columns, reference, weights)
    seen = predicted + labelled
    scores = _ratio(2 * right, seen)
    if scores.shape[1] == 2:
        return scores[:, 1]
    return scores.sum(axis=1) / (seen > 0).sum(axis=1)


def _matthews(columns: Columns, reference: Reference, weights: Weights) -> Values:
    """Return R_K of Gorodkin (Computational Biology and Chemistry 28, 2004), equation 8."""
    right, predicted, labelled = _class_counts(columns, reference, weights)
    total = labelled.sum(axis=1)
    covariance = right.sum(axis=1) * total - (predicted * labelled).sum(axis=1)
    variances = [total**2 - (counts**2).sum(axis=1) for counts in (predicted, labelled)]
    return _ratio(covariance, np.sqrt(variances[0] * variances[1]))


def _class_counts(
    columns: Columns, reference: Reference, weights: Weights
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for every draw and class, how many are right, predicted and labelled so."""
    classes = np.arange(reference.num_labels)
    predicted = columns["label"][:, None] == classes
    labelled = np.asarray(reference.labels)[:, None] == classes
    return weights @ (predicted & labelled), weights @ predicted, weights @ labelled


def _pearson(columns: Columns, reference: Reference, weights: Weights) -> Values:
    # Centred first, so that differences of moments lose no digits.
    x, y = (v - v.mean() for v in (columns["number"], np.asarray(reference.labels)))
    share = weights / weights.sum(axis=1, keepdims=True)
    mean_x, mean_y = share @ x, share @ y
    covariance = share @ (x * y) - mean_x * mean_y
    variances = (share @ x**2 - mean_x**2).clip(0) * (share @ y**2 - mean_y**2).clip(0)
    return _ratio(covariance, np.sqrt(variances)).clip(-1, 1)


def _mean_percent(name: str) -> Formula:
    """Return the formula of a score that every item has by itself, in percent."""

    def mean(columns: Columns, _reference: Reference, weights: Weights) -> Values:
        return 100 * (weights @ columns[name]) / weights.sum(axis=1)

    return mean


def _perplexity(columns: Columns, _reference: Reference, weights: Weights) -> Values:
    return np.exp(weights @ columns["loss"] / (weights @ columns["tokens"]))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the quotient, and 0 where it has none, as `gelora.tasks.metrics` does."""
    return np.divide(
        numerator, denominator, out=np.zeros_like(numerator), where=denominator > 1e-12
    )


_FORMULAS: Mapping[str, Mapping[str, Formula]] = {
    "classification": {"accuracy": _accuracy, "f1": _f1, "matthews_correlation": _matthews},
    "regression": {"pearson": _pearson},
    "question_answering": {name: _mean_percent(name) for name in ("f1", "exact_match")},
    "instruction_tuning": {"perplexity": _perplexity},
}
