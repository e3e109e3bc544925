"""What is Gride's own: TwoNN as its first order, its maximum, its far scale, its argument."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelora.dimension import Gride, TwoNN
from gelora.errors import ConfigError
from manifolds import noisy
from strategies import SEEDS, point_clouds


@given(points=point_clouds())
@settings(max_examples=20)
def test_the_first_order_is_twonn_by_likelihood(points: np.ndarray) -> None:
    gride, twonn = Gride(1).estimate(points), TwoNN("mle").estimate(points)
    assert gride.dimension == pytest.approx(twonn.dimension, rel=1e-10)
    assert gride.standard_error == pytest.approx(twonn.standard_error, rel=0.05)


@given(
    order=st.integers(1, 12),
    scale=st.floats(-6, 6),  # dimensions from 1e-6 to 1e6
    seed=SEEDS,
)
def test_it_is_the_maximum_of_the_likelihood(order: int, scale: float, seed: int) -> None:
    log_mu = np.random.default_rng(seed).exponential(10**-scale, 30) + 1e-300
    distances = np.exp(np.outer(np.minimum(log_mu, 300), np.arange(2 * order) >= 2 * order - 1))
    log_mu = np.log(distances[:, -1])
    if log_mu.min() <= 0:
        return  # a ratio that rounds to 1

    def log_likelihood(dimension: float) -> float:
        z = dimension * log_mu
        powers = (order - 1) * np.log(-np.expm1(-z)) - order * z
        return (len(z) - 1) * np.log(dimension) + powers.sum()

    best = Gride(order).fit_distances(distances).dimension
    assert log_likelihood(best) >= log_likelihood(best * 1.01)
    assert log_likelihood(best) >= log_likelihood(best / 1.01)


def test_ties_and_far_neighbours_neither_overflow_nor_divide_by_zero() -> None:
    log_mu = np.concatenate([np.zeros(10), np.full(10, 1e-12), np.full(10, 1.0), np.full(10, 500)])
    distances = np.column_stack([np.ones((40, 3)), np.exp(log_mu)])
    fit = Gride(2).fit_distances(distances)
    assert 0 < fit.dimension < 0.1
    assert np.isfinite(fit.influence).all()


def test_a_far_scale_does_not_see_fine_noise(seed: int) -> None:
    points = noisy(1000, seed=seed, noise=0.02)
    near, far = TwoNN().estimate(points), Gride(8).estimate(points)
    assert near.dimension > 1.3 * far.dimension
    assert far.dimension == pytest.approx(3, abs=1.2)


def test_an_order_below_1() -> None:
    with pytest.raises(ConfigError, match="order must be a whole number, at least 1. Got 0"):
        Gride(0)
