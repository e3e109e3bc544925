"""The rules: from the dimensions of all layers to a rank for every sublayer. No files, no plans.

Rule `paper` is GeLoRA's (arXiv 2412.09250): the growth of the dimension in a sublayer, rounded,
plus one. Rule `budget` spends a given number of parameters in proportion to the same growth. Rule
`confident` gives what the paper's rule asks for under nearly all errors of the dimensions.

Dimensions have the shape (draws, layers) and ranks (draws, sublayers): one call serves those that
were measured and any number of others within their errors (`uncertainty.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from gelora.dimension.profile import DimensionProfile
from gelora.ranks.allocation import Costs, Ranks, allocate
from gelora.settings import Rounding

Dimensions = Float[np.ndarray, "draws layers"]
Growths = Float[np.ndarray, "draws sublayers"]

ROUNDINGS: Mapping[Rounding, Callable[[Dimensions], Dimensions]] = {
    "nearest": lambda dimensions: np.floor(dimensions + 0.5),
    "up": np.ceil,
    "down": np.floor,
}


@dataclass(frozen=True)
class RankLimits:
    """Which ranks a sublayer may have.

    Attributes:
        min_rank: Smallest rank of a sublayer with adapted modules.
        ceilings: Largest rank of every sublayer; 0 where no module is adapted.
    """

    min_rank: int
    ceilings: Int[np.ndarray, " sublayers"]

    def __call__(self, ranks: Ranks) -> Ranks:
        """Return the nearest ranks that are allowed."""
        return np.minimum(np.maximum(ranks, self.min_rank), self.ceilings)


def paper_ranks(
    profile: DimensionProfile, dimensions: Dimensions, *, rounding: Rounding, limits: RankLimits
) -> Ranks:
    """Return max(d(i) - d(i-1), 0) + 1 of rounded dimensions, within the limits."""
    return limits(_bounds(profile, dimensions, rounding) + 1)


def budget_ranks(
    profile: DimensionProfile,
    dimensions: Dimensions,
    *,
    rounding: Rounding,
    limits: RankLimits,
    costs: Costs,
    budget: int,
) -> Ranks:
    """Return ranks in proportion to max(increment, 0) + 1 that cost the budget (`allocate`).

    None is below the paper's lower bound, if the budget pays for all bounds.

    Raises:
        RankError: The smallest ranks cost more than the budget.
    """
    return allocate(
        weights=_growths(profile, dimensions) + 1,
        floors=limits(_bounds(profile, dimensions, rounding)),
        ceilings=limits.ceilings,
        min_rank=limits.min_rank,
        costs=costs,
        budget=budget,
    )


def lower_bounds(profile: DimensionProfile, *, rounding: Rounding = "nearest") -> tuple[int, ...]:
    """Return the paper's lower bound max(d(i) - d(i-1), 0) of every sublayer, dimensions rounded.

    It is 0 where the sublayer's input layer is constant: such a layer is the pooling's doing, and
    the growth out of it says nothing of the sublayer.
    """
    dimensions = np.array([profile.dimensions], dtype=float)
    return tuple(_bounds(profile, dimensions, rounding)[0].tolist())


def paper_rule(profile: DimensionProfile) -> list[int]:
    """Return the rank that the paper's rule gives every sublayer, without limits."""
    return [bound + 1 for bound in lower_bounds(profile)]


def _bounds(profile: DimensionProfile, dimensions: Dimensions, rounding: Rounding) -> Ranks:
    return _growths(profile, ROUNDINGS[rounding](dimensions)).astype(np.int64)


def _growths(profile: DimensionProfile, dimensions: Dimensions) -> Growths:
    """Return max(d(i) - d(i-1), 0) of every sublayer, and 0 where its input layer is constant."""
    sublayers = range(len(profile.sublayers))
    outputs = np.array([profile.layer_of(sublayer) for sublayer in sublayers])
    counted = np.array([not profile.has_constant_input(sublayer) for sublayer in sublayers])
    return counted * np.maximum(dimensions[:, outputs] - dimensions[:, outputs - 1], 0.0)
