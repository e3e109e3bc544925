"""The standard error over the neighbour graph, as a sum; each estimator's is tested with it."""

import math

import numpy as np
import pytest

from gelora.dimension.fitting import graph_standard_error


def test_the_graph_sums_over_pairs_of_neighbours(seed: int) -> None:
    rng = np.random.default_rng(seed)
    influence, neighbors = rng.exponential(size=40), (np.arange(40)[:, None] + [1, 2, 2, 39]) % 40
    near = [set(row.tolist()) for row in neighbors]  # one is named twice, as by two layers
    variance = sum(
        influence[i] * influence[j]
        for i in range(40)
        for j in range(40)
        if i == j or i in near[j] or j in near[i]
    )
    assert graph_standard_error(influence, neighbors) == pytest.approx(math.sqrt(variance) / 40)


def test_it_is_never_below_that_of_independent_samples() -> None:
    influence = np.array([1.0, -1.0] * 20)  # neighbours of opposite sign sum to nothing
    neighbors = np.arange(40).reshape(20, 2)[:, ::-1].reshape(40, 1)
    assert graph_standard_error(influence, neighbors) == pytest.approx(math.sqrt(40) / 40)


def test_without_neighbours_it_is_that_of_independent_samples() -> None:
    influence = np.array([3.0, -4.0])
    assert graph_standard_error(influence, np.empty((2, 0), dtype=np.int64)) == 2.5
