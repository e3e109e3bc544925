"""Parts of the samples: by hand, their error, and what larger scales show."""

import math

import numpy as np
import pytest

from gelora.dimension import ESTIMATORS, estimate_layers
from gelora.dimension.decimation import decimate_layers
from gelora.dimension.estimators import make_estimator
from gelora.dimension.fitting import Fit
from gelora.dimension.profile import DecimatedDimensions
from manifolds import gaussian


def decimate(layers: list[np.ndarray], **arguments) -> tuple[DecimatedDimensions, ...]:
    names = [str(i) for i in range(len(layers))]
    estimator = arguments.setdefault("estimator", "twonn_linfit")
    found = estimate_layers(layers, layer_names=names, estimator=estimator)
    return decimate_layers(layers, found, **{"discard_fraction": 0.1, "seed": 0, **arguments})


@pytest.mark.parametrize("name", ESTIMATORS)
def test_each_scale_is_the_mean_over_disjoint_parts(name: str, seed: int) -> None:
    points = gaussian(1003, seed=seed, dimension=4)
    points[7] = points[3]  # a copy is in no part
    kept = np.delete(points, 7, axis=0)
    scales = decimate([points], estimator=name, seed=seed, discard_fraction=0.2)
    order = np.random.default_rng(seed).permutation(1002)
    estimator = make_estimator(name, discard_fraction=0.2)
    for num_parts, scale in zip((2, 4), scales[1:], strict=True):
        parts = [estimator.estimate(kept[rows]) for rows in np.array_split(order, num_parts)]
        assert scale.num_samples == 1002 // num_parts
        assert scale.dimensions[0] == pytest.approx(np.mean([one.dimension for one in parts]))
        errors = [one.standard_error for one in parts]
        assert scale.standard_errors[0] == pytest.approx(math.hypot(*errors) / num_parts)


def test_parts_hold_at_least_200_samples(seed: int) -> None:
    sizes = {n: [one.num_samples for one in decimate([gaussian(n, seed=seed)])] for n in (399, 400)}
    assert sizes == {399: [399], 400: [400, 200]}


def test_a_clean_manifold_is_the_same_at_every_scale(seed: int) -> None:
    whole, *parts = decimate([gaussian(2000, seed=seed, dimension=3)])
    assert len(parts) == 3
    for part in parts:
        allowed = 4 * math.hypot(part.standard_errors[0], whole.standard_errors[0])
        assert abs(part.dimensions[0] - whole.dimensions[0]) < allowed + 0.1


def test_the_error_of_a_mean_over_parts_is_that_of_the_whole(seed: int) -> None:
    # Halves have the square root of two as much error each, and there are two of them.
    whole, halves, quarters = decimate([gaussian(1000, seed=seed, dimension=5)])
    for part in (halves, quarters):
        assert part.standard_errors[0] == pytest.approx(whole.standard_errors[0], rel=0.3)


def test_every_layer_is_divided_alike(seed: int) -> None:
    points = gaussian(500, seed=seed, dimension=4)
    scales = decimate([points, 3 * points, np.zeros((500, 2))])
    for scale in scales:
        assert scale.dimensions[0] == pytest.approx(scale.dimensions[1], rel=1e-9)
        assert scale.dimensions[2] == scale.standard_errors[2] == 0.0


def test_the_scales_end_before_parts_that_tie(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    estimator = make_estimator("twonn_linfit", discard_fraction=0.1)
    points = gaussian(1600, seed=seed, dimension=4)
    found = estimate_layers([points], layer_names=["0"])
    asked = {"estimator": "twonn_linfit", "discard_fraction": 0.1, "seed": seed}
    expected = decimate_layers([points], found, **asked)

    class Ties:
        num_neighbors = estimator.num_neighbors

        def fit_distances(self, distances: np.ndarray) -> Fit:
            return estimator.fit_distances(
                distances if len(distances) > 400 else np.ones_like(distances)
            )

    monkeypatch.setattr("gelora.dimension.decimation.make_estimator", lambda *_, **__: Ties())
    assert decimate_layers([points], found, **asked) == expected[:2]
