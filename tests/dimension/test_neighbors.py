"""The nearest neighbours against float64 brute force, on data made to break them."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clouds import CLOUDS, assert_nearest, brute_force, outlier_coordinates
from gelora.dimension import two_nearest_neighbors
from gelora.dimension.neighbors import nearest_neighbors, search
from gelora.dimension.points import open_points
from gelora.dimension.proposals import FormatName
from gelora.errors import ConfigError, TooFewSamplesError

FORMATS = get_args(FormatName)


@pytest.fixture(params=sorted(CLOUDS))
def cloud(request: pytest.FixtureRequest, seed: int) -> np.ndarray:
    return CLOUDS[request.param](np.random.default_rng(seed))


@pytest.mark.parametrize("tile_size", [32, 1000])
@pytest.mark.parametrize("proposal_format", FORMATS)
def test_agrees_with_brute_force(
    cloud: np.ndarray, proposal_format: FormatName, tile_size: int
) -> None:
    distances, indices = nearest_neighbors(
        cloud, proposal_format=proposal_format, tile_size=tile_size
    )
    expected_distances, expected_indices = brute_force(cloud)
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-12)
    np.testing.assert_array_equal(indices, expected_indices)
    assert distances.dtype == np.float64
    assert indices.dtype == np.int64


@given(
    cloud=st.tuples(st.sampled_from(sorted(CLOUDS)), st.integers(0, 2**32 - 1)),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    magnitude=st.floats(-4, 4),
    offset=st.floats(-1000, 1000),
    share=st.floats(0.3, 1),
    asked=st.fixed_dictionaries(
        {
            "num_neighbors": st.integers(1, 16),
            "tile_size": st.integers(1, 400),
            "proposal_format": st.sampled_from(FORMATS),
        }
    ),
)
@settings(max_examples=60)
def test_agrees_with_brute_force_whatever_is_asked(  # noqa: PLR0917
    cloud: tuple[str, int],
    dtype: type[np.floating],
    magnitude: float,
    offset: float,
    share: float,
    asked: dict[str, Any],
) -> None:
    rng = np.random.default_rng(cloud[1])
    points = 10**magnitude * (CLOUDS[cloud[0]](rng) + offset)
    points = np.clip(points, np.finfo(dtype).min, np.finfo(dtype).max).astype(dtype)
    rows = rng.permutation(np.flatnonzero(rng.uniform(size=len(points)) < share))
    asked["num_neighbors"] = min(asked["num_neighbors"], len(rows) - 1)
    assume(asked["num_neighbors"] > 0)
    found = nearest_neighbors(points, rows=rows, **asked)
    assert_nearest(found, points[rows], asked["num_neighbors"])


@pytest.mark.parametrize("tile_size", [1, 7, 10_000])
def test_neither_tile_nor_format_changes_a_bit(cloud: np.ndarray, tile_size: int) -> None:
    expected = two_nearest_neighbors(cloud[:100], tile_size=32)
    for proposal_format in FORMATS:
        found = nearest_neighbors(cloud[:100], tile_size=tile_size, proposal_format=proposal_format)
        np.testing.assert_equal(found, expected)


@pytest.mark.parametrize("magnitude", [1e-300, 1e-160, 1e200])
def test_squares_out_of_range_do_no_harm(seed: int, magnitude: float) -> None:
    points = np.random.default_rng(seed).normal(size=(60, 5))
    distances, indices = two_nearest_neighbors(points * magnitude)
    expected_distances, expected_indices = brute_force(points)
    np.testing.assert_allclose(distances / magnitude, expected_distances, rtol=1e-9)
    np.testing.assert_array_equal(indices, expected_indices)


def _refuse(*_: object) -> None:
    raise AssertionError("done again")


@pytest.mark.parametrize("proposal_format", ["bfloat16", "float32"])
def test_hidden_states_are_proposed_once(
    seed: int, proposal_format: FormatName, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = iter([True])
    scan = "gelora.dimension.neighbors.scan"
    from gelora.dimension.scanning import scan as original

    monkeypatch.setattr(scan, lambda *a, **k: original(*a, **k) if next(once) else _refuse())
    nearest_neighbors(
        outlier_coordinates(np.random.default_rng(seed)), proposal_format=proposal_format
    )


@pytest.mark.parametrize("name", ["far clusters", "tight clusters"])
def test_what_a_format_cannot_tell_apart_is_done_again(name: str, seed: int) -> None:
    # These clouds are for that: else nothing would test the ways that are taken seldom.
    from gelora.dimension import neighbors

    ways: list[str] = []
    points = CLOUDS[name](np.random.default_rng(seed))
    with pytest.MonkeyPatch.context() as patch:
        for way in ("scan", "measure_all"):
            original = getattr(neighbors, way)
            patch.setattr(
                neighbors, way, lambda *a, w=way, o=original, **k: ways.append(w) or o(*a, **k)
            )
        nearest_neighbors(points, proposal_format="bfloat16")
    assert ways == ["scan"] * 3 + ["measure_all"] * (name == "tight clusters")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_float_type(seed: int, dtype: torch.dtype) -> None:
    points = torch.from_numpy(np.random.default_rng(seed).normal(size=(80, 16))).to(dtype)
    before = points.clone()
    distances, indices = two_nearest_neighbors(points)
    expected_distances, expected_indices = brute_force(points.double().numpy())
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-12)
    np.testing.assert_array_equal(indices, expected_indices)
    assert torch.equal(points, before)


@pytest.mark.parametrize("wanted", [[], [3], [7, 2, 150]])
@pytest.mark.parametrize("proposal_format", FORMATS)
def test_some_positions_alone_are_searched(
    wanted: list[int], proposal_format: FormatName, seed: int
) -> None:
    points = open_points(
        outlier_coordinates(np.random.default_rng(seed)), rows=np.arange(299, 0, -1), device=None
    )
    some = np.array(wanted, dtype=np.int64)
    distances, indices = search(points, 3, proposal_format=proposal_format)
    found = search(points, 3, rows=some, tile_size=64, proposal_format=proposal_format)
    np.testing.assert_equal(found, (distances[some], indices[some]))


def test_whole_numbers_are_points_too() -> None:
    distances, _ = two_nearest_neighbors(np.array([[0], [2**53], [2**53 + 2]]))
    assert distances[2].tolist() == [2.0, 2.0**53 + 2]


def test_a_file_mapped_into_memory_gives_the_same(seed: int, tmp_path: Path) -> None:
    points = outlier_coordinates(np.random.default_rng(seed))
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    rows = np.arange(0, 300, 3)
    for asked in ({}, {"rows": rows}):
        found = nearest_neighbors(mapped, num_neighbors=5, **asked)
        np.testing.assert_equal(found, nearest_neighbors(points, num_neighbors=5, **asked))


@pytest.mark.gpu
@pytest.mark.parametrize("proposal_format", FORMATS)
def test_a_gpu_agrees(cloud: np.ndarray, proposal_format: FormatName) -> None:
    distances, indices = nearest_neighbors(cloud, device="cuda", proposal_format=proposal_format)
    expected_distances, expected_indices = two_nearest_neighbors(cloud)
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-12)
    np.testing.assert_array_equal(indices, expected_indices)


def test_fewer_than_three_samples() -> None:
    with pytest.raises(TooFewSamplesError, match="need at least 3 samples; got 2"):
        two_nearest_neighbors(np.zeros((2, 4)))


@pytest.mark.parametrize("argument", ["tile_size", "num_neighbors"])
def test_a_tile_or_a_neighborhood_of_nothing(argument: str) -> None:
    with pytest.raises(ConfigError, match=f"{argument} must be at least 1; got 0"):
        nearest_neighbors(np.zeros((5, 4)), **{argument: 0})
