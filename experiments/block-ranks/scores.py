"""The scores of a task's runs as arrays, and what they say of each block with its error.

A block's question is always a contrast: weights over its ranks that sum to 0, such as 1 for rank 16
and -1 for rank 0. The variance of its mean over the seeds has two parts. Runs differ by their seed
beyond what the seed does to all of them: that variance is taken as one for all runs of the task,
which so many runs tell well, though the seeds of each are few. And another draw of scored rows
would favour other runs: that is the covariance of two seeds' contrasts when the same rows are
resampled for both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from one_run import OTHERS, RANKS, RESULTS_FILE, SWEEP_FILE, Key, Line

from gelora.artifacts import read_json
from gelora.errors import DataError
from gelora.lab.comparison.lines import read_lines
from gelora.lab.comparison.resampling import Weights, draw_items, weighted_metric
from gelora.lab.comparison.results import Reference

Labels = Int[np.ndarray, " rows"]

BRIER = "1 - Brier score"
DRAWS = 1000

SHARED = RANKS.index(OTHERS)
"""Where all blocks have the same run."""


@dataclass(frozen=True)
class Scores:
    """A task's runs by one measure; more is better.

    Attributes:
        measure: Its name.
        blocks: Their paths.
        seeds: Those of which every run is there.
        values: On all scored rows.
        resampled: On rows drawn anew, the same ones for all runs.
    """

    measure: str
    blocks: tuple[str, ...]
    seeds: tuple[int, ...]
    values: Float[np.ndarray, "blocks ranks seeds"]
    resampled: Float[np.ndarray, "draws blocks ranks seeds"]

    @property
    def means(self) -> Float[np.ndarray, "blocks ranks"]:
        """The mean over the seeds."""
        return self.values.mean(axis=2)

    @property
    def seed_variance(self) -> float:
        """Of one run, beyond what its rank and its seed do to all: two-way, without interaction."""
        others = [place for place in range(len(RANKS)) if place != SHARED]
        runs = np.concatenate(
            [self.values[:1, SHARED], self.values[:, others].reshape(-1, len(self.seeds))]
        )
        rest = runs - runs.mean(axis=1, keepdims=True) - runs.mean(axis=0) + runs.mean()
        return float((rest**2).sum() / ((len(runs) - 1) * (len(self.seeds) - 1)))

    def contrast(
        self, weights: Float[np.ndarray, "blocks ranks"]
    ) -> tuple[Float[np.ndarray, " blocks"], Float[np.ndarray, " blocks"]]:
        """Return each block's weighted sum of means, and its standard error.

        Args:
            weights: Over the ranks, for every block; each block's sum to 0.
        """
        num_seeds = len(self.seeds)
        drawn = np.einsum("br,dbrs->dbs", weights, self.resampled)
        whole = num_seeds**2 * drawn.mean(axis=2).var(axis=0, ddof=1)
        own = drawn.var(axis=0, ddof=1).sum(axis=1)
        by_rows = np.maximum(whole - own, 0.0) / (num_seeds * (num_seeds - 1))
        by_seeds = self.seed_variance * (weights**2).sum(axis=1) / num_seeds
        return (weights * self.means).sum(axis=1), np.sqrt(by_seeds + by_rows)

    def contrast_by_seed(
        self, weights: Float[np.ndarray, "blocks ranks"]
    ) -> Float[np.ndarray, "seeds blocks"]:
        """Return each block's weighted sum of scores for each seed by itself."""
        return np.einsum("br,brs->sb", weights, self.values)

    def best(self) -> Int[np.ndarray, " blocks"]:
        """Return where the best mean is, the smaller rank of equals."""
        return self.means.argmax(axis=1)

    def best_by_seed(self) -> Int[np.ndarray, "seeds blocks"]:
        """Return where each seed by itself has its best."""
        return self.values.argmax(axis=1).T

    def smallest_close_to_best(self) -> Int[np.ndarray, " blocks"]:
        """Return the smallest rank whose mean is within one standard error of the best.

        The error is of their difference, by the same seeds on the same rows.
        """
        best, found = self.best(), self.best()
        for place in reversed(range(len(RANKS))):
            deficit, error = self.contrast(between(best, np.full_like(best, place)))
            found = np.where((place < found) & (deficit <= error), place, found)
        return found


def between(
    places: Int[np.ndarray, " blocks"], others: Int[np.ndarray, " blocks"]
) -> Float[np.ndarray, "blocks ranks"]:
    """Return the weights of one rank less another, in every block."""
    each = np.eye(len(RANKS))
    return each[places] - each[others]


def per_doubling(num_blocks: int) -> Float[np.ndarray, "blocks ranks"]:
    """Return the weights of the slope of a line over log2 of the ranks from 1."""
    steps = np.log2(RANKS[1:])
    slope = (steps - steps.mean()) / ((steps - steps.mean()) ** 2).sum()
    return np.tile([0.0, *slope], (num_blocks, 1))


def read_scores(folder: Path, task: str, blocks: Sequence[str]) -> list[Scores]:
    """Read what the sweep has left of a task: by its headline metric, and by the Brier score.

    A metric of classes turns on the few rows near one half, the Brier score on all.

    Args:
        folder: Of the sweep.
        task: Its name.
        blocks: Their paths.

    Raises:
        DataError: Fewer than two seeds are done.
    """
    settings = read_json(folder / SWEEP_FILE, kind="sweep")["tasks"][task]
    lines = {line.key: line for line in read_lines(folder / RESULTS_FILE, Line)}
    seeds = [
        seed
        for seed in sorted({line.seed for line in lines.values()})
        if all(_key(task, block, rank, seed) in lines for block in blocks for rank in RANKS)
    ]
    if len(seeds) < 2:
        raise DataError(
            f"{folder} has {len(seeds)} seeds with all runs of {task}, and errors take two: let "
            "the sweep go on."
        )
    grid = [
        [[lines[_key(task, block, rank, seed)] for seed in seeds] for rank in RANKS]
        for block in blocks
    ]
    labels = np.array(list(map(int, settings["labels"])))
    return [
        _scores(settings["metric"], blocks, seeds, grid, labels),
        _scores(BRIER, blocks, seeds, grid, labels),
    ]


def _key(task: str, block: str, rank: int, seed: int) -> Key:
    return task, None if rank == OTHERS else block, rank, seed


def _scores(
    measure: str,
    blocks: Sequence[str],
    seeds: Sequence[int],
    grid: Sequence[Sequence[Sequence[Line]]],
    labels: Labels,
) -> Scores:
    distinct = {line.key: line for ranks in grid for lines in ranks for line in lines}
    drawn = _resampled(measure, list(distinct.values()), labels)
    values = [
        [[1 - line.brier if measure == BRIER else line.metric for line in lines] for lines in ranks]
        for ranks in grid
    ]
    resampled = [[[drawn[line.key] for line in lines] for lines in ranks] for ranks in grid]
    return Scores(
        measure=measure,
        blocks=tuple(blocks),
        seeds=tuple(seeds),
        values=np.array(values),
        resampled=np.moveaxis(np.array(resampled), -1, 0),
    )


def _resampled(
    measure: str, lines: Sequence[Line], labels: Labels
) -> dict[Key, Float[np.ndarray, " draws"]]:
    """Return a measure of every run on the same resampled rows."""
    digits = [np.array([int(digit, 16) for digit in line.probabilities]) for line in lines]
    reference = Reference("classification", [measure], 2, labels.tolist(), sha256="")

    def values(weights: Weights) -> list[Float[np.ndarray, " draws"]]:
        if measure == BRIER:
            share = weights / weights.sum(axis=1, keepdims=True)
            return [1 - share @ ((one + 0.5) / 16 - labels) ** 2 for one in digits]
        predicted = [{"label": (one >= 8).astype(int).tolist()} for one in digits]
        return [weighted_metric(measure, one, reference, weights) for one in predicted]

    parts = [values(weights) for weights in draw_items(len(labels), draws=DRAWS, seed=0)]
    keys = [line.key for line in lines]
    return dict(zip(keys, np.concatenate(parts, axis=1), strict=True))
