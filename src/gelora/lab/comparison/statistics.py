"""Statistics of a comparison: means over seeds, tests against `gelora`, ranks over tasks.

The test is a paired bootstrap over seeds and validation items. docs/comparison.md explains the
parts of the variance, and how often the test is wrong.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import stats

from gelora.lab.comparison.resampling import draw_items, item_count, weighted_metric
from gelora.lab.comparison.results import REFERENCE_METHOD, Results, RunResult
from gelora.tasks.known import less_is_better

Outcome = Literal["win", "tie", "loss"]
"""Of `gelora` against a method: a difference counts if its corrected p is below 0.05."""

DRAWS = 2000  # the variance of a difference is then known to 1/sqrt(2·2000) = 1.6 % of its error
SIGNIFICANT = 0.05

Draws = Float[np.ndarray, "draws seeds"]
Resampled = Mapping[str, Float[np.ndarray, " draws"]]
"""A metric of every run on the same resampled items, by the run's hash."""


@dataclass(frozen=True)
class Difference:
    """A method's headline metric less `gelora`'s, over the seeds that both have.

    Attributes:
        value: The mean over the seeds.
        low: Of the 95 % interval.
        high: Of the 95 % interval.
        p_value: Two-sided, that the true difference is 0.
        corrected_p: The same by Holm's correction over the methods of the task and budget.
        is_better: Whether the method's mean is the better one.
    """

    value: float
    low: float
    high: float
    p_value: float
    corrected_p: float
    is_better: bool

    @property
    def outcome(self) -> Outcome:
        """Of what the method is compared with, by the corrected p."""
        if self.corrected_p >= SIGNIFICANT:
            return "tie"
        return "loss" if self.is_better else "win"


@dataclass(frozen=True)
class Summary:
    """All runs of a method on a task at a budget.

    Attributes:
        task: Its name.
        budget: As it was asked for.
        method: Its name.
        rows: One for each seed.
        difference: From `gelora`; None for itself, and where fewer than two seeds are common.
    """

    task: str
    budget: str
    method: str
    rows: Sequence[RunResult]
    difference: Difference | None = None

    @property
    def mean(self) -> float:
        """Of the headline metric, over seeds."""
        return float(np.mean([row.value for row in self.rows]))

    @property
    def quality(self) -> float:
        """The mean, with its sign turned where less is better."""
        return -self.mean if less_is_better(self.rows[0].headline_metric) else self.mean

    @property
    def standard_deviation(self) -> float | None:
        """Of the headline metric, over seeds (n - 1); None with one seed."""
        values = [row.value for row in self.rows]
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def median(self, field: str) -> float:
        """Return the median over seeds of a number that every row has."""
        return float(np.median([getattr(row, field) for row in self.rows]))


def summarise(results: Results, *, draws: int = DRAWS, seed: int = 0) -> list[Summary]:
    """Return a summary for every method of every task and budget, in the results' order.

    Rows of `--vary` are left out: they are of one method and compared with nothing.

    Args:
        results: What is there of a comparison.
        draws: Resamplings of the items.
        seed: Of the resamplings.
    """
    groups: dict[tuple[str, str], dict[str, list[RunResult]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in results.rows:
        if not row.varied:
            groups[row.task, row.budget][row.method].append(row)
    resampled = {
        task: resampled_metrics(results, task, draws=draws, seed=seed) for task, _ in groups
    }
    summaries: list[Summary] = []
    for (task, budget), methods in groups.items():
        differences: dict[str, Difference] = {}
        for method, rows in methods.items():
            difference = difference_of(rows, methods.get(REFERENCE_METHOD, []), resampled[task])
            if method != REFERENCE_METHOD and difference is not None:
                differences[method] = difference
        corrected = holm([difference.p_value for difference in differences.values()])
        differences = {
            method: replace(difference, corrected_p=p_value)
            for (method, difference), p_value in zip(differences.items(), corrected, strict=True)
        }
        summaries += [
            Summary(task, budget, method, rows, differences.get(method))
            for method, rows in methods.items()
        ]
    return summaries


def paired_difference(
    values: Float[np.ndarray, " seeds"], resampled: Draws
) -> tuple[float, float, float, float]:
    """Return the mean difference of two methods, its 95 % interval and its two-sided p.

    Both methods are run with the same seeds on the same items. What differs between seeds (a), what
    differs between items (b) and what a seed makes of an item (e) add up to the variance of the
    mean, a/S + b/N + e/(S N) for S seeds and N items. The variance of the seeds' own differences,
    over S, holds a and e; the covariance of two seeds' differences when the same items are
    resampled for both holds b, and counts as 0 where chance makes it negative: no variance is, and
    the degrees of freedom would fall below S - 1. Where the sum is smaller than the variance by
    items alone, which is b/N + e/(S N), that is taken. As seeds are few, quantiles are Student's,
    with the degrees of freedom of Satterthwaite (Biometrics Bulletin 2, 1946).

    Args:
        values: The difference of every seed, at least two, on all items.
        resampled: The same on items drawn anew, the same items for all seeds.
    """
    num_seeds = len(values)
    mean = float(values.mean())
    by_seeds = float(values.var(ddof=1)) / num_seeds
    covariances = np.cov(resampled, rowvar=False)
    by_items = float(covariances.sum()) / num_seeds**2
    shared = float(covariances.sum() - covariances.trace()) / (num_seeds * (num_seeds - 1))
    variance = max(by_items, by_seeds + max(shared, 0.0))
    if variance <= 0:  # the two always agree, or always differ alike
        return mean, mean, mean, 1.0 if mean == 0 else 0.0
    freedom = (num_seeds - 1) * (variance / by_seeds) ** 2 if by_seeds else np.inf
    error = variance**0.5
    margin = float(stats.t.ppf(0.975, freedom)) * error
    p_value = float(2 * stats.t.sf(abs(mean) / error, freedom))
    return mean, mean - margin, mean + margin, p_value


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values by Holm's correction (Scandinavian Journal of Statistics 6, 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = largest
    return corrected


def mean_ranks(summaries: Iterable[Summary]) -> dict[str, dict[str, float]]:
    """Return, for every budget, each method's mean rank over the tasks; the best has rank 1.

    Methods that lack a result on a task that another has are left out.
    """
    means: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for summary in summaries:
        means[summary.budget][summary.task][summary.method] = -summary.quality
    ranks: dict[str, dict[str, float]] = {}
    for budget, tasks in means.items():
        first, *others = tasks.values()
        methods = [name for name in first if all(name in values for values in others)]
        by_task = [stats.rankdata([values[name] for name in methods]) for values in tasks.values()]
        ranks[budget] = dict(zip(methods, np.mean(by_task, axis=0).tolist(), strict=True))
    return ranks


def pareto_front(costs: Sequence[float], qualities: Sequence[float]) -> list[int]:
    """Return which points no other beats: none is as good for less, or better for as little.

    >>> pareto_front([1, 2, 3, 3], [0.5, 0.4, 0.7, 0.6])
    [0, 2]
    """
    front: list[int] = []
    for index in sorted(range(len(costs)), key=lambda i: (costs[i], -qualities[i])):
        if not front or qualities[index] > qualities[front[-1]]:
            front.append(index)
    return front


def resampled_metrics(results: Results, task: str, *, draws: int, seed: int) -> Resampled:
    """Return the headline metric of every run of a task on the same resampled items, by hash.

    Args:
        results: What is there of a comparison.
        task: Its name.
        draws: Resamplings of the items.
        seed: Of the resamplings.
    """
    metrics = {row.hash: row.headline_metric for row in results.rows if row.task == task}
    runs = {run: results.predictions[run].values for run in metrics if run in results.predictions}
    if not runs:
        return {}
    reference = results.references[task]
    num_items = item_count(next(iter(runs.values())))
    parts = [
        [weighted_metric(metrics[run], values, reference, weights) for run, values in runs.items()]
        for weights in draw_items(num_items, draws=draws, seed=seed)
    ]
    return dict(zip(runs, np.concatenate(parts, axis=1), strict=True))


def difference_of(
    rows: Sequence[RunResult], others: Sequence[RunResult], resampled: Resampled
) -> Difference | None:
    """Return how runs differ from others over the seeds that both have, without correction.

    None where fewer than two seeds are common.

    Args:
        rows: One for each seed.
        others: What they are compared with.
        resampled: Of `resampled_metrics`.
    """
    references = {row.seed: row for row in others if row.hash in resampled}
    pairs = [
        (row, references[row.seed])
        for row in rows
        if row.seed in references and row.hash in resampled
    ]
    if len(pairs) < 2:
        return None
    values = np.array([row.value - other.value for row, other in pairs])
    draws = np.stack([resampled[row.hash] - resampled[other.hash] for row, other in pairs], axis=1)
    mean, low, high, p_value = paired_difference(values, draws)
    is_better = mean < 0 if less_is_better(rows[0].headline_metric) else mean > 0
    return Difference(mean, low, high, p_value, p_value, is_better)
