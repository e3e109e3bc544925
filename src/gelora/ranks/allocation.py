"""Spend a budget of parameters on ranks in proportion to weights: arithmetic alone.

Every row of the weights is a problem of its own, and all are solved at once.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from gelora.errors import RankError

Ranks = Int[np.ndarray, "draws sublayers"]
Ideals = Float[np.ndarray, "draws sublayers"]
Costs = Int[np.ndarray, "sublayers ranks"]


def allocate(
    *,
    weights: Ideals,
    floors: Ranks,
    ceilings: Int[np.ndarray, " sublayers"],
    min_rank: int,
    costs: Costs,
    budget: int,
) -> Ranks:
    """Return whole ranks in proportion to the weights that spend the budget, by largest remainder.

    The real-valued ideal is t(i) = clip(scale x weight(i), floor(i), ceiling(i)) with the one
    scale at which the ideals cost the budget. Ranks start at the whole part of the ideals; then
    the sublayer that is farthest below its ideal gets one more, as long as some sublayer can be
    paid. What is left at the end is less than the cheapest of these.

    Args:
        weights: Positive.
        floors: Ranks not to go below; dropped to `min_rank` if they cost more than the budget.
        ceilings: Ranks not to exceed; 0 for a sublayer without adapted modules.
        min_rank: Smallest rank of any sublayer whose ceiling allows it.
        costs: Parameters of every sublayer at the ranks 0, 1, ... up to the largest ceiling.
        budget: Parameters to spend.

    Raises:
        RankError: Even `min_rank` everywhere costs more than the budget.
    """
    least = np.minimum(min_rank, ceilings)
    (cheapest,) = _total(costs, least[None])
    if cheapest > budget:
        raise RankError(
            f"The budget of {budget:,} parameters is below the {cheapest:,.0f} that rank "
            f"{min_rank} costs in every block; raise the budget or adapt fewer modules."
        )
    floors = np.where((_total(costs, floors) > budget)[:, None], least, floors)
    ideals = _ideals(weights, floors, ceilings, costs, budget)
    return _round(ideals, ceilings, costs, budget)


def _ideals(
    weights: Ideals,
    floors: Ranks,
    ceilings: Int[np.ndarray, " sublayers"],
    costs: Costs,
    budget: int,
) -> Ideals:
    """Bisect for the largest scale that the budget pays for, to the resolution of a float."""

    def at(scale: Float[np.ndarray, " draws"]) -> Ideals:
        return np.minimum(np.maximum(scale[:, None] * weights, floors), ceilings)

    def fits(scale: Float[np.ndarray, " draws"]) -> Bool[np.ndarray, " draws"]:
        return _total(costs, at(scale)) <= budget

    # At the highest scale every rank is at its ceiling.
    high: Float[np.ndarray, " draws"] = ceilings.max() / weights.min(axis=1)
    low: Float[np.ndarray, " draws"] = np.where(fits(high), high, 0.0)
    for _ in range(40):  # to a part in 10^12, far below what whole ranks can tell
        middle = (low + high) / 2
        payable = fits(middle)
        low, high = np.where(payable, middle, low), np.where(payable, high, middle)
    return at(low)


def _round(
    ideals: Ideals, ceilings: Int[np.ndarray, " sublayers"], costs: Costs, budget: int
) -> Ranks:
    """Take the whole parts, and hand out what they leave of the budget one rank at a time."""
    ranks = np.floor(ideals).astype(np.int64)
    left = budget - _total(costs, ranks)
    sublayers = np.arange(len(costs))
    while True:
        prices = costs[sublayers, np.minimum(ranks + 1, ceilings)] - costs[sublayers, ranks]
        payable = (ranks < ceilings) & (prices <= left[:, None])
        open_draws = np.flatnonzero(payable.any(axis=1))
        if len(open_draws) == 0:
            return ranks
        short = np.where(payable, ideals - ranks, -np.inf)
        neediest = short.argmax(axis=1)[open_draws]
        ranks[open_draws, neediest] += 1
        left[open_draws] -= prices[open_draws, neediest]


def _total(costs: Costs, ranks: Ranks | Ideals) -> Real[np.ndarray, " draws"]:
    """Sum the parameters of ranks that may be fractions: between whole ranks cost is linear."""
    sublayers = np.arange(len(costs))
    whole = np.floor(ranks).astype(np.int64)
    below = costs[sublayers, whole]
    above = costs[sublayers, np.minimum(whole + 1, costs.shape[1] - 1)]
    return (below + (ranks - whole) * (above - below)).sum(axis=1)
