"""What is TwoNN's own: known dimensions within its error, the discarded share, its arguments."""

import math

import numpy as np
import pytest

from gelora.dimension import TwoNN
from gelora.dimension.fitting import graph_standard_error
from gelora.errors import ConfigError, HiddenStatesError
from manifolds import MANIFOLDS


def distances_of(log_mu: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(log_mu)), np.exp(log_mu)])


@pytest.mark.parametrize("method", ["linfit", "mle"])
@pytest.mark.parametrize("name", sorted(MANIFOLDS))
def test_a_known_dimension_within_its_error(name: str, method: str, seed: int) -> None:
    manifold = MANIFOLDS[name]
    estimate = TwoNN(method).estimate(manifold.sample(1000, seed=seed))
    allowed = 5 * estimate.standard_error + manifold.bias * manifold.dimension
    assert abs(estimate.dimension - manifold.dimension) < allowed
    # The error itself is near that of N independent ratios, d / sqrt(N), and never much below.
    assert 0.9 < estimate.standard_error / estimate.dimension * math.sqrt(1000) < 1.8


@pytest.mark.parametrize("discard_fraction", [0.0, 0.1, 0.4])
def test_the_influence_knows_what_is_discarded(discard_fraction: float, seed: int) -> None:
    num_samples = 20_000
    estimator = TwoNN("linfit", discard_fraction)
    log_mu = np.random.default_rng(seed).exponential(1 / 7.0, num_samples)
    fit = estimator.fit_distances(distances_of(log_mu))
    for low, high in [(0.0, 0.003), (0.1, 0.105), (0.25, 0.27), (0.6, 0.9)]:
        window = (log_mu >= low) & (log_mu < high)
        twice = distances_of(np.append(log_mu, log_mu[window]))
        moved = estimator.fit_distances(twice).dimension - fit.dimension
        predicted = fit.influence[window].sum() / num_samples
        assert moved == pytest.approx(predicted, abs=0.1 * abs(predicted) + 0.01)


@pytest.mark.parametrize(
    ("estimator", "spread"),
    [(TwoNN(), 1.076), (TwoNN("mle"), 1.0), (TwoNN("linfit", 0.0), 1.1)],
)
def test_the_error_on_independent_ratios(estimator: TwoNN, spread: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    fits = [estimator.fit_distances(distances_of(rng.exponential(0.1, 1000))) for _ in range(400)]
    dimensions = np.array([fit.dimension for fit in fits])
    nobody = np.empty((1000, 0), dtype=np.int64)
    errors = [graph_standard_error(fit.influence, nobody) for fit in fits]
    assert np.mean(errors) == pytest.approx(spread * 10 / math.sqrt(1000), rel=0.05)
    assert np.std(dimensions) == pytest.approx(np.mean(errors), rel=0.16)  # 4 / sqrt(2 · 400)
    assert np.mean(dimensions) == pytest.approx(10, abs=0.15)


@pytest.mark.parametrize("method", ["linfit", "mle"])
def test_a_lattice_has_no_dimension(method: str) -> None:
    lattice = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), axis=-1).reshape(-1, 2)
    with pytest.raises(HiddenStatesError, match="64 of 64 samples have their neighbours at the"):
        TwoNN(method).estimate(lattice)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "line"}, "method must be one of linfit, mle. Got 'line'"),
        ({"discard_fraction": 1.0}, "between 0 and 0.9. Got 1.0"),
        ({"discard_fraction": -0.1}, "between 0 and 0.9. Got -0.1"),
    ],
)
def test_arguments_out_of_range(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TwoNN(**arguments)
