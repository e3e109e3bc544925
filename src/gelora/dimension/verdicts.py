"""The rules by which a layer's dimension is trusted or not, each with the reason for its number.

The numbers were chosen by simulation: clean clouds of dimension 2 to 40 with 500 to 4,000 samples
are called stable 99 times in 100. docs/accuracy.md has how often each rule errs, what it misses
and what the limits rest on, with the commands that print it.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from gelora.dimension.profile import DecimatedDimensions, Verdict

if TYPE_CHECKING:
    from gelora.dimension.layers import LayerEstimates

MAX_SHARE_SET_ASIDE = 0.05
"""Share of repeated samples above which there is a warning, or at one layer alone a verdict."""

MAX_RELATIVE_ERROR = 0.1
"""A standard error of a larger share leaves the rank open."""

MAX_DISAGREEMENT = 0.1
"""Line and likelihood that differ by a larger share follow no single law of distances. On clean
clouds the difference has a standard deviation of up to 2.5 % at 500 samples and 1.0 % at 4,000."""

DISAGREEMENT_ERRORS = 1.25
"""And by more than this many of their errors taken as independent, which counts below 500 samples:
on the same samples the true error of the difference is 0.2 to 0.3 of that."""

SCALE_ERRORS = 2.0
"""Standard errors, of whole and parts taken as independent, that chance may make between scales.
They share samples, so that the true error of TwoNN on 1,000 is 0.6 to 0.8 (halves) or 0.7 to 1.0
(quarters) of it."""

SCALES_OF_RISE = 2
"""Only halves and quarters tell whether more samples would lower the dimension: every manifold
bends at some larger scale, and one that does so in its eighths alone is resolved in the whole."""

DRIFT: Mapping[str, float] = MappingProxyType(
    {
        "twonn_linfit": 0.04,
        "twonn_mle": 0.04,
        "gride_2": 0.05,
        "gride_4": 0.07,
        "gride_8": 0.09,
        "levina_bickel": 0.08,
    }
)
"""Share by which bias moves the dimension with each halving: edges pull the estimates of fewer
samples down, curvature pushes them up. On no clean cloud does the mean over draws move by more than
this, but for chance."""

BIASED_FROM: Mapping[str, float] = MappingProxyType(
    {
        "twonn_linfit": 6.0,
        "twonn_mle": 6.0,
        "gride_2": 4.8,
        "gride_4": 4.2,
        "gride_8": 3.6,
        "levina_bickel": 3.6,
    }
)
"""The estimate from which it is off by a tenth or more on a cube of 1,000 samples."""


def judge_layer(
    estimates: "LayerEstimates",
    decimation: Sequence[DecimatedDimensions],
    layer: int,
    *,
    estimator: str,
) -> Verdict:
    """Judge one layer: the first verdict that applies.

    Args:
        estimates: The estimates on all samples.
        decimation: Those on parts of the samples, the whole first.
        layer: Index of the layer.
        estimator: The one that `decimation` is by.
    """
    if layer in estimates.constant_layers:
        return "constant"
    whole, *parts = decimation
    if not parts or whole.standard_errors[layer] > MAX_RELATIVE_ERROR * whole.dimensions[layer]:
        return "too few samples"
    if _repeats(estimates, layer):
        return "duplicated"
    return _across_scales(whole, parts, layer, drift=DRIFT[estimator])


def _repeats(estimates: "LayerEstimates", layer: int) -> bool:
    """Tell whether many samples were set aside, or the distances of the rest follow no one law.

    A few near-copies make some ratios r2 / r1 huge, which lowers the likelihood's dimension below
    the line's, for the line leaves the largest out; many make it the other way round.
    """
    num_samples = estimates.num_used + estimates.num_duplicates + estimates.num_near_duplicates
    line, likelihood = estimates.series["twonn_linfit"], estimates.series["twonn_mle"]
    both = line.dimensions[layer], likelihood.dimensions[layer]
    error = math.hypot(line.standard_errors[layer], likelihood.standard_errors[layer])
    allowed = max(MAX_DISAGREEMENT * min(both), DISAGREEMENT_ERRORS * error)
    return (
        estimates.set_aside_by_layer[layer] > MAX_SHARE_SET_ASIDE * num_samples
        or abs(both[0] - both[1]) > allowed
    )


def _across_scales(
    whole: DecimatedDimensions, parts: Sequence[DecimatedDimensions], layer: int, *, drift: float
) -> Verdict:
    """Compare the whole with its halves, its quarters, ..."""
    dimension, error = whole.dimensions[layer], whole.standard_errors[layer]
    for halvings, part in enumerate(parts, start=1):
        rise = part.dimensions[layer] - dimension
        chance = SCALE_ERRORS * math.hypot(part.standard_errors[layer], error)
        allowed = chance + ((1 + drift) ** halvings - 1) * dimension
        if rise < -allowed:
            return "noisy"
        if rise > allowed and halvings <= SCALES_OF_RISE:
            return "too few samples"
    return "stable"
