"""TwoNN against theory: known dimensions, invariances, its error, and the peers' values."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelora.dimension import TwoNN
from gelora.dimension.manifolds import MANIFOLDS, gaussian
from gelora.dimension.twonn import graph_standard_error
from gelora.errors import (
    ConfigError,
    ConstantStatesWarning,
    HiddenStatesError,
    NonFiniteStatesError,
    TooFewSamplesError,
)
from golden.make_golden import DISCARD_FRACTIONS, GOLDEN_FILE, point_cloud
from strategies import SEEDS, point_clouds, similarities

METHODS = ("line", "likelihood")
GOLDEN = json.loads(GOLDEN_FILE.read_text(encoding="utf-8"))["entries"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", sorted(MANIFOLDS))
def test_a_known_dimension_within_its_error(name: str, method: str, seed: int) -> None:
    manifold = MANIFOLDS[name]
    estimate = TwoNN(method).estimate(manifold.sample(1000, seed=seed))
    allowed = 5 * estimate.standard_error + manifold.bias * manifold.dimension
    assert abs(estimate.dimension - manifold.dimension) < allowed
    # The error itself is near that of N independent ratios, d / sqrt(N), and never much below.
    assert 0.9 < estimate.standard_error / estimate.dimension * math.sqrt(1000) < 1.8


@given(points=point_clouds(), data=st.data(), method=st.sampled_from(METHODS))
@settings(max_examples=30, deadline=None)
def test_nothing_but_the_shape_matters(
    points: np.ndarray, data: st.DataObject, method: str
) -> None:
    rotation, scale, shift = data.draw(similarities(points.shape[1]))
    estimator = TwoNN(method)
    expected = estimator.estimate(points)
    order = np.arange(len(points))
    if not expected.num_near_duplicates:  # of near-copies the first stays, so there order counts
        order = np.random.default_rng(data.draw(SEEDS)).permutation(order)
    center = points.mean(0)  # so that rotating the common mean costs no digits
    moved = np.pad(((points - center) @ rotation * scale)[order] + shift * scale, ((0, 0), (0, 7)))
    estimate = estimator.estimate(moved)
    assert estimate.dimension == pytest.approx(expected.dimension, rel=1e-6)
    assert estimate.standard_error == pytest.approx(expected.standard_error, rel=1e-6)
    assert estimate.num_used == expected.num_used


@pytest.mark.parametrize("discard_fraction", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("method", METHODS)
def test_the_influence_is_the_effect_of_a_sample(
    method: str, discard_fraction: float, seed: int
) -> None:
    # Counting a few ratios twice moves the estimate by the sum of their influences / N.
    dimension, num_samples = 7.0, 20_000
    estimator = TwoNN(method, discard_fraction)
    rng = np.random.default_rng(seed)
    log_mu = rng.exponential(1 / dimension, num_samples)
    fit = estimator.fit(log_mu)
    for low, high in [(0.0, 0.003), (0.1, 0.105), (0.25, 0.27), (0.6, 0.9)]:
        window = (log_mu >= low) & (log_mu < high)
        moved = estimator.fit(np.append(log_mu, log_mu[window])).dimension - fit.dimension
        predicted = fit.influence[window].sum() / num_samples
        assert moved == pytest.approx(predicted, abs=0.1 * abs(predicted) + 0.01)


@pytest.mark.parametrize(
    ("estimator", "spread"),
    [(TwoNN(), 1.076), (TwoNN("likelihood"), 1.0), (TwoNN("line", 0.0), 1.1)],
)
def test_the_error_on_independent_ratios(estimator: TwoNN, spread: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    fits = [estimator.fit(rng.exponential(0.1, 1000)) for _ in range(400)]
    dimensions = np.array([fit.dimension for fit in fits])
    nobody = np.empty((1000, 0), dtype=np.int64)
    errors = [graph_standard_error(fit.influence, nobody) for fit in fits]
    assert np.mean(errors) == pytest.approx(spread * 10 / math.sqrt(1000), rel=0.05)
    assert np.std(dimensions) == pytest.approx(np.mean(errors), rel=0.16)  # 4 / sqrt(2 · 400)
    assert np.mean(dimensions) == pytest.approx(10, abs=0.15)


@pytest.mark.parametrize("method", METHODS)
def test_the_error_allows_for_shared_neighbours(method: str, seed: int) -> None:
    # By simulation; taken as independent the error would be about a fifth too small.
    estimates = [
        TwoNN(method).estimate(gaussian(300, seed=1000 * seed + i, dimension=3)) for i in range(150)
    ]
    spread = np.std([estimate.dimension for estimate in estimates])
    stated = np.mean([estimate.standard_error for estimate in estimates])
    assert 0.8 < stated / spread < 1.35


def test_the_graph_sums_over_pairs_that_touch_a_common_sample(seed: int) -> None:
    rng = np.random.default_rng(seed)
    influence, neighbors = rng.exponential(size=40), rng.integers(0, 40, (40, 2))
    touched = [{i, *neighbors[i].tolist()} for i in range(40)]
    variance = sum(
        influence[i] * influence[j] for i in range(40) for j in range(40) if touched[i] & touched[j]
    )
    assert graph_standard_error(influence, neighbors) == pytest.approx(math.sqrt(variance) / 40)


def test_the_error_is_never_below_that_of_independent_samples() -> None:
    influence = np.array([1.0, -1.0] * 20)  # neighbours of opposite sign sum to nothing
    neighbors = np.arange(40).reshape(20, 2)[:, ::-1].reshape(40, 1)
    assert graph_standard_error(influence, neighbors) == pytest.approx(math.sqrt(40) / 40)


@pytest.mark.parametrize("entry", GOLDEN, ids=lambda entry: f"seed {entry['cloud']['seed']}")
def test_agrees_with_dadapy_and_scikit_dimension(entry: dict) -> None:
    points, values = point_cloud(**entry["cloud"]), entry["values"]
    likelihood = TwoNN("likelihood").estimate(points).dimension
    assert likelihood == pytest.approx(values["dadapy_ml"], rel=1e-9)
    assert likelihood == pytest.approx(values["skdim_mle"], rel=1e-9)
    for discard in DISCARD_FRACTIONS:
        line = TwoNN(discard_fraction=discard).estimate(points).dimension
        # DADApy's curve_fit stops at about 1e-9.
        assert line == pytest.approx(values[f"dadapy_base_{discard}"], rel=1e-8)
        assert line == pytest.approx(values[f"skdim_linear_{discard}"], rel=1e-9)


def test_the_golden_values_are_all_there() -> None:
    assert len(GOLDEN) == 4
    assert all(len(entry["values"]) == 6 for entry in GOLDEN)


def test_one_point_given_often_has_dimension_0() -> None:
    with pytest.warns(ConstantStatesWarning, match="All 60 samples are the same point"):
        estimate = TwoNN().estimate(np.full((60, 4), 0.1, dtype=np.float32))
    assert (estimate.dimension, estimate.standard_error) == (0.0, 0.0)
    assert estimate.num_used == 60


@pytest.mark.parametrize("method", METHODS)
def test_a_lattice_has_no_dimension(method: str) -> None:
    lattice = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), axis=-1).reshape(-1, 2)
    with pytest.raises(HiddenStatesError, match="64 of 64 samples have both neighbours at the"):
        TwoNN(method).estimate(lattice)


def test_some_ties_are_no_harm(seed: int) -> None:
    points = np.random.default_rng(seed).integers(0, 1000, (500, 2)).astype(float)
    assert 1 < TwoNN().estimate(points).dimension < 4


def test_too_few_samples() -> None:
    with pytest.raises(TooFewSamplesError, match="needs 50 samples, and 49 of 49 are left: 0 are"):
        TwoNN().estimate(gaussian(49, seed=0))
    with pytest.raises(TooFewSamplesError, match="0 of 0 are left"):
        TwoNN().estimate(np.empty((0, 4)))


def test_values_that_are_not_finite() -> None:
    with pytest.raises(NonFiniteStatesError, match="0 NaN and 800 infinite values among 800"):
        TwoNN().estimate(np.full((100, 8), np.inf))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "mle"}, "'line' or 'likelihood'; got 'mle'"),
        ({"discard_fraction": 1.0}, "between 0 and 0.9; got 1.0"),
        ({"discard_fraction": -0.1}, "between 0 and 0.9; got -0.1"),
    ],
)
def test_arguments_out_of_range(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TwoNN(**arguments)
