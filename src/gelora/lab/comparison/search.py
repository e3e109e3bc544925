"""The learning rate of every method: the best of one grid on a part of the training data.

Every method gets the same rates and the same number of trials. No validation item that is reported
is ever seen.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gelora.errors import DataError
from gelora.lab.comparison.results import Trial
from gelora.tasks.known import less_is_better

if TYPE_CHECKING:
    from gelora.tasks import TaskData

TRAINED_SHARE = 0.8
"""Of the training rows, those that a trial trains on; the rest scores it."""


def part_for_trials(data: "TaskData", *, seed: int) -> "TaskData":
    """Return the data of a trial: both its splits are parts of the training rows.

    Of every class the same share goes to either.

    Args:
        data: Whose validation splits are left out.
        seed: Of the draw, the same for all trials of a comparison.

    Raises:
        DataError: The training rows leave fewer than two to score.
    """
    strata = np.asarray(data.train["label"]) if data.problem == "classification" else None
    trained = _draw(len(data.train), strata, seed=seed)
    rest = np.setdiff1d(np.arange(len(data.train)), trained)
    if len(rest) < 2:
        raise DataError(
            f"{data.name} has {len(data.train)} training rows, too few to try learning rates on "
            f"{TRAINED_SHARE:.0%} of them: give one learning rate."
        )
    return replace(
        data,
        train=data.train.select(trained.tolist()),
        validation=data.train.select(rest.tolist()),
        more_validation={},
    )


def best_rate(trials: Sequence[Trial]) -> float | None:
    """Return the rate whose trial was the best; None if all diverged.

    A metric of classes has the same value for all models that hardly learn, and few values on few
    rows: of equals the one with the lower loss is taken, and only then the smaller rate.
    """
    usable = [(trial.value, trial) for trial in trials if trial.value is not None]
    if not usable:
        return None
    sign = 1 if less_is_better(trials[0].metric) else -1
    return min(
        (sign * value, math.inf if trial.loss is None else trial.loss, trial.learning_rate)
        for value, trial in usable
    )[2]


def is_tied(trials: Sequence[Trial]) -> bool:
    """Say whether the best rate did no better than another by the metric."""
    best = best_rate(trials)
    values = [trial.value for trial in trials]
    return any(values.count(trial.value) > 1 for trial in trials if trial.learning_rate == best)


def _draw(num_rows: int, strata: np.ndarray | None, *, seed: int) -> np.ndarray:
    """Draw the trained share of the rows, of each stratum if there are any, in their order."""
    generator = np.random.default_rng(seed)
    groups = np.zeros(num_rows, dtype=int) if strata is None else strata
    drawn = []
    for group in np.unique(groups):
        rows = generator.permutation(np.flatnonzero(groups == group))
        drawn.append(rows[: round(TRAINED_SHARE * len(rows))])
    return np.sort(np.concatenate(drawn))
