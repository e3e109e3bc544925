"""Numbers on how reliable the dimensions are; the templates put them into sentences."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gelora.dimension.diagnostics import REMEDIES
from gelora.dimension.drift import Drift, find_drift, verdict_word
from gelora.dimension.profile import DimensionProfile
from gelora.ranks import RankPlan
from gelora.ranks.advice import CLEAR_ERRORS, adapted_sublayers, likely_range
from gelora.report.stacks import stack_layouts

NEAREST = ("twonn_linfit", "twonn_mle")
"""The estimators on the two nearest neighbours, which every profile holds."""


class Gap(NamedTuple):
    """A difference between two estimates.

    Attributes:
        share: Absolute difference as a share of the smaller estimate.
        layer: Index of the layer.
        ours: The first estimate there.
        theirs: The second.
        estimator: Name of the estimator that gave the second.
    """

    share: float
    layer: int
    ours: float
    theirs: float
    estimator: str


def layers_by_verdict(profile: DimensionProfile) -> dict[str, list[int]]:
    """Return the layers of every verdict that occurs; "drifting" comes last."""
    words = [verdict_word(profile, layer) for layer in range(len(profile.layers))]
    return {
        verdict: layers
        for verdict in (*REMEDIES, "drifting")
        if (layers := [layer for layer, word in enumerate(words) if word == verdict])
    }


def drifts(profile: DimensionProfile) -> dict[int, Drift]:
    """Return the drift of every layer with the verdict "drifting", the largest first."""
    moving = {
        layer: drift
        for layer in layers_by_verdict(profile).get("drifting", [])
        if (drift := find_drift(profile.decimation, layer)) is not None
    }
    return dict(sorted(moving.items(), key=lambda item: -abs(item[1].share)))


def dimension_paths(profile: DimensionProfile) -> Iterator[list[int]]:
    """Return for every stack its first layer, its highest if it is clearly higher, and its last."""
    for layout in stack_layouts(profile):
        first, last = layout.layers[0], layout.layers[-1]
        peak = max(layout.layers, key=lambda layer: profile.dimensions[layer])
        # The errors are taken as independent, which overstates the error of the difference.
        error = math.hypot(profile.standard_errors[first], profile.standard_errors[peak])
        rises = profile.dimensions[peak] - profile.dimensions[first] > CLEAR_ERRORS * error
        yield [first, *([peak] if rises and peak != last else []), last]


def block_weights(profile: DimensionProfile) -> int:
    """Return the number of weights in the linear modules of all blocks."""
    return sum(module.in_features * module.out_features for module in profile.modules)


def least_sure(plan: RankPlan) -> int:
    """Return the sublayer with the least certain rank; with a budget, the widest range."""
    if plan.settings.rule != "budget":
        return min(adapted_sublayers(plan), key=lambda sublayer: plan.certainties[sublayer])
    ranges = {sublayer: likely_range(plan, sublayer) for sublayer in adapted_sublayers(plan)}
    return max(ranges, key=lambda sublayer: ranges[sublayer][1] - ranges[sublayer][0])


def nearest_gap(profile: DimensionProfile) -> Gap | None:
    """Return the largest difference between line fit and maximum likelihood, if there is one."""
    return _widest_gap(profile, ["twonn_mle"])


def farther_gap(profile: DimensionProfile) -> Gap | None:
    """Return the largest difference between the line fit and estimators that look farther."""
    return _widest_gap(profile, [name for name in sorted(profile.series) if name not in NEAREST])


def _widest_gap(profile: DimensionProfile, others: Sequence[str]) -> Gap | None:
    line = profile.series["twonn_linfit"].dimensions
    gaps = [
        Gap(abs(ours - theirs) / min(ours, theirs), layer, ours, theirs, name)
        for name in others
        for layer, (ours, theirs) in enumerate(
            zip(line, profile.series[name].dimensions, strict=True)
        )
        if layer not in profile.constant_layers
    ]
    return max(gaps, key=lambda gap: gap.share, default=None)


def fit_gap(profile: DimensionProfile) -> tuple[float, int]:
    """Return the largest distance between the samples' F and the fitted law's, and its layer."""
    gaps = [(_distance(profile, layer), -layer) for layer in range(len(profile.layers))]
    gap, layer = max(gaps)
    return gap, -layer


def _distance(profile: DimensionProfile, layer: int) -> float:
    log_mu, dimension = profile.log_mu_quantiles[layer], profile.series["twonn_linfit"].dimensions
    shares = [(index + 0.5) / len(log_mu) for index in range(len(log_mu))]
    return max(
        (
            abs(share - (1 - math.exp(-dimension[layer] * x)))
            for share, x in zip(shares, log_mu, strict=True)
            if share <= 1 - profile.settings.discard_fraction
        ),
        default=0.0,
    )
