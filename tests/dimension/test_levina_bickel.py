"""What is the k-neighbour likelihood's own: TwoNN at k = 2, averaged inverses, its argument."""

import numpy as np
import pytest
from hypothesis import given, settings

from gelora.dimension import LevinaBickel, TwoNN, two_nearest_neighbors
from gelora.errors import ConfigError
from strategies import point_clouds


@given(points=point_clouds())
@settings(max_examples=20)
def test_two_neighbours_are_twonn_by_likelihood(points: np.ndarray) -> None:
    knn, twonn = LevinaBickel(2).estimate(points), TwoNN("mle").estimate(points)
    share = 1 - 1 / twonn.num_used
    assert share * knn.dimension == pytest.approx(twonn.dimension, rel=1e-12)
    assert share * knn.standard_error == pytest.approx(twonn.standard_error, rel=0.05)


def test_the_inverses_are_averaged(seed: int) -> None:
    # MacKay and Ghahramani's correction; the mean of the samples' own estimates would be higher.
    distances = np.sort(np.random.default_rng(seed).uniform(1, 2, (100, 5)), axis=1)
    alone = [4 / np.log(row[-1] / row[:-1]).sum() for row in distances]
    dimension = LevinaBickel(5).fit_distances(distances).dimension
    assert dimension == pytest.approx(1 / np.mean(1 / np.array(alone)), rel=1e-12)
    assert dimension < np.mean(alone)


def test_neighbours_beyond_the_kth_do_not_count(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(100, 3))
    distances, _ = two_nearest_neighbors(points)
    padded = np.column_stack([distances, np.full((100, 3), 9.0)])
    assert (
        LevinaBickel(2).fit_distances(padded).dimension
        == LevinaBickel(2).fit_distances(distances).dimension
    )


def test_a_neighbour_too_few() -> None:
    with pytest.raises(ConfigError, match="must be a whole number, at least 2. Got 1"):
        LevinaBickel(1)
