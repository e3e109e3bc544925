"""Every verdict on clouds that deserve it, for any seed, and each rule where it turns."""

import numpy as np
import pytest

from gelora.dimension import ESTIMATORS, estimate_layers
from gelora.dimension.decimation import decimate_layers
from gelora.dimension.layers import LayerEstimates
from gelora.dimension.profile import DecimatedDimensions, DimensionSeries, Verdict
from gelora.dimension.verdicts import BIASED_FROM, DRIFT, judge_layer
from manifolds import MANIFOLDS, flat_torus, gaussian, helix, noisy, twins


def judge(points: np.ndarray, estimator: str = "twonn_linfit") -> Verdict:
    found = estimate_layers([points], layer_names=["points"], estimator=estimator)
    decimation = decimate_layers([points], found, estimator=estimator, discard_fraction=0.1, seed=0)
    return judge_layer(found, decimation, 0, estimator=estimator)


# The flat torus of 6 circles looks unsettled with 1 seed in 50.
@pytest.mark.parametrize("name", sorted(set(MANIFOLDS) - {"flat_torus"}))
def test_a_clean_manifold_is_stable(name: str, seed: int) -> None:
    assert judge(MANIFOLDS[name].sample(1000, seed=seed)) == "stable"


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_bias_is_no_reason_to_doubt(estimator: str, seed: int) -> None:
    # Where edges and curvature pull hardest from one scale to the next.
    assert judge(gaussian(1000, seed=seed, dimension=15), estimator) == "stable"
    assert judge(flat_torus(1000, seed=seed, dimension=5), estimator) == "stable"


@pytest.mark.parametrize("dimension", [2, 3])
def test_fine_noise_is_noisy(dimension: int, seed: int) -> None:
    noise = {2: 0.02, 3: 0.05}[dimension]
    assert judge(noisy(1000, seed=seed, dimension=dimension, noise=noise)) == "noisy"


@pytest.mark.parametrize("share", [0.08, 0.8])
def test_near_copies_are_duplicated(share: float, seed: int) -> None:
    assert judge(twins(1000, seed=seed, share=share, distance=0.05)) == "duplicated"


def test_a_tight_coil_has_too_few_samples_and_enough_with_more(seed: int) -> None:
    assert judge(helix(2000, seed=seed, turns=500)) == "too few samples"
    assert judge(helix(2000, seed=seed, turns=50)) == "stable"


def estimates(
    dimension: float = 5.0, *, likelihood: float = 5.0, error: float = 0.1, set_aside: int = 0
) -> LayerEstimates:
    one = {
        name: DimensionSeries((value,), (error,), (), ())
        for name, value in [("twonn_linfit", dimension), ("twonn_mle", likelihood)]
    }
    return LayerEstimates(one, np.arange(1000 - set_aside), set_aside, 0, (set_aside,), (), ((),))


def verdict_of(found: LayerEstimates, *parts: float, estimator: str = "twonn_linfit") -> Verdict:
    errors = found.series["twonn_linfit"].standard_errors
    dimensions = (found.series["twonn_linfit"].dimensions[0], *parts)
    scales = [DecimatedDimensions(1000 >> i, (d,), errors) for i, d in enumerate(dimensions)]
    return judge_layer(found, scales, 0, estimator=estimator)


@pytest.mark.parametrize(
    ("found", "parts", "verdict"),
    [
        # A tenth of the dimension, and halves at all.
        (estimates(error=0.49), (5.0,), "stable"),
        (estimates(error=0.51), (5.0,), "too few samples"),
        (estimates(), (), "too few samples"),
        # One in twenty set aside.
        (estimates(set_aside=50), (5.0,), "stable"),
        (estimates(set_aside=51), (5.0,), "duplicated"),
        # A tenth between line and likelihood, either way, and 1.25 of their errors.
        (estimates(likelihood=4.56), (5.0,), "stable"),
        (estimates(likelihood=4.54), (5.0,), "duplicated"),
        (estimates(likelihood=5.51), (5.0,), "duplicated"),
        (estimates(likelihood=4.2, error=0.48), (5.0,), "stable"),
        (estimates(likelihood=4.1, error=0.48), (5.0,), "duplicated"),
        # 0.28 for chance and 0.2 for each halving, 0.41 for two, 0.62 for three.
        (estimates(), (4.53, 4.32, 4.1), "stable"),
        (estimates(), (4.50,), "noisy"),
        (estimates(), (5.0, 4.30), "noisy"),
        (estimates(), (5.0, 5.0, 4.08), "noisy"),
        (estimates(), (5.47, 5.68), "stable"),
        (estimates(), (5.50,), "too few samples"),
        (estimates(), (5.0, 5.70), "too few samples"),
        (estimates(), (5.0, 5.0, 9.0), "stable"),  # it bends at a scale far above
    ],
)
def test_where_each_rule_turns(found: LayerEstimates, parts: tuple, verdict: Verdict) -> None:
    assert verdict_of(found, *parts) == verdict


def test_farther_neighbours_may_drift_more() -> None:
    assert verdict_of(estimates(), 4.4, estimator="twonn_linfit") == "noisy"
    assert verdict_of(estimates(), 4.4, estimator="gride_8") == "stable"


def test_every_estimator_has_its_limits() -> None:
    assert set(DRIFT) == set(BIASED_FROM) == set(ESTIMATORS)
