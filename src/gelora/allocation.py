"""Spend a budget of parameters on ranks in proportion to weights: arithmetic alone."""

import math
from collections.abc import Callable, Sequence

from gelora.errors import RankError


def allocate(
    *,
    weights: Sequence[float],
    floors: Sequence[int],
    ceilings: Sequence[int],
    min_rank: int,
    cost: Callable[[int, float], float],
    budget: int,
) -> list[int]:
    """Return whole ranks in proportion to the weights that spend the budget, by largest remainder.

    The real-valued ideal is t(i) = clip(scale x weight(i), floor(i), ceiling(i)) with the one
    scale at which the ideals cost the budget. Ranks start at the whole part of the ideals; then
    the block that is farthest below its ideal gets one more, as long as some step can be paid.
    What is left at the end is less than the cheapest step.

    Args:
        weights: One per block, positive.
        floors: Ranks not to go below; dropped to `min_rank` if they cost more than the budget.
        ceilings: Ranks not to exceed; 0 for a block without adapted modules.
        min_rank: Smallest rank of any block whose ceiling allows it.
        cost: Parameters of block i at a rank, which may be a fraction.
        budget: Parameters to spend.

    Raises:
        RankError: Even `min_rank` everywhere costs more than the budget.
    """
    blocks = range(len(weights))

    def total(ranks: Sequence[float]) -> float:
        return sum(cost(block, ranks[block]) for block in blocks)

    if total(floors) > budget:
        floors = [min(min_rank, ceiling) for ceiling in ceilings]
    if total(floors) > budget:
        raise RankError(
            f"The budget of {budget:,} parameters is below the {total(floors):,.0f} that rank "
            f"{min_rank} costs in every block; raise the budget or adapt fewer modules."
        )

    def ideals(scale: float) -> list[float]:
        return [
            min(max(scale * weight, floor), ceiling)
            for weight, floor, ceiling in zip(weights, floors, ceilings, strict=True)
        ]

    scale = _largest_scale(lambda s: total(ideals(s)) <= budget, top=max(ceilings) / min(weights))
    wanted = ideals(scale)
    ranks = [math.floor(ideal) for ideal in wanted]
    left = budget - total(ranks)
    while True:
        steps = {
            block: cost(block, ranks[block] + 1) - cost(block, ranks[block])
            for block in blocks
            if ranks[block] < ceilings[block]
        }
        payable = [block for block, step in steps.items() if step <= left]
        if not payable:
            return ranks
        block = max(payable, key=lambda b: (wanted[b] - ranks[b], -b))
        ranks[block] += 1
        left -= steps[block]


def _largest_scale(fits: Callable[[float], bool], *, top: float) -> float:
    """Bisect for the largest scale that fits, to the resolution of a float."""
    if fits(top):
        return top
    low, high = 0.0, top
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
