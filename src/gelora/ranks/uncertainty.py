"""How sure ranks are: dimensions drawn within their errors, and what a rule makes of each draw.

All of it follows from a profile; nothing is measured or resampled again.
"""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from gelora.dimension.profile import DimensionProfile
from gelora.ranks.allocation import Ranks
from gelora.ranks.rules import Dimensions

NUM_DRAWS = 4000
"""A probability is then known to 0.016, which is two of its standard errors."""

CONFIDENCE = 0.9
"""Share of the draws in which rule `confident` is to suffice. A rank too many costs one more row
and column; at 0.9 the rule pays that where a tenth of the chance or more says that it is needed."""


def draw_dimensions(profile: DimensionProfile) -> Dimensions:
    """Draw the dimensions of all layers from what is known of them: always the same draws.

    Errors are taken as Gaussian. The layers before and after a sublayer rest on the same samples;
    how far their errors go together follows from the increment's: Var(increment) = Var(after) +
    Var(before) - 2 Cov. Rules that look at one sublayer at a time need no more than that.

    For a budget, which looks at all, the errors along a stack are a Markov chain: given the layer
    before it, a layer's error depends on none further back. That is fair because a sublayer changes
    the states little, so what distant layers share has mostly passed through those between; what
    all layers share alike makes their errors go together more (docs/method.md has a figure). Every
    stack's embeddings begin a chain of their own. A constant layer has no error.

    Returns:
        NUM_DRAWS of them about the profile's dimensions.
    """
    errors = np.array(profile.standard_errors)
    noise = np.random.default_rng(0).standard_normal((NUM_DRAWS, len(errors)))
    for sublayer, correlation in enumerate(_correlations(profile)):
        layer = profile.layer_of(sublayer)
        own = math.sqrt(1 - correlation**2)
        noise[:, layer] = correlation * noise[:, layer - 1] + own * noise[:, layer]
    return np.array(profile.dimensions) + errors * noise


def _correlations(profile: DimensionProfile) -> list[float]:
    """Return the correlation of the errors before and after every sublayer."""
    correlations: list[float] = []
    for sublayer, increment_error in enumerate(profile.increment_standard_errors):
        layer = profile.layer_of(sublayer)
        before, after = profile.standard_errors[layer - 1 : layer + 1]
        if before == 0 or after == 0:
            correlations.append(0.0)
            continue
        covariance = (before**2 + after**2 - increment_error**2) / 2
        correlations.append(min(max(covariance / (before * after), -1.0), 1.0))
    return correlations


def rank_probabilities(ranks: Ranks) -> tuple[Mapping[int, float], ...]:
    """Return for every sublayer the share of the draws that gave each rank.

    >>> rank_probabilities(np.array([[1, 4], [1, 5], [1, 5], [1, 5]]))
    ({1: 1.0}, {4: 0.25, 5: 0.75})
    """
    probabilities: list[Mapping[int, float]] = []
    for sublayer in ranks.T:
        values, counts = np.unique(sublayer, return_counts=True)
        shares = counts / len(sublayer)
        probabilities.append(dict(zip(values.tolist(), shares.tolist(), strict=True)))
    return tuple(probabilities)


def sufficient_ranks(
    ranks: Ranks, *, confidence: float = CONFIDENCE
) -> Int[np.ndarray, " sublayers"]:
    """Return the smallest rank of every sublayer that reaches those of this share of the draws.

    >>> sufficient_ranks(np.array([[1, 4], [1, 5], [1, 5], [2, 5]]), confidence=0.75)
    array([1, 5])
    """
    return np.quantile(ranks, confidence, axis=0, method="inverted_cdf")
