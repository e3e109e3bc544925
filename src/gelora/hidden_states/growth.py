"""How many texts are enough: ever larger parts of them, and the reason to stop at one."""

from collections.abc import Callable, Sequence
from itertools import count, takewhile

from gelora.dimension.profile import DimensionProfile, StopReason

FIRST_SIZE = 500
"""Texts of the first part. Each next size is the square root of 2 larger, so that all estimates on
the way cost about as much together as the last one, which is quadratic."""

STABLE_GROWTHS = 3
"""Number of consecutive size increases over which the ranks must not change."""

Ranks = Callable[[DimensionProfile], Sequence[int]]
"""A rule: the rank of every sublayer."""


def growing_sizes(num_texts: int) -> list[int]:
    """Return the numbers of texts to estimate at, up to all of them.

    >>> growing_sizes(4000)
    [500, 707, 1000, 1414, 2000, 2828, 4000]
    >>> growing_sizes(300)
    [300]
    """
    sizes = (round(FIRST_SIZE * 2 ** (power / 2)) for power in count())
    return [*takewhile(lambda size: size < num_texts, sizes), num_texts]


def reason_to_stop(
    profiles: Sequence[DimensionProfile], *, precision: float, ranks: Ranks | None
) -> StopReason | None:
    """Say why the texts measured are enough, or None if they are not.

    Args:
        profiles: One for every size so far.
        precision: Standard error, in dimensions, that every increment is to be below.
        ranks: The rule whose ranks are to stay the same, or None to look at the precision alone.
    """
    if profiles[-1].largest_increment_error < precision:
        return "precision"
    last = profiles[-1 - STABLE_GROWTHS :] if ranks else []
    if (
        ranks
        and len(last) > STABLE_GROWTHS
        and len({tuple(ranks(profile)) for profile in last}) == 1
    ):
        return "stable_ranks"
    return None
