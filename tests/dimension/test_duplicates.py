"""Copies go, the first of each stays, and the estimate is that of the data without them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gelora.dimension import TwoNN, duplicates
from gelora.dimension import points as points_module
from gelora.dimension.duplicates import distinct_samples, first_copies, is_constant
from gelora.dimension.neighbors import nearest_neighbors
from gelora.dimension.points import Points
from gelora.errors import TooFewSamplesError
from manifolds import gaussian, sphere


def with_copies(points: np.ndarray, *, count: int, noise: float, seed: int) -> np.ndarray:
    """Append copies of some samples, each coordinate off by about `noise` of itself."""
    rng = np.random.default_rng(seed)
    copied = points[rng.choice(len(points), count, replace=False)]
    return np.vstack([points, copied * (1 + noise * rng.normal(size=copied.shape))])


@pytest.mark.parametrize("method", ["linfit", "mle"])
def test_exact_copies_change_nothing(method: str, seed: int) -> None:
    points = gaussian(600, seed=seed)
    doubled = with_copies(points, count=30, noise=0, seed=seed)
    clean, estimate = TwoNN(method).estimate(points), TwoNN(method).estimate(doubled)
    assert estimate.dimension == pytest.approx(clean.dimension, rel=1e-12)
    assert (estimate.num_used, estimate.num_duplicates) == (600, 30)


@pytest.mark.parametrize("noise", [1e-6, 1e-4, 1e-3])
@pytest.mark.parametrize("method", ["linfit", "mle"])
def test_near_copies_change_little(method: str, noise: float, seed: int) -> None:
    points = gaussian(600, seed=seed)
    doubled = with_copies(points, count=30, noise=noise, seed=seed)
    clean, estimate = TwoNN(method).estimate(points), TwoNN(method).estimate(doubled)
    assert abs(estimate.dimension - clean.dimension) < 0.01 * clean.standard_error
    assert (estimate.num_used, estimate.num_near_duplicates) == (600, 30)


def test_copies_in_all_number_are_all_set_aside(seed: int) -> None:
    # Clusters of two to eight, exact and near, in any order: the median distance is theirs.
    rng = np.random.default_rng(seed)
    points = sphere(200, seed=seed)
    repeated = np.repeat(points, rng.integers(2, 9, 200), axis=0)
    repeated *= 1 + rng.choice([0, 1e-7], (len(repeated), 1)) * rng.normal(size=repeated.shape)
    estimate = TwoNN().estimate(repeated[rng.permutation(len(repeated))])
    assert estimate.num_used == 200
    assert estimate.num_duplicates + estimate.num_near_duplicates == len(repeated) - 200
    assert estimate.dimension == pytest.approx(TwoNN().estimate(points).dimension, rel=1e-4)


@pytest.mark.parametrize("share", [0.3, 0.49, 0.5])
def test_coarse_copies_of_half_the_samples_are_set_aside(share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(1000, 8))
    copied = points[: int(share * 1000)]
    estimate = TwoNN().estimate(np.vstack([points, copied * (1 + 1e-4 * rng.normal(size=(1, 8)))]))
    clean = TwoNN().estimate(points)
    assert estimate.num_near_duplicates == len(copied)
    assert abs(estimate.dimension - clean.dimension) < clean.standard_error


def test_an_outlier_makes_no_copies_of_the_others(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(500, 8))
    points[7] = 1e7
    assert TwoNN().estimate(points).num_near_duplicates == 0


def test_the_first_stays() -> None:
    points = torch.from_numpy(gaussian(60, seed=0, dimension=3))
    points[10], points[20], points[30] = points[5], points[5], points[4] + 1e-7
    samples = distinct_samples([points], layer_names=["points"])
    assert set(range(60)) - set(samples.kept) == {10, 20, 30}
    assert (samples.num_duplicates, samples.num_near_duplicates) == (2, 1)


def test_a_copy_at_one_layer_goes_at_all() -> None:
    layers = [torch.from_numpy(gaussian(60, seed=seed, dimension=3)) for seed in range(3)]
    layers[0][7] = layers[0][3]
    layers[2][50] = layers[2][40] + 1e-8
    samples = distinct_samples(layers, layer_names=["a", "b", "c"])
    assert set(range(60)) - set(samples.kept) == {7, 50}
    assert [len(distances) for distances in samples.distances] == [58, 58, 58]
    nearest = layers[1][samples.kept[samples.neighbors[1][:, 0]]]
    expected = np.linalg.norm(layers[1][samples.kept] - nearest, axis=1)
    np.testing.assert_allclose(samples.distances[1][:, 0], expected, rtol=1e-12)


def test_too_few_distinct_samples_are_told_by_cause_and_layer(seed: int) -> None:
    clean = torch.from_numpy(gaussian(70, seed=seed, dimension=5))
    copied, nearly = clean.clone(), clean.clone()
    copied[50:65] = copied[:15]
    nearly[40:50] = nearly[20:30] * (1 + 1e-6)
    match = (
        "needs 50 samples, and 45 of 70 are left: 15 are copies and 10 near-copies of others, most"
        " of them at layer 'copied'"
    )
    with pytest.raises(TooFewSamplesError, match=match):
        distinct_samples([clean, copied, nearly], layer_names=["clean", "copied", "nearly"])


def test_zero_has_one_sign() -> None:
    points = torch.tensor([[0.0, 1.0], [-0.0, 1.0], [0.0, -1.0]])
    assert first_copies(points).tolist() == [0, 0, 2]


@pytest.mark.parametrize(
    ("noise", "constant"), [(0.0, True), (1e-7, True), (1e-5, False), (1e-2, False)]
)
def test_constant_up_to_rounding(noise: float, constant: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    row = rng.normal(size=32)
    points = torch.from_numpy(row * (1 + noise * rng.uniform(-1, 1, (100, 32)))).float()
    points[:, 0] = 500.0  # an outlier must not hide that the others vary
    assert is_constant(points) == constant


@pytest.mark.parametrize(("dtype", "constant"), [(torch.float32, True), (torch.float64, False)])
def test_float64_tells_what_float32_rounds_away(
    dtype: torch.dtype, constant: bool, seed: int
) -> None:
    points = torch.from_numpy(np.random.default_rng(seed).normal(size=(100, 3)) + 1e8).to(dtype)
    assert is_constant(points) == constant


@given(
    seed=st.integers(0, 2**32 - 1),
    noise=st.sampled_from([1e-7, 1e-4, 1e-3]),
    sizes=st.integers(2, 6),
    num_neighbors=st.integers(2, 8),
)
@settings(max_examples=30)
def test_searching_on_is_searching_afresh(
    seed: int, noise: float, sizes: int, num_neighbors: int
) -> None:
    # Clusters of near-copies lose members over several rounds, at two layers by turns.
    rng = np.random.default_rng(seed)
    layers = []
    for width in (6, 9):
        points = np.repeat(rng.normal(size=(90, width)), rng.integers(1, sizes + 1, 90), axis=0)
        layers.append(points[:90] * (1 + noise * rng.normal(size=(90, width))))
    layers[1][rng.choice(90, 3)] = layers[1][0]
    try:
        samples = distinct_samples(layers, layer_names="ab", num_neighbors=num_neighbors)
    except TooFewSamplesError:
        assume(False)
    for layer, *found in zip(layers, samples.distances, samples.neighbors, strict=True):
        afresh = nearest_neighbors(layer, num_neighbors=num_neighbors, rows=samples.kept)
        np.testing.assert_equal(found, list(afresh))


def test_only_those_that_lost_a_neighbor_are_searched_again(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []
    original = duplicates.search

    def count(points: Points, *args: Any, rows: np.ndarray | None = None, **kwargs: Any) -> Any:
        searched.append(len(points) if rows is None else len(rows))
        return original(points, *args, rows=rows, **kwargs)

    monkeypatch.setattr(duplicates, "search", count)
    points = with_copies(gaussian(600, seed=seed), count=10, noise=1e-6, seed=seed)
    samples = distinct_samples([points], layer_names=["points"])
    assert len(samples.kept) == 600
    assert searched[0] == 610
    assert 0 < sum(searched[1:]) < 60


def test_each_layer_tells_what_it_set_aside() -> None:
    layers = [gaussian(60, seed=seed, dimension=3) for seed in range(3)]
    layers[0][7] = layers[0][3]
    layers[2][[50, 51]] = layers[2][[40, 41]] + 1e-8
    samples = distinct_samples(layers, layer_names=["a", "b", "c"])
    assert samples.set_aside_by_layer == (1, 0, 2)


def test_layers_are_read_some_rows_at_a_time(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = with_copies(gaussian(200, seed=seed), count=5, noise=0, seed=seed)
    np.save(tmp_path / "layer.npy", layer)
    mapped = np.load(tmp_path / "layer.npy", mmap_mode="r")
    whole = distinct_samples([layer], layer_names=["whole"])
    monkeypatch.setattr(points_module, "_VALUES_AT_ONCE", 50)
    read = distinct_samples([mapped], layer_names=["mapped"])
    np.testing.assert_equal(asdict(read), asdict(whole))
    assert first_copies(torch.from_numpy(layer))[200:].max() < 200
    assert not is_constant(torch.from_numpy(layer))
