"""The rules: from a `DimensionProfile` to a `RankPlan`, one LoRA rank for every block.

Rule `paper` is GeLoRA's (arXiv 2412.09250): the growth of the dimension in a block, rounded, plus
one. Rule `budget` spends a given number of parameters in proportion to the same growth. Both need
only the profile, no model and no data.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from gelora.allocation import allocate
from gelora.artifacts import PLAN_FILE, Artifact
from gelora.dimension.profile import BlockModule, DimensionProfile
from gelora.errors import ArtifactError, ConfigError, RankError
from gelora.targets import select_modules

RULES = ("paper", "budget")
ROUNDINGS: Mapping[str, Callable[[float], int]] = {
    "nearest": lambda dimension: math.floor(dimension + 0.5),
    "up": math.ceil,
    "down": math.floor,
}
DEFAULT_ALPHA_PER_RANK = 2.0


@dataclass(frozen=True)
class RankPlan(Artifact):
    """A LoRA rank for every block and every module in it.

    Attributes:
        rule: "paper" or "budget".
        rounding: How dimensions became whole numbers: "nearest", "up" or "down".
        blocks: Path of every block from the root of the backbone (the model without its head).
        bounds: One per block: the paper's lower bound max(d(i) - d(i-1), 0), rounded dimensions.
        ranks: One per block; 0 where none of its modules is adapted.
        modules: Rank of every adapted module, by its path from the backbone's root. It is its
            block's rank, or the smaller side of its matrix where that is less.
        alphas: `lora_alpha` of every adapted module: its rank times `alpha_per_rank`.
        alpha_per_rank: The scale alpha/r that LoRA multiplies BA by, the same everywhere.
        parameters: One per block: trainable parameters of its adapters.
        trainable_parameters: Their sum, r x (in + out) over the adapted modules, without a head.
        budget: Parameters that could be spent, or None with rule "paper".
        fingerprint: Tells the model, as in the profile.
        profile_hash: `content_hash` of the profile that the plan comes from.
    """

    FILE: ClassVar[str] = PLAN_FILE
    KIND: ClassVar[str] = "rank_plan"

    rule: str
    rounding: str
    blocks: tuple[str, ...]
    bounds: tuple[int, ...]
    ranks: tuple[int, ...]
    modules: Mapping[str, int]
    alphas: Mapping[str, int | float]
    alpha_per_rank: float
    parameters: tuple[int, ...]
    trainable_parameters: int
    budget: int | None
    fingerprint: Mapping[str, Any]
    profile_hash: str

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as it stands in its file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, payload: Mapping[str, Any]) -> Self:
        """Rebuild a plan from `to_dict`'s form.

        Raises:
            ArtifactError: A field is missing, unknown or of the wrong shape.
        """
        values = dict(payload)
        try:
            for name in ("blocks", "bounds", "ranks", "parameters"):
                values[name] = tuple(values[name])
            for name in ("modules", "alphas", "fingerprint"):
                values[name] = dict(values[name])
            values["alpha_per_rank"] = float(values["alpha_per_rank"])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"The rank plan lacks or mistypes a field: {error}.") from error


def plan_ranks(
    profile: DimensionProfile,
    *,
    rule: str = "paper",
    budget: float | str | None = None,
    rounding: str = "nearest",
    min_rank: int = 1,
    max_rank: int | None = None,
    target_modules: str | Sequence[str] = "attention",
    alpha_per_rank: float = DEFAULT_ALPHA_PER_RANK,
    lora_alpha: float | None = None,
) -> RankPlan:
    """Choose the LoRA rank of every block from how its dimension grows.

    Rule "paper" (GeLoRA, arXiv 2412.09250): with every dimension d rounded to a whole number,
    r(i) = max(d(i) - d(i-1), 0) + 1, kept within `min_rank` and `max_rank`.

    Rule "budget": ranks in proportion to max(increment, 0) + 1, with unrounded increments, that
    cost `budget` parameters to within one step of one block's rank (largest remainder). No rank
    is below the paper's lower bound max(d(i) - d(i-1), 0), if the budget pays for all bounds.

    Neither counts the growth out of a constant level (the first token's embedding, say), which
    is the pooling's, not the block's.

    Args:
        profile: The dimensions, and the modules of the model they were measured on.
        rule: "paper", or "budget"; giving a `budget` implies the latter.
        budget: Trainable parameters, as a number, or "r=8" for those of uniform LoRA of rank 8
            on the same modules.
        rounding: "nearest" (halves go up), "up" or "down".
        min_rank: Smallest rank of an adapted block, at least 1.
        max_rank: Largest rank of a block, or None for no limit but the matrices' own.
        target_modules: "attention" (query, key, value and output projections, as in the paper),
            "all-linear", or names as PEFT's LoraConfig takes them (ends of module paths).
        alpha_per_rank: alpha/r of every module.
        lora_alpha: Alternative to `alpha_per_rank`: alpha of the block of the largest rank.

    Returns:
        The plan; the same profile and arguments give the same plan.

    Raises:
        RankError: Unknown modules, limits that contradict each other or exceed every matrix, or
            a budget below the cost of `min_rank` everywhere.
        ConfigError: An unknown rule or rounding, a budget that cannot be read, or a scale that is
            not positive.
    """
    rule = "budget" if budget is not None else rule
    check_rule(
        rule=rule,
        budget=budget,
        rounding=rounding,
        min_rank=min_rank,
        max_rank=max_rank,
        alpha_per_rank=alpha_per_rank,
        lora_alpha=lora_alpha,
    )
    targets = select_modules(profile.modules, target_modules)
    per_block = [[m for m in targets if m.block == i] for i in range(len(profile.blocks))]
    limits = [_largest_rank(modules) for modules in per_block]
    _check_limits(max(limits), min_rank=min_rank, max_rank=max_rank)

    bounds = lower_bounds(profile, rounding=rounding)
    ceilings = [min(limit, max_rank or limit) for limit in limits]
    if rule == "paper":
        spend = None
        ranks = [
            _clamp(bound + 1, min_rank, top) for bound, top in zip(bounds, ceilings, strict=True)
        ]
    else:
        number, is_rank = _read_budget(budget or "")
        spend = int(_parameters(targets, number)) if is_rank else number
        ranks = allocate(
            weights=[growth + 1.0 for growth in growths(profile)],
            floors=[
                _clamp(max(bound, min_rank), 0, top)
                for bound, top in zip(bounds, ceilings, strict=True)
            ],
            ceilings=ceilings,
            min_rank=min_rank,
            cost=lambda block, rank: _parameters(per_block[block], rank),
            budget=spend,
        )
    if lora_alpha is not None:
        alpha_per_rank = lora_alpha / max(ranks)
    modules = {m.name: min(ranks[m.block], m.in_features, m.out_features) for m in targets}
    parameters = tuple(int(_parameters(mods, r)) for mods, r in zip(per_block, ranks, strict=True))
    return RankPlan(
        rule=rule,
        rounding=rounding,
        blocks=profile.blocks,
        bounds=bounds,
        ranks=tuple(ranks),
        modules=modules,
        alphas={name: whole(alpha_per_rank * rank) for name, rank in modules.items()},
        alpha_per_rank=alpha_per_rank,
        parameters=parameters,
        trainable_parameters=sum(parameters),
        budget=spend,
        fingerprint=profile.fingerprint,
        profile_hash=profile.content_hash(),
    )


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
    if budget is not None:
        _read_budget(budget)
    for name, scale in (("alpha_per_rank", alpha_per_rank), ("lora_alpha", lora_alpha)):
        if scale is not None and not (scale > 0 and math.isfinite(scale)):
            raise ConfigError(f"{name} is {scale}; it must be a positive number.")
    if min_rank < 1:
        raise RankError(f"min_rank is {min_rank}; the smallest LoRA rank is 1.")
    if max_rank is not None and max_rank < min_rank:
        raise RankError(
            f"max_rank {max_rank} is below min_rank {min_rank}; give one above the other."
        )


def lower_bounds(profile: DimensionProfile, *, rounding: str = "nearest") -> tuple[int, ...]:
    """Return the paper's lower bound max(d(i) - d(i-1), 0) of every block, dimensions rounded.

    It is 0 where the block's input level is constant: such a level is the pooling's doing, and
    the growth out of it says nothing of the block.
    """
    rounded = [ROUNDINGS[rounding](dimension) for dimension in profile.dimensions]
    levels = [profile.level_of(block) for block in range(len(profile.blocks))]
    return tuple(
        0 if profile.has_constant_input(block) else max(rounded[level] - rounded[level - 1], 0)
        for block, level in enumerate(levels)
    )


def growths(profile: DimensionProfile) -> tuple[float, ...]:
    """Return max(increment, 0) of every block, and 0 where its input level is constant."""
    return tuple(
        0.0 if profile.has_constant_input(block) else max(increment, 0.0)
        for block, increment in enumerate(profile.increments)
    )


def whole(number: float) -> int | float:
    """Return an int where the number is one, but for rounding: other readers than PEFT want ints.

    >>> whole(16 / 49 * 49), whole(1.5)
    (16, 1.5)
    """
    nearest = round(number)
    return nearest if math.isclose(number, nearest, rel_tol=1e-9) else float(number)


def _parameters(modules: Sequence[BlockModule], rank: float) -> float:
    """Count A, (rank, in), and B, (out, rank); no module's rank exceeds its smaller side."""
    return sum(
        min(rank, m.in_features, m.out_features) * (m.in_features + m.out_features) for m in modules
    )


def _largest_rank(modules: Sequence[BlockModule]) -> int:
    return max((min(m.in_features, m.out_features) for m in modules), default=0)


def _clamp(rank: int, low: int, high: int) -> int:
    return min(max(rank, low), high)


def _read_budget(budget: float | str) -> tuple[int, bool]:
    """Return a budget's number, and whether it is a rank, "r=8", not a count of parameters."""
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
    return int(value), number != text


def _check_limits(largest: int, **limits: int | None) -> None:
    for name, limit in limits.items():
        if limit is not None and limit > largest:
            raise RankError(
                f"{name} {limit} is above {largest}, the smaller side of the largest adapted "
                "matrix; no update of such a matrix has a higher rank."
            )
