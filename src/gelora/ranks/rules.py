"""The rules: from the dimensions of all levels to a rank for every step. No files, no plans.

Rule `paper` is GeLoRA's (arXiv 2412.09250): the growth of the dimension in a step, rounded, plus
one. Rule `budget` spends a given number of parameters in proportion to the same growth. Rule
`confident` gives what the paper's rule asks for under nearly all errors of the dimensions.

Dimensions have the shape (draws, levels) and ranks (draws, steps): one call serves those that were
measured and any number of others within their errors (`uncertainty.py`).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from jaxtyping import Float, Int

from gelora.checks import is_number
from gelora.dimension.profile import DimensionProfile
from gelora.errors import ConfigError, RankError
from gelora.ranks.allocation import Costs, Ranks, allocate

MOST_PARAMETERS = 10**15
"""Largest budget that is read as one."""

RULES = ("paper", "confident", "budget")

Dimensions = Float[np.ndarray, "draws levels"]
Growths = Float[np.ndarray, "draws steps"]

ROUNDINGS: Mapping[str, Callable[[Dimensions], Dimensions]] = {
    "nearest": lambda dimensions: np.floor(dimensions + 0.5),
    "up": np.ceil,
    "down": np.floor,
}


@dataclass(frozen=True)
class RankLimits:
    """Which ranks a step may have.

    Attributes:
        min_rank: Smallest rank of a step with adapted modules.
        ceilings: Largest rank of every step; 0 where no module is adapted.
    """

    min_rank: int
    ceilings: Int[np.ndarray, " steps"]

    def __call__(self, ranks: Ranks) -> Ranks:
        """Return the nearest ranks that are allowed."""
        return np.minimum(np.maximum(ranks, self.min_rank), self.ceilings)


def paper_ranks(
    profile: DimensionProfile, dimensions: Dimensions, *, rounding: str, limits: RankLimits
) -> Ranks:
    """Return max(d(i) - d(i-1), 0) + 1 of rounded dimensions, within the limits."""
    return limits(_bounds(profile, dimensions, rounding) + 1)


def budget_ranks(
    profile: DimensionProfile,
    dimensions: Dimensions,
    *,
    rounding: str,
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


def lower_bounds(profile: DimensionProfile, *, rounding: str = "nearest") -> tuple[int, ...]:
    """Return the paper's lower bound max(d(i) - d(i-1), 0) of every step, dimensions rounded.

    It is 0 where the step's input level is constant: such a level is the pooling's doing, and
    the growth out of it says nothing of the step.
    """
    dimensions = np.array([profile.dimensions], dtype=float)
    return tuple(_bounds(profile, dimensions, rounding)[0].tolist())


def _bounds(profile: DimensionProfile, dimensions: Dimensions, rounding: str) -> Ranks:
    return _growths(profile, ROUNDINGS[rounding](dimensions)).astype(np.int64)


def _growths(profile: DimensionProfile, dimensions: Dimensions) -> Growths:
    """Return max(d(i) - d(i-1), 0) of every step, and 0 where its input level is constant."""
    steps = range(len(profile.steps))
    outputs = np.array([profile.level_of(step) for step in steps])
    counted = np.array([not profile.has_constant_input(step) for step in steps])
    return counted * np.maximum(dimensions[:, outputs] - dimensions[:, outputs - 1], 0.0)


def check_rule(
    *,
    rule: str,
    budget: float | str | None,
    rounding: str,
    min_rank: int,
    max_rank: int | None,
    alpha_per_rank: float,
    lora_alpha: float | None,
) -> None:
    """Check arguments of `plan_ranks` as far as they need no profile, before one is measured.

    Raises:
        RankError: Limits that contradict each other.
        ConfigError: As `plan_ranks`.
    """
    if rule not in RULES:
        raise ConfigError(f"There is no rank rule {rule!r}; the rules are {', '.join(RULES)}.")
    if rounding not in ROUNDINGS:
        raise ConfigError(
            f"There is no rounding {rounding!r}; dimensions are rounded {', '.join(ROUNDINGS)}."
        )
    if rule == "budget" and budget is None:
        raise ConfigError("Rule 'budget' needs a budget, such as 'r=8' or a number of parameters.")
    if rule != "budget" and budget is not None:
        raise ConfigError(
            f"Rule {rule!r} spends no budget, and one of {budget} is given: leave out one of the "
            "two."
        )
    if budget is not None:
        read_budget(budget)
    for name, scale in (("alpha_per_rank", alpha_per_rank), ("lora_alpha", lora_alpha)):
        if scale is not None and not (is_number(scale) and scale > 0):
            raise ConfigError(f"{name} is {scale}; it must be a positive number.")
    for name, rank in (("min_rank", min_rank), ("max_rank", max_rank)):
        if rank is not None and (isinstance(rank, bool) or not isinstance(rank, Integral)):
            raise RankError(f"{name} is {rank!r}; a rank is a whole number.")
    if min_rank < 1:
        raise RankError(f"min_rank is {min_rank}; the smallest LoRA rank is 1.")
    if max_rank is not None and max_rank < min_rank:
        raise RankError(
            f"max_rank {max_rank} is below min_rank {min_rank}; give one above the other."
        )


def read_budget(budget: float | str) -> tuple[int, bool]:
    """Return a budget's number, and whether it is a rank, "r=8", not a count of parameters.

    Raises:
        ConfigError: It is neither.
    """
    text = str(budget).replace(" ", "").replace(",", "").lower()
    number = text.removeprefix("r=")
    try:
        value = float(number)  # reads 300_000, 3e5 and 300000.0 alike
    except ValueError:
        value = math.nan
    if not (value >= 1 and value.is_integer()):
        raise ConfigError(
            f"The budget {budget!r} is neither a positive number of parameters nor of the form "
            "'r=8'."
        )
    if value > MOST_PARAMETERS:
        raise ConfigError(
            f"The budget {budget!r} is above {MOST_PARAMETERS:.0e} parameters, more than any model "
            "has."
        )
    return int(value), number != text
