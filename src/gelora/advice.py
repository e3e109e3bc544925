"""What to know of a plan before training with it: plain sentences, for the table and the report."""

from gelora.dimension.profile import DimensionProfile
from gelora.ranks import RankPlan

MANY = 0.75
"""With rank 1 in this share of the blocks, the plan says little of where capacity is needed."""


def plan_advice(plan: RankPlan, profile: DimensionProfile) -> tuple[str, ...]:
    """Return a sentence for each thing that a plan's reader may not expect; often none."""
    sentences = (
        _of_rank_one(plan),
        _of_bounds(plan),
        _of_money_left(plan, profile),
        _of_constant_levels(plan, profile),
    )
    return tuple(sentence for sentence in sentences if sentence)


def asks_for_rank_one(plan: RankPlan) -> bool:
    """Whether the paper's rule asks for rank 1 nearly everywhere, so that a budget is worth it."""
    adapted = [rank for rank in plan.ranks if rank > 0]
    return plan.rule == "paper" and adapted.count(1) >= MANY * len(adapted)


def _of_rank_one(plan: RankPlan) -> str:
    if not asks_for_rank_one(plan):
        return ""
    adapted = [rank for rank in plan.ranks if rank > 0]
    return (
        f"The dimension hardly grows in {adapted.count(1)} of {len(adapted)} blocks, so the "
        "paper's rule gives them rank 1, the least there is. For a larger adapter, shared out by "
        "the same growth, give a budget: --budget r=8."
    )


def _of_bounds(plan: RankPlan) -> str:
    below = [i for i, rank in enumerate(plan.ranks) if 0 < rank < plan.bounds[i]]
    if not below:
        return ""
    first = below[0]
    return (
        f"The limits set leave {len(below)} of {len(plan.blocks)} blocks below the paper's lower "
        f"bound, the first {plan.blocks[first]} with rank {plan.ranks[first]} for "
        f"{plan.bounds[first]}."
    )


def _of_money_left(plan: RankPlan, profile: DimensionProfile) -> str:
    adapted = [module for module in profile.modules if module.name in plan.modules]
    step = sum(module.in_features + module.out_features for module in adapted)
    left = (plan.budget or 0) - plan.trainable_parameters
    if plan.budget is None or left < step:
        return ""
    return (
        f"{left:,} of the budget's {plan.budget:,} parameters are not spent: every block has the "
        "largest rank that it may have."
    )


def _of_constant_levels(plan: RankPlan, profile: DimensionProfile) -> str:
    blocks = [block for i, block in enumerate(plan.blocks) if profile.has_constant_input(i)]
    if not blocks:
        return ""
    return (
        f"What {' and '.join(blocks)} begins from takes few values with {profile.pooling} pooling, "
        "so no growth is counted there."
    )
