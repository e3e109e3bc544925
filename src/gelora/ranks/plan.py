"""From a `DimensionProfile` to a `RankPlan`: one LoRA rank for every step, and its probability.

A step is a block, or one of its halves, as the profile was measured. The rules themselves are in
`rules.py`; here they meet the modules to adapt. No model and no data is needed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Int

from gelora.artifacts import PLAN_FILE, Artifact, reading_fields
from gelora.dimension.profile import BlockModule, DimensionProfile, Granularity, step_names
from gelora.errors import ArtifactError, RankError
from gelora.ranks.rules import (
    ROUNDINGS,
    RULES,
    RankLimits,
    budget_ranks,
    check_rule,
    lower_bounds,
    paper_ranks,
    read_budget,
)
from gelora.ranks.targets import select_modules
from gelora.ranks.uncertainty import draw_dimensions, rank_probabilities, sufficient_ranks

DEFAULT_ALPHA_PER_RANK = 2.0


@dataclass(frozen=True)
class RankPlan(Artifact):
    """A LoRA rank for every step and every module in it.

    Attributes:
        rule: "paper", "confident" or "budget".
        rounding: How dimensions became whole numbers: "nearest", "up" or "down".
        granularity: What a step is: a "block", or with "sublayer" one of its two halves.
        blocks: Path of every block from the root of the backbone (the model without its head).
        steps: Name of every step: its block's path, with the half's name after it.
        bounds: One per step: the paper's lower bound max(d(i) - d(i-1), 0), rounded dimensions.
        ranks: One per step; 0 where none of its modules is adapted.
        rank_probabilities: One per step: the probability of every rank that the dimensions within
            their errors lead to, ascending; with rule "confident", of the paper's ranks before
            `max_rank`.
        modules: Rank of every adapted module, by its path from the backbone's root. It is its
            step's rank, or the smaller side of its matrix where that is less.
        alphas: `lora_alpha` of every adapted module: its rank times `alpha_per_rank`.
        alpha_per_rank: The scale alpha/r that LoRA multiplies BA by, the same everywhere.
        parameters: One per step: trainable parameters of its adapters.
        trainable_parameters: Their sum, r x (in + out) over the adapted modules, without a head.
        budget: Parameters that could be spent, or None with the other rules.
        fingerprint: Tells the model, as in the profile.
        profile_hash: `content_hash` of the profile that the plan comes from.
        data: What the profile says of its texts; empty if it says nothing.
    """

    FILE: ClassVar[str] = PLAN_FILE
    KIND: ClassVar[str] = "rank_plan"

    rule: str
    rounding: str
    granularity: Granularity
    blocks: tuple[str, ...]
    steps: tuple[str, ...]
    bounds: tuple[int, ...]
    ranks: tuple[int, ...]
    rank_probabilities: tuple[Mapping[int, float], ...]
    modules: Mapping[str, int]
    alphas: Mapping[str, int | float]
    alpha_per_rank: float
    parameters: tuple[int, ...]
    trainable_parameters: int
    budget: int | None
    fingerprint: Mapping[str, Any]
    profile_hash: str
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def certainties(self) -> tuple[float, ...]:
        """Probability of every step's rank; with rule "confident", that it suffices."""
        return tuple(
            sum(
                share
                for value, share in probabilities.items()
                if value == rank or (value < rank and self.rule == "confident")
            )
            for rank, probabilities in zip(self.ranks, self.rank_probabilities, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as it stands in its file, where keys are strings."""
        probabilities = [
            {str(rank): share for rank, share in one.items()} for one in self.rank_probabilities
        ]
        payload = {**asdict(self), "rank_probabilities": probabilities}
        if not self.data:
            del payload["data"]
        return payload

    @classmethod
    def from_dict(cls, payload: Mapping[str, Any]) -> Self:
        """Rebuild a plan from `to_dict`'s form.

        Raises:
            ArtifactError: A field is missing, unknown or of the wrong shape.
        """
        values = dict(payload)
        with reading_fields("rank plan"):
            for name in ("blocks", "steps", "bounds", "ranks", "parameters"):
                values[name] = tuple(values[name])
            values["rank_probabilities"] = tuple(  # the file has them in the order of strings
                dict(sorted((int(rank), float(share)) for rank, share in one.items()))
                for one in values["rank_probabilities"]
            )
            for name in ("modules", "alphas", "fingerprint"):
                values[name] = dict(values[name])
            values["alpha_per_rank"] = float(values["alpha_per_rank"])
            plan = cls(**values)
            _check_consistent(plan)
        return plan


def plan_ranks(
    profile: DimensionProfile,
    *,
    rule: str | None = None,
    budget: float | str | None = None,
    rounding: str = "nearest",
    min_rank: int = 1,
    max_rank: int | None = None,
    target_modules: str | Sequence[str] = "attention",
    alpha_per_rank: float = DEFAULT_ALPHA_PER_RANK,
    lora_alpha: float | None = None,
) -> RankPlan:
    """Choose the LoRA rank of every step from how the dimension grows in it.

    Rule "paper" (GeLoRA, arXiv 2412.09250): with every dimension d rounded to a whole number,
    r(i) = max(d(i) - d(i-1), 0) + 1, kept within `min_rank` and `max_rank`.

    Rule "confident": the smallest rank that is, with probability 0.9, no smaller than the paper's,
    given the errors of the dimensions. Without errors it is the paper's.

    Rule "budget": ranks in proportion to max(increment, 0) + 1, with unrounded increments, that
    cost `budget` parameters to within one rank of one step (largest remainder). No rank
    is below the paper's lower bound max(d(i) - d(i-1), 0), if the budget pays for all bounds.

    A module takes the rank of the step it works in: its block or, in a profile of granularity
    "sublayer", the attention's half or the MLP's. No rule counts the growth out of a constant
    level (the first token's embedding, say), which is the pooling's, not the step's.

    Args:
        profile: The dimensions, and the modules of the model they were measured on.
        rule: "paper", "confident" or "budget"; None is "budget" if one is given, else "paper".
        budget: Trainable parameters, as a number, or "r=8" for those of uniform LoRA of rank 8
            on the same modules.
        rounding: "nearest" (halves go up), "up" or "down".
        min_rank: Smallest rank of an adapted step, at least 1.
        max_rank: Largest rank of a step, or None for no limit but the matrices' own.
        target_modules: "attention" (query, key, value and output projections, as in the paper),
            "all-linear", or names as PEFT's LoraConfig takes them (ends of module paths).
        alpha_per_rank: alpha/r of every module.
        lora_alpha: Alternative to `alpha_per_rank`: alpha of the step of the largest rank.

    Returns:
        The plan; the same profile and arguments give the same plan.

    Raises:
        RankError: Unknown modules, limits that contradict each other or exceed every matrix, or
            a budget below the cost of `min_rank` everywhere.
        ConfigError: An unknown rule or rounding, a budget that cannot be read or that the rule
            does not spend, or a scale that is not positive.
    """
    rule = rule or ("paper" if budget is None else "budget")
    check_rule(
        rule=rule,
        budget=budget,
        rounding=rounding,
        min_rank=min_rank,
        max_rank=max_rank,
        alpha_per_rank=alpha_per_rank,
        lora_alpha=lora_alpha,
    )
    targets = select_modules(profile.modules, target_modules, left_out=profile.left_out)
    step_of = {module.name: profile.step_of(module) for module in targets}
    per_step = [[m for m in targets if step_of[m.name] == i] for i in range(len(profile.steps))]
    sides = [max(map(_smaller_side, modules), default=0) for modules in per_step]
    _check_limits(max(sides), min_rank=min_rank, max_rank=max_rank)
    ceilings = np.minimum(sides, max_rank or max(sides))
    # Whether a rank suffices is asked of what is needed, which no `max_rank` lowers.
    limits = RankLimits(min_rank, np.array(sides) if rule == "confident" else ceilings)
    costs = np.stack([_parameters(modules, max(sides)) for modules in per_step])

    spend = None
    ranks_of = partial(paper_ranks, profile, rounding=rounding, limits=limits)
    if budget is not None:
        number, is_rank = read_budget(budget)
        spend = int(costs[:, min(number, max(sides))].sum()) if is_rank else number
        ranks_of = partial(
            budget_ranks, profile, rounding=rounding, limits=limits, costs=costs, budget=spend
        )
    drawn = ranks_of(draw_dimensions(profile))
    if rule == "confident":
        chosen = np.minimum(sufficient_ranks(drawn), ceilings)
    else:
        (chosen,) = ranks_of(np.array([profile.dimensions], dtype=float))
    ranks: list[int] = chosen.tolist()

    if lora_alpha is not None:
        alpha_per_rank = lora_alpha / max(ranks)
    modules = {m.name: min(ranks[step_of[m.name]], _smaller_side(m)) for m in targets}
    parameters = [int(costs[step, rank]) for step, rank in enumerate(ranks)]
    return RankPlan(
        rule=rule,
        rounding=rounding,
        granularity=profile.granularity,
        blocks=profile.blocks,
        steps=profile.steps,
        bounds=lower_bounds(profile, rounding=rounding),
        ranks=tuple(ranks),
        rank_probabilities=rank_probabilities(drawn),
        modules=modules,
        alphas={name: whole(alpha_per_rank * rank) for name, rank in modules.items()},
        alpha_per_rank=alpha_per_rank,
        parameters=tuple(parameters),
        trainable_parameters=sum(parameters),
        budget=spend,
        fingerprint=profile.fingerprint,
        profile_hash=profile.content_hash(),
        data=profile.data,
    )


def _check_consistent(plan: RankPlan) -> None:
    """Check that a plan from a file says the same thing in all its fields.

    Raises:
        ArtifactError: It does not, as after an edit by hand.
    """
    if plan.rule not in RULES or plan.rounding not in ROUNDINGS:
        raise ArtifactError(
            f"The rank plan has rule {plan.rule!r} and rounding {plan.rounding!r}; the rules are "
            f"{', '.join(RULES)}, and dimensions are rounded {', '.join(ROUNDINGS)}."
        )
    per_step = ("bounds", "ranks", "rank_probabilities", "parameters")
    for name in per_step:
        if len(getattr(plan, name)) != len(plan.steps):
            raise ArtifactError(
                f"The rank plan has {len(plan.steps)} steps and {len(getattr(plan, name))} {name}."
            )
    if plan.steps != step_names(plan.blocks, plan.granularity):
        raise ArtifactError("The rank plan has steps that are not those of its blocks.")
    counts: tuple[Any, ...] = (
        *(*plan.ranks, *plan.bounds),
        *(*plan.parameters, *plan.modules.values()),
    )
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        raise ArtifactError("The rank plan has ranks, bounds or parameters that are no counts.")
    if plan.modules.keys() != plan.alphas.keys() or not plan.modules:
        raise ArtifactError("The rank plan has ranks and alphas of different modules, or of none.")
    if sum(plan.parameters) != plan.trainable_parameters:
        raise ArtifactError(
            f"The rank plan's parameters add up to {sum(plan.parameters):,}, and it says "
            f"{plan.trainable_parameters:,}."
        )
    _check_module_ranks(plan)


def _check_module_ranks(plan: RankPlan) -> None:
    """Check that modules have the ranks of their blocks, and alphas that go with these."""
    halves = len(plan.steps) // len(plan.blocks)
    for name, rank in plan.modules.items():
        block = next((i for i, path in enumerate(plan.blocks) if name.startswith(f"{path}.")), None)
        if block is None:
            raise ArtifactError(f"The rank plan has the module {name}, which is in no block.")
        ranks = plan.ranks[block * halves : (block + 1) * halves]
        # A module whose matrix is smaller than its block's rank has a smaller one.
        if not 1 <= rank <= max(ranks):
            raise ArtifactError(
                f"The rank plan gives {name} rank {rank} and its block {max(ranks)}: `ranks` and "
                "`modules` must agree, so plan again with min_rank, max_rank or a budget instead "
                "of editing the file."
            )
        if not math.isclose(plan.alphas[name], plan.alpha_per_rank * rank, rel_tol=1e-6):
            raise ArtifactError(
                f"The rank plan gives {name} alpha {plan.alphas[name]} and rank {rank}, and its "
                f"alpha per rank is {plan.alpha_per_rank}."
            )
    for step, rank in enumerate(plan.ranks):
        block = plan.blocks[step // halves]
        inside = [r for name, r in plan.modules.items() if name.startswith(f"{block}.")]
        if rank > 0 and (not inside or (halves == 1 and max(inside) != rank)):
            raise ArtifactError(
                f"The rank plan gives {plan.steps[step]} rank {rank}, and its modules have "
                f"{sorted(set(inside)) or 'none'}: `ranks` and `modules` must agree, so plan again "
                "instead of editing the file."
            )


def whole(number: float) -> int | float:
    """Return an int where the number is one, but for rounding: other readers than PEFT want ints.

    >>> whole(16 / 49 * 49), whole(1.5)
    (16, 1.5)
    """
    nearest = round(number)
    return nearest if math.isclose(number, nearest, rel_tol=1e-9) else float(number)


def _smaller_side(module: BlockModule) -> int:
    return min(module.in_features, module.out_features)


def _parameters(modules: Sequence[BlockModule], largest: int) -> Int[np.ndarray, " ranks"]:
    """Count A, (rank, in), and B, (out, rank), at the ranks 0 to the largest.

    No module's rank exceeds its smaller side.
    """
    ranks = np.arange(largest + 1)
    return sum(
        (np.minimum(ranks, _smaller_side(m)) * (m.in_features + m.out_features) for m in modules),
        start=np.zeros_like(ranks),
    )


def _check_limits(largest: int, **limits: int | None) -> None:
    for name, limit in limits.items():
        if limit is not None and limit > largest:
            raise RankError(
                f"{name} {limit} is above {largest}, the smaller side of the largest adapted "
                "matrix; no update of such a matrix has a higher rank."
            )
