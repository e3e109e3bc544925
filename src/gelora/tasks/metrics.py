"""Metrics of predictions against labels, each with a standard error and a sample count.

Every metric has one formula, in which samples have weights. Equal weights give the value, weights
of 0 and 1 the jackknife, and counts of drawn samples the bootstrap. No model is seen here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int, Num

from gelora.errors import DataError

Scores = Float[np.ndarray, "samples labels"] | Float[np.ndarray, " samples"]
Labels = Int[np.ndarray, " samples"] | Float[np.ndarray, " samples"]
Weights = Float[np.ndarray, "draws samples"]
Values = Float[np.ndarray, " draws"]

JACKKNIFE_GROUPS = 500  # leave one out up to here; its error is then known to 1/sqrt(2·500) = 3 %
WEIGHTS_AT_ONCE = 4_000_000
"""Number of weights that are held in memory at once: 32 MB."""


@dataclass(frozen=True)
class Metric:
    """One metric of one model on one split.

    Attributes:
        value: In the metric's own unit; always finite.
        standard_error: Standard error of `value` by resampling. It is 0.0 when every prediction is
            correct, which is uninformative.
        num_samples: Number of labelled samples.
    """

    value: float
    standard_error: float
    num_samples: int


@dataclass(frozen=True)
class Items:
    """The predictions of a model, one per sample, with the labels.

    Attributes:
        predictions: `label` for classes, `number` for a regression, `f1` and `exact_match` for
            questions, `loss` and `tokens` for completions.
        labels: Class numbers, or the numbers to predict; empty where predictions are scores.
        num_labels: The number of classes.
    """

    predictions: Mapping[str, np.ndarray]
    labels: np.ndarray
    num_labels: int = 0


Formula = Callable[[Items, Weights], Values]


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
    items, formulas = _prepare(scores, labels, metrics)
    num_samples = len(labels)
    result: dict[str, Metric] = {}
    for name, formula in formulas.items():
        value = _value(formula, items)
        if name == "accuracy":
            error = float(np.sqrt(value * (1 - value) / num_samples))
        else:
            error = _jackknife_error(formula, items)
        result[name] = Metric(value, error, num_samples)
    return result


def metric_values(scores: Scores, labels: Labels, *, metrics: Sequence[str]) -> dict[str, float]:
    """Return the values of `compute_metrics` alone, which is quick enough for every evaluation.

    Raises:
        DataError: As `compute_metrics`.
    """
    items, formulas = _prepare(scores, labels, metrics)
    return {name: _value(formula, items) for name, formula in formulas.items()}


def _prepare(
    scores: Scores, labels: Labels, metrics: Sequence[str]
) -> tuple[Items, dict[str, Formula]]:
    """Check the arrays; return one prediction per sample and the formulas of the metrics."""
    if len(labels) < 2:
        raise DataError(f"Metrics need at least 2 labelled samples, got {len(labels)}.")
    unusable = int(np.sum(~np.isfinite(scores)))
    if unusable:
        raise DataError(
            f"{unusable} of {scores.size} scores are NaN or infinite: training diverged or half "
            "precision overflowed; lower the learning rate or use float32."
        )
    if scores.ndim == 1:
        items, known = Items({"number": scores.astype(np.float64)}, labels), FORMULAS["regression"]
    else:
        num_labels = scores.shape[1]
        if labels.min() < 0 or labels.max() >= num_labels:
            raise DataError(
                f"The model scores labels 0 to {num_labels - 1}, the data has {labels.min()} to "
                f"{labels.max()}."
            )
        items = Items({"label": scores.argmax(axis=1)}, labels, num_labels)
        known = FORMULAS["classification"]
    unknown = [name for name in metrics if name not in known]
    if unknown:
        raise DataError(
            f"There is no metric {unknown[0]!r} for scores of shape {scores.shape}; there are "
            f"{', '.join(known)}."
        )
    return items, {name: known[name] for name in metrics}


def _value(formula: Formula, items: Items) -> float:
    return float(formula(items, np.ones((1, len(items.labels))))[0])


def _jackknife_error(formula: Formula, items: Items) -> float:
    num_samples = len(items.labels)
    groups = min(num_samples, JACKKNIFE_GROUPS)
    # Shuffled: in a file sorted by label, regular groups would resemble each other too much.
    group_of = np.random.default_rng(0).permutation(num_samples) % groups
    left_out = [
        formula(items, (group_of != np.arange(groups)[draws, None]).astype(np.float64))
        for draws in draw_chunks(num_samples, groups)
    ]
    return float(np.sqrt((groups - 1) * np.var(np.concatenate(left_out))))


def draw_chunks(num_samples: int, num_draws: int) -> Iterator[slice]:
    """Yield slices of the draws, so that the weights of each slice fit in memory."""
    size = max(1, WEIGHTS_AT_ONCE // num_samples)
    for start in range(0, num_draws, size):
        yield slice(start, min(start + size, num_draws))


def _accuracy(items: Items, weights: Weights) -> Values:
    return weights @ (items.predictions["label"] == items.labels) / weights.sum(axis=1)


def _f1(items: Items, weights: Weights) -> Values:
    """Return F1 of class 1 where there are two, else its mean over the classes that occur."""
    right, predicted, labelled = _class_weights(items, weights)
    seen = predicted + labelled
    scores = _ratio(2 * right, seen)
    if items.num_labels == 2:
        return scores[:, 1]
    return scores.sum(axis=1) / (seen > 0).sum(axis=1)


def _matthews(items: Items, weights: Weights) -> Values:
    """Return R_K of Gorodkin (Computational Biology and Chemistry 28, 2004), equation 8."""
    right, predicted, labelled = _class_weights(items, weights)
    total = labelled.sum(axis=1)
    covariance = right.sum(axis=1) * total - (predicted * labelled).sum(axis=1)
    variances = [total**2 - (sums**2).sum(axis=1) for sums in (predicted, labelled)]
    return _ratio(covariance, np.sqrt(variances[0] * variances[1]))


def _class_weights(items: Items, weights: Weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for every draw and class, the weight that is right, predicted and labelled so."""
    predicted, labels = items.predictions["label"].astype(int), items.labels.astype(int)
    right = weights * (predicted == labels)
    return (
        _sums(right, labels, items.num_labels),
        _sums(weights, predicted, items.num_labels),
        _sums(weights, labels, items.num_labels),
    )


def _sums(
    weights: Weights, bins: Int[np.ndarray, " samples"], count: int
) -> Float[np.ndarray, "draws bins"]:
    """Return the weight of each bin in every draw."""
    return np.array([np.bincount(bins, draw, minlength=count) for draw in weights])


def _pearson(items: Items, weights: Weights) -> Values:
    return _correlation(items.predictions["number"], items.labels, weights)


def _spearman(items: Items, weights: Weights) -> Values:
    predicted = _ranks(items.predictions["number"], weights)
    return _correlation(predicted, _ranks(items.labels, weights), weights)


def _ranks(
    numbers: Num[np.ndarray, " samples"], weights: Weights
) -> Float[np.ndarray, "draws samples"]:
    """Return each number's rank in every draw; equal numbers share their mean rank."""
    values, bins = np.unique(numbers, return_inverse=True)
    tied = _sums(weights, bins, len(values))
    return (tied.cumsum(axis=1) - (tied - 1) / 2)[:, bins]


def _correlation(x: np.ndarray, y: np.ndarray, weights: Weights) -> Values:
    x, y = _standardized(x), _standardized(y)
    share = weights / weights.sum(axis=1, keepdims=True)
    mean_x, mean_y = (share * x).sum(axis=1), (share * y).sum(axis=1)
    covariance = (share * x * y).sum(axis=1) - mean_x * mean_y
    variance_x = (share * x**2).sum(axis=1) - mean_x**2
    variance_y = (share * y**2).sum(axis=1) - mean_y**2
    return _ratio(covariance, np.sqrt(variance_x.clip(0) * variance_y.clip(0))).clip(-1, 1)


def _standardized(numbers: np.ndarray) -> np.ndarray:
    """Return numbers of mean 0 and variance 1, so that differences of moments lose no digits."""
    centred = numbers - numbers.mean(axis=-1, keepdims=True)
    spread = centred.std(axis=-1, keepdims=True)
    # A mean of equal numbers is off by rounding, which must not become a spread of 1.
    is_constant = spread <= 1e-14 * np.abs(numbers).max(axis=-1, keepdims=True)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=~is_constant)


def _percent(name: str, items: Items, weights: Weights) -> Values:
    """Return the mean of a score that every item has by itself, in percent."""
    return 100 * (weights @ items.predictions[name]) / weights.sum(axis=1)


def _perplexity(items: Items, weights: Weights) -> Values:
    losses, tokens = items.predictions["loss"], items.predictions["tokens"]
    return np.exp(weights @ losses / (weights @ tokens))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the quotient, and 0 where the denominator is 0."""
    return np.divide(
        numerator, denominator, out=np.zeros_like(numerator), where=denominator > 1e-12
    )


FORMULAS: Mapping[str, Mapping[str, Formula]] = {
    "classification": {"accuracy": _accuracy, "f1": _f1, "matthews_correlation": _matthews},
    "regression": {"pearson": _pearson, "spearman": _spearman},
    "question_answering": {name: partial(_percent, name) for name in ("f1", "exact_match")},
    "instruction_tuning": {"perplexity": _perplexity},
}
"""The formula of every metric, by problem and name."""
