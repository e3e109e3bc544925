"""The point clouds are what they say: shape, seed, and dimension where it can be seen directly."""

import numpy as np
import pytest

from manifolds import MANIFOLDS


def test_there_are_at_least_eight() -> None:
    assert len(MANIFOLDS) >= 8


@pytest.mark.parametrize("name", sorted(MANIFOLDS))
def test_the_seed_decides_all(name: str, seed: int) -> None:
    sample = MANIFOLDS[name].sample
    points = sample(101, seed=seed)
    assert points.shape[0] == 101
    assert points.dtype == np.float64
    np.testing.assert_array_equal(points, sample(101, seed=seed))
    assert not np.array_equal(points, sample(101, seed=seed + 1))


@pytest.mark.parametrize("name", ["affine", "gaussian", "uniform_cube"])
def test_a_flat_one_has_the_rank_of_its_dimension(name: str, seed: int) -> None:
    points = MANIFOLDS[name].sample(200, seed=seed)
    rank = np.linalg.matrix_rank(points - points.mean(0), rtol=1e-9)
    assert rank == MANIFOLDS[name].dimension


def test_the_nonlinear_one_looks_like_hidden_states(seed: int) -> None:
    points = MANIFOLDS["nonlinear"].sample(200, seed=seed)
    assert points.shape[1] == 768
    assert np.abs(points.mean(0)).min() > 900
    assert points.std(0).max() < 1
    assert np.linalg.matrix_rank(points - points.mean(0)) > 50
