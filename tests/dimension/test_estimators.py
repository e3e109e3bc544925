"""Every estimator against theory: its law, its invariances, its error, and the peers' values."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelora import dimension
from gelora.dimension import ESTIMATORS, Gride, LevinaBickel, TwoNN
from gelora.dimension.estimators import make_estimator
from gelora.dimension.fitting import graph_standard_error
from gelora.dimension.neighbors import nearest_neighbors
from gelora.errors import (
    ConfigError,
    ConstantStatesWarning,
    HiddenStatesError,
    NonFiniteStatesError,
    TooFewSamplesError,
)
from golden.make_golden import DISCARD_FRACTIONS, GOLDEN_FILE, GRIDE_ORDERS, NEIGHBORS, point_cloud
from manifolds import gaussian
from strategies import SEEDS, point_clouds, similarities

GOLDEN = json.loads(GOLDEN_FILE.read_text(encoding="utf-8"))["entries"]


def error_if_independent(influence: np.ndarray) -> float:
    return graph_standard_error(influence, np.empty((len(influence), 0), dtype=np.int64))


def independent_distances(
    rng: np.random.Generator, num_samples: int, dimension: float
) -> np.ndarray:
    """Draw what the estimators assume: the volumes out to the neighbours are a Poisson process."""
    return rng.exponential(size=(num_samples, 20)).cumsum(axis=1) ** (1 / dimension)


@pytest.mark.parametrize("dimension", [1.5, 10.0, 300.0])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_its_own_law_gives_the_dimension_and_its_error(
    name: str, dimension: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    estimator = make_estimator(name)
    fits = [
        estimator.fit_distances(independent_distances(rng, 1000, dimension)) for _ in range(200)
    ]
    dimensions = np.array([fit.dimension for fit in fits])
    errors = [error_if_independent(fit.influence) for fit in fits]
    assert abs(dimensions.mean() - dimension) < 4 * dimensions.std() / math.sqrt(200) + (
        0.003 * dimension  # the line's own bias
    )
    assert dimensions.std() == pytest.approx(np.mean(errors), rel=0.22)  # 4.4 / sqrt(2 · 200)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_influence_is_the_effect_of_a_sample(name: str, seed: int) -> None:
    # Counting a few samples twice moves the estimate by the sum of their influences / N.
    num_samples = 20_000
    estimator = make_estimator(name)
    distances = independent_distances(np.random.default_rng(seed), num_samples, 7.0)
    fit = estimator.fit_distances(distances)
    log_mu = np.log(distances[:, estimator.num_neighbors - 1] / distances[:, 0])
    for low, high in [(0.0, 0.01), (0.1, 0.11), (0.5, 0.52), (0.98, 0.99)]:
        window = (log_mu >= np.quantile(log_mu, low)) & (log_mu < np.quantile(log_mu, high))
        moved = (
            estimator.fit_distances(np.vstack([distances, distances[window]])).dimension
            - fit.dimension
        )
        predicted = fit.influence[window].sum() / num_samples
        assert moved == pytest.approx(predicted, abs=0.15 * abs(predicted) + 0.01)
    assert abs(fit.influence.mean()) < 0.1


@given(points=point_clouds(), data=st.data(), name=st.sampled_from(ESTIMATORS))
@settings(max_examples=40)
def test_nothing_but_the_shape_matters(points: np.ndarray, data: st.DataObject, name: str) -> None:
    rotation, scale, shift = data.draw(similarities(points.shape[1]))
    estimator = make_estimator(name)
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


def test_the_error_allows_for_shared_neighbours(seed: int) -> None:
    # By simulation. The second bound fails where samples are taken as independent.
    fits = {name: [] for name in ESTIMATORS}
    for i in range(100):
        points = gaussian(300, seed=1000 * seed + i, dimension=3)
        distances, neighbors = nearest_neighbors(points, num_neighbors=20)
        for name in ESTIMATORS:
            estimator = make_estimator(name)
            fit = estimator.fit_distances(distances)
            stated = graph_standard_error(fit.influence, neighbors[:, : estimator.num_neighbors])
            fits[name].append((fit.dimension, stated, error_if_independent(fit.influence)))
    for runs in fits.values():
        dimensions, stated, independent = np.array(runs).T
        assert 0.75 < stated.mean() / dimensions.std() < 1.7
        assert stated.mean() > 1.1 * independent.mean()


@pytest.mark.parametrize("entry", GOLDEN, ids=lambda entry: f"seed {entry['cloud']['seed']}")
def test_agrees_with_dadapy_and_scikit_dimension(entry: dict) -> None:
    points, values = point_cloud(**entry["cloud"]), entry["values"]
    likelihood = TwoNN("mle").estimate(points).dimension
    assert likelihood == pytest.approx(values["dadapy_twonn_ml"], rel=1e-9)
    assert likelihood == pytest.approx(values["skdim_twonn_mle"], rel=1e-9)
    for discard in DISCARD_FRACTIONS:
        line = TwoNN(discard_fraction=discard).estimate(points).dimension
        # DADApy's curve_fit stops at about 1e-9.
        assert line == pytest.approx(values[f"dadapy_twonn_base_{discard}"], rel=1e-8)
        assert line == pytest.approx(values[f"skdim_twonn_line_{discard}"], rel=1e-9)
    for order in GRIDE_ORDERS:  # DADApy's bisection stops at 1e-10
        dimension = Gride(order).estimate(points).dimension
        assert dimension == pytest.approx(values[f"dadapy_gride_{order}"], rel=1e-9)
    for num_neighbors in NEIGHBORS:
        dimension = LevinaBickel(num_neighbors).estimate(points).dimension
        assert dimension == pytest.approx(values[f"skdim_mle_{num_neighbors}"], rel=1e-12)


def test_the_golden_values_are_all_there() -> None:
    assert len(GOLDEN) == 4
    assert all(len(entry["values"]) == 12 for entry in GOLDEN)


@pytest.mark.unchecked
@pytest.mark.parametrize("name", ESTIMATORS)
def test_one_point_given_often_has_dimension_0(name: str) -> None:
    with pytest.warns(ConstantStatesWarning, match="All 60 samples are the same point") as caught:
        estimate = make_estimator(name).estimate(np.full((60, 4), 0.1, dtype=np.float32))
    assert (estimate.dimension, estimate.standard_error) == (0.0, 0.0)
    assert estimate.num_used == 60
    assert caught[0].filename == __file__


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_lattice_has_no_dimension(name: str) -> None:
    with pytest.raises(HiddenStatesError, match="64 of 64 samples have their neighbours at the"):
        make_estimator(name).fit_distances(np.ones((64, 20)))


def test_some_ties_are_no_harm(seed: int) -> None:
    points = np.random.default_rng(seed).integers(0, 1000, (500, 2)).astype(float)
    for name in ESTIMATORS:
        assert 1 < make_estimator(name).estimate(points).dimension < 4


def test_too_few_samples() -> None:
    with pytest.raises(TooFewSamplesError, match="needs 50 samples, and 49 of 49 are left: 0 are"):
        TwoNN().estimate(gaussian(49, seed=0))
    with pytest.raises(TooFewSamplesError, match="0 of 0 are left"):
        LevinaBickel().estimate(np.empty((0, 4)))


def test_values_that_are_not_finite() -> None:
    with pytest.raises(NonFiniteStatesError, match="0 NaN and 800 infinite values among 800"):
        Gride().estimate(np.full((100, 8), np.inf))


def test_a_name_is_an_estimator() -> None:
    assert {name: make_estimator(name, discard_fraction=0.2) for name in ESTIMATORS} == {
        "twonn_linfit": TwoNN("linfit", 0.2),
        "twonn_mle": TwoNN("mle"),
        "gride_2": Gride(2),
        "gride_4": Gride(4),
        "gride_8": Gride(8),
        "levina_bickel": LevinaBickel(20),
    }


def test_a_name_that_is_none() -> None:
    with pytest.raises(ConfigError, match="one of twonn_linfit, .*levina_bickel. Got 'mle'"):
        make_estimator("mle")
    with pytest.raises(ConfigError, match="discard_fraction must be between 0 and 0.9. Got 1.0"):
        make_estimator("twonn_linfit", discard_fraction=1.0)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_fit_keeps_what_estimate_returns(name: str) -> None:
    points = gaussian(200, seed=0, dimension=3)
    estimator = make_estimator(name)
    assert estimator.fit(points) is estimator
    estimate = make_estimator(name).estimate(points)
    assert estimator.dimension_ == estimate.dimension
    assert estimator.standard_error_ == estimate.standard_error


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'gelora.dimension' has no attribute 'ThreeNN'"):
        dimension.ThreeNN  # noqa: B018
