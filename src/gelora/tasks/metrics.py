"""Metrics of predictions against labels, each with a standard error and a sample count.

Arrays in, numbers out; no model is seen here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from gelora.errors import DataError

Scores = Float[np.ndarray, "samples labels"] | Float[np.ndarray, " samples"]
Labels = Int[np.ndarray, " samples"] | Float[np.ndarray, " samples"]
Statistic = Callable[[np.ndarray, np.ndarray], float]

JACKKNIFE_GROUPS = 500  # leave one out up to here; its error is then known to 1/sqrt(2·500) = 3 %


@dataclass(frozen=True)
class Metric:
    """One metric of one model on one split.

    Attributes:
        value: In the metric's own unit; always finite.
        standard_error: Of `value`, over samples drawn anew; 0.0 where no prediction is wrong,
            which then says nothing about how sure that is.
        num_samples: How many labelled samples it rests on.
    """

    value: float
    standard_error: float
    num_samples: int


def compute_metrics(scores: Scores, labels: Labels, *, metrics: Sequence[str]) -> dict[str, Metric]:
    """Return the named metrics with their standard errors.

    The error of accuracy is sqrt(p(1 - p)/n); of the others the jackknife's, which leaves out one
    sample at a time, or one of 500 random groups where there are more samples (Efron and Stein,
    The Annals of Statistics 9, 1981; Shao and Tu, The Jackknife and Bootstrap, 1995, 2.3).

    Args:
        scores: One per label, the largest wins; or one number per sample, for regression.
        labels: Class numbers, or the numbers to predict.
        metrics: Of accuracy, f1 (of class 1 if there are two, else the mean over the classes that
            occur) and matthews_correlation for classes; pearson and spearman for numbers. Where
            a formula divides by zero, as with constant predictions, its value is 0.0.

    Raises:
        DataError: Fewer than two samples, scores that are not finite, a label that has no score,
            or a metric of another problem.

    >>> compute_metrics(np.eye(2)[[0, 1, 1, 1]], np.array([0, 1, 1, 0]), metrics=("accuracy",))
    {'accuracy': Metric(value=0.75, standard_error=0.21650635094610965, num_samples=4)}
    """
    predictions, statistics = _prepare(scores, labels, metrics)
    num_samples = len(labels)
    result: dict[str, Metric] = {}
    for name, statistic in statistics.items():
        value = statistic(predictions, labels)
        if name == "accuracy":
            error = float(np.sqrt(value * (1 - value) / num_samples))
        else:
            error = _jackknife_error(statistic, predictions, labels)
        result[name] = Metric(value, error, num_samples)
    return result


def metric_values(scores: Scores, labels: Labels, *, metrics: Sequence[str]) -> dict[str, float]:
    """Return the values of `compute_metrics` alone, which is quick enough for every evaluation.

    Raises:
        DataError: As `compute_metrics`.
    """
    predictions, statistics = _prepare(scores, labels, metrics)
    return {name: statistic(predictions, labels) for name, statistic in statistics.items()}


def _prepare(
    scores: Scores, labels: Labels, metrics: Sequence[str]
) -> tuple[np.ndarray, dict[str, Statistic]]:
    """Check the arrays; return one prediction per sample and the statistics to take of them."""
    if len(labels) < 2:
        raise DataError(f"Metrics need at least 2 labelled samples, got {len(labels)}.")
    unusable = int(np.sum(~np.isfinite(scores)))
    if unusable:
        raise DataError(
            f"{unusable} of {scores.size} scores are NaN or infinite: training diverged or half "
            "precision overflowed; lower the learning rate or use float32."
        )
    if scores.ndim == 1:
        predictions = scores.astype(np.float64)
        statistics: dict[str, Statistic] = {"pearson": _pearson, "spearman": _spearman}
    else:
        num_labels = scores.shape[1]
        if labels.min() < 0 or labels.max() >= num_labels:
            raise DataError(
                f"The model scores labels 0 to {num_labels - 1}, the data has {labels.min()} to "
                f"{labels.max()}."
            )
        predictions = scores.argmax(axis=1)
        statistics = {
            name: partial(_of_confusion, function, num_labels)
            for name, function in _CONFUSION_METRICS.items()
        }
    unknown = [name for name in metrics if name not in statistics]
    if unknown:
        raise DataError(
            f"There is no metric {unknown[0]!r} for scores of shape {scores.shape}; there are "
            f"{', '.join(statistics)}."
        )
    return predictions, {name: statistics[name] for name in metrics}


def _jackknife_error(statistic: Statistic, predictions: np.ndarray, labels: np.ndarray) -> float:
    groups = min(len(labels), JACKKNIFE_GROUPS)
    # Shuffled: in a file sorted by label, regular groups would resemble each other too much.
    group_of = np.random.default_rng(0).permutation(len(labels)) % groups
    left_out = [
        statistic(predictions[kept], labels[kept])
        for kept in (group_of != group for group in range(groups))
    ]
    return float(np.sqrt((groups - 1) * np.var(left_out)))


def _of_confusion(
    metric: Callable[[np.ndarray], float],
    num_labels: int,
    predictions: np.ndarray,
    labels: np.ndarray,
) -> float:
    """Take a metric of the table of counts: one row per label, one column per prediction."""
    cells = np.bincount(labels * num_labels + predictions, minlength=num_labels**2)
    return metric(cells.reshape(num_labels, num_labels).astype(np.float64))


def _accuracy(counts: np.ndarray) -> float:
    return float(counts.trace() / counts.sum())


def _f1(counts: np.ndarray) -> float:
    true, seen = np.diag(counts), counts.sum(axis=0) + counts.sum(axis=1)
    if len(counts) == 2:
        return float(2 * true[1] / seen[1]) if seen[1] else 0.0
    return float(np.mean(2 * true[seen > 0] / seen[seen > 0]))


def _matthews(counts: np.ndarray) -> float:
    """Return R_K of Gorodkin (Computational Biology and Chemistry 28, 2004), equation 8."""
    total, predicted, labelled = counts.sum(), counts.sum(axis=0), counts.sum(axis=1)
    covariance = counts.trace() * total - predicted @ labelled
    variances = (total**2 - predicted @ predicted) * (total**2 - labelled @ labelled)
    return float(covariance / np.sqrt(variances)) if variances else 0.0


def _pearson(predictions: np.ndarray, labels: np.ndarray) -> float:
    x, y = predictions - predictions.mean(), labels - labels.mean()
    norms = np.linalg.norm(x) * np.linalg.norm(y)
    return float(np.clip(x @ y / norms, -1.0, 1.0)) if norms else 0.0


def _spearman(predictions: np.ndarray, labels: np.ndarray) -> float:
    return _pearson(rankdata(predictions), rankdata(labels))


_CONFUSION_METRICS: dict[str, Callable[[np.ndarray], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "matthews_correlation": _matthews,
}
