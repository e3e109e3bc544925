"""The two nearest neighbours against float64 brute force, on data made to break it."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from gelora.dimension import two_nearest_neighbors
from gelora.dimension.neighbors import _propose, as_tensor
from gelora.errors import ConfigError, HiddenStatesError, NonFiniteStatesError, TooFewSamplesError


def brute_force(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure all pairs as differences in float64; the lower index first among equals."""
    values = points.astype(np.float64)
    distances = np.stack([np.linalg.norm(values - row, axis=1) for row in values])
    np.fill_diagonal(distances, np.inf)
    indices = np.argsort(distances, axis=1, kind="stable")[:, :2]
    return np.take_along_axis(distances, indices, axis=1), indices


def _outlier_coordinates(rng: np.random.Generator) -> np.ndarray:
    points = rng.normal(size=(300, 8)) @ rng.normal(size=(8, 64))
    points[:, :3] *= 300
    return (points + 1000).astype(np.float32)


def _far_clusters(rng: np.random.Generator) -> np.ndarray:
    centers = 1e6 * rng.normal(size=(10, 1, 16))
    return (centers + 1e-3 * rng.normal(size=(10, 30, 16))).reshape(300, 16)


def _near_copies(rng: np.random.Generator) -> np.ndarray:
    points = rng.normal(size=(150, 32))
    return np.vstack([points, points * (1 + 1e-7 * rng.normal(size=points.shape))])


def _lattice(_: np.random.Generator) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(6.0)] * 3), axis=-1).reshape(-1, 3)


CLOUDS = {
    "gaussian": lambda rng: rng.normal(size=(300, 24)),
    "outlier coordinates": _outlier_coordinates,
    "far clusters": _far_clusters,
    "copies": lambda rng: np.repeat(rng.normal(size=(80, 12)), 3, axis=0),
    "near-copies": _near_copies,
    "lattice": _lattice,
    "all equal": lambda rng: np.full((70, 5), rng.normal()),
    "three points": lambda rng: rng.normal(size=(3, 4)),
    "as many as candidates": lambda rng: rng.normal(size=(9, 2)),
    "one more than candidates": lambda rng: rng.normal(size=(10, 2)),
    "width 1": lambda rng: rng.normal(size=(200, 1)),
    "one far sample": lambda rng: np.vstack([rng.normal(size=(100, 6)), np.full((1, 6), 1e12)]),
    "huge float32": lambda rng: (1e30 * rng.normal(size=(100, 6))).astype(np.float32),
}


@pytest.fixture(params=sorted(CLOUDS))
def cloud(request: pytest.FixtureRequest, seed: int) -> np.ndarray:
    return CLOUDS[request.param](np.random.default_rng(seed))


def test_agrees_with_brute_force(cloud: np.ndarray) -> None:
    distances, indices = two_nearest_neighbors(cloud, tile_size=128)
    expected_distances, expected_indices = brute_force(cloud)
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-12)
    np.testing.assert_array_equal(indices, expected_indices)
    assert distances.dtype == np.float64
    assert indices.dtype == np.int64


@pytest.mark.parametrize("tile_size", [1, 7, 10_000])
def test_the_tile_size_changes_no_bit(cloud: np.ndarray, tile_size: int) -> None:
    expected = two_nearest_neighbors(cloud[:100], tile_size=32)
    np.testing.assert_equal(two_nearest_neighbors(cloud[:100], tile_size=tile_size), expected)


@pytest.mark.parametrize("magnitude", [1e-300, 1e-160, 1e200])
def test_squares_out_of_range_do_no_harm(seed: int, magnitude: float) -> None:
    points = np.random.default_rng(seed).normal(size=(60, 5))
    distances, indices = two_nearest_neighbors(points * magnitude)
    expected_distances, expected_indices = brute_force(points)
    np.testing.assert_allclose(distances / magnitude, expected_distances, rtol=1e-9)
    np.testing.assert_array_equal(indices, expected_indices)


def test_the_bound_is_below_every_distance_not_measured(cloud: np.ndarray) -> None:
    values = torch.as_tensor(cloud).double()
    rows = torch.arange(len(values))
    candidates, bound = _propose(values, rows, rows.split(50), values.mean(0), 1.0, 2)
    squares = torch.stack([(values - row).square().sum(1) for row in values])
    squares.scatter_(1, candidates, torch.inf).fill_diagonal_(torch.inf)
    smallest_unmeasured = squares.amin(1)
    open_rows = smallest_unmeasured < torch.inf
    assert (bound <= smallest_unmeasured)[open_rows].all()


def test_the_certificate_accepts_hidden_states(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("measured against every sample")

    monkeypatch.setattr("gelora.dimension.neighbors._search_directly", refuse)
    two_nearest_neighbors(_outlier_coordinates(np.random.default_rng(seed)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_float_type(seed: int, dtype: torch.dtype) -> None:
    points = torch.from_numpy(np.random.default_rng(seed).normal(size=(80, 16))).to(dtype)
    before = points.clone()
    distances, indices = two_nearest_neighbors(points)
    expected_distances, expected_indices = brute_force(points.double().numpy())
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-12)
    np.testing.assert_array_equal(indices, expected_indices)
    assert torch.equal(points, before)


@pytest.fixture
def reduced_precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield
    torch.set_float32_matmul_precision(before)


def test_neither_autocast_nor_the_precision_of_products_matters(
    seed: int, reduced_precision: None
) -> None:
    points = _outlier_coordinates(np.random.default_rng(seed))
    expected_distances, expected_indices = brute_force(points)
    distances, indices = two_nearest_neighbors(torch.from_numpy(points).requires_grad_())
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-12)
    np.testing.assert_array_equal(indices, expected_indices)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_agrees(cloud: np.ndarray) -> None:
    distances, indices = two_nearest_neighbors(cloud, device="cuda")
    expected_distances, expected_indices = two_nearest_neighbors(cloud)
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-12)
    np.testing.assert_array_equal(indices, expected_indices)


def test_fewer_than_three_samples() -> None:
    with pytest.raises(TooFewSamplesError, match="need at least 3 samples; got 2"):
        two_nearest_neighbors(np.zeros((2, 4)))


def test_a_tile_of_nothing() -> None:
    with pytest.raises(ConfigError, match="tile_size must be at least 1; got 0"):
        two_nearest_neighbors(np.zeros((5, 4)), tile_size=0)


@pytest.mark.parametrize("shape", [(7,), (3, 4, 5), (6, 0)])
def test_not_a_matrix(shape: tuple[int, ...]) -> None:
    with pytest.raises(HiddenStatesError, match=r"matrix \(samples, width\); got shape"):
        as_tensor(np.zeros(shape))


def test_values_that_are_not_finite_are_counted() -> None:
    points = torch.zeros(10, 4, dtype=torch.float16)
    points[2, 1] = torch.nan
    points[3, :3] = -torch.inf
    match = r"1 NaN and 3 infinite values among 40\. .* bfloat16 or float32"
    with pytest.raises(NonFiniteStatesError, match=match):
        two_nearest_neighbors(points)
