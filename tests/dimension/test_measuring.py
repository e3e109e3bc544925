"""A distance is the same to the last bit wherever it is measured."""

import numpy as np
import pytest
import torch

from clouds import CLOUDS, brute_force
from gelora.dimension import measuring
from gelora.dimension.measuring import measure_all, measure_pairs
from gelora.dimension.points import open_points


@pytest.fixture(params=["lattice", "outlier coordinates", "copies"])
def cloud(request: pytest.FixtureRequest, seed: int) -> np.ndarray:
    return CLOUDS[request.param](np.random.default_rng(seed))


@pytest.mark.parametrize("values_at_once", [1, 100, 2**17])
def test_every_way_gives_the_same_bits(
    cloud: np.ndarray, values_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = open_points(cloud, rows=None, device=None)
    rows = torch.tensor([5, 80, 33])
    distances, indices = measure_all(points, rows, 7)
    expected_distances, expected_indices = brute_force(cloud, 7)
    np.testing.assert_allclose(distances, expected_distances[rows], rtol=1e-12)
    np.testing.assert_array_equal(indices, expected_indices[rows])
    monkeypatch.setattr(measuring, "_VALUES_AT_ONCE", values_at_once)
    assert torch.equal(measure_all(points, rows, 7)[0], distances)
    there, back = rows[:, None].expand(-1, 7).flatten(), indices.flatten()
    assert torch.equal(measure_pairs(points, there, back), distances.flatten())
    assert torch.equal(measure_pairs(points, back, there), distances.flatten())


def test_no_pairs_and_no_rows_have_no_distances() -> None:
    points = open_points(np.eye(3), rows=None, device=None)
    nothing = torch.empty(0, dtype=torch.int64)
    assert measure_pairs(points, nothing, nothing).shape == (0,)
    assert measure_all(points, nothing, 2)[0].shape == (0, 2)
