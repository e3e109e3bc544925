"""What to know before training with a plan: plain sentences, for the tables and the report."""

from collections.abc import Mapping, Sequence

from gelora.dimension.profile import DimensionProfile, Verdict
from gelora.ranks.plan import RankPlan
from gelora.ranks.uncertainty import CONFIDENCE

MANY = 0.75
"""With rank 1 in this share of the blocks, the plan says little of where capacity is needed."""

COIN_TOSS = 0.5
"""A rank less likely than this is more likely another."""

OUTLIERS = 0.5
"""Where three coordinates carry more than this share of the variance, distances are theirs."""

REMEDIES: Mapping[Verdict, str] = {
    "noisy": "compare --estimator gride_8",
    "duplicated": "give texts that differ more",
    "too few samples": "measure on more texts: raise --num_samples, with --precision 0",
}


def plan_advice(plan: RankPlan, profile: DimensionProfile) -> tuple[str, ...]:
    """Return a sentence for each thing that a plan's reader may not expect; often none."""
    sentences = (
        _of_rank_one(plan),
        _of_coin_tosses(plan),
        _of_verdicts(plan, profile),
        *measurement_advice(profile),
        _of_bounds(plan),
        _of_idle_growth(plan),
        _of_money_left(plan, profile),
        _of_constant_levels(profile),
    )
    return tuple(sentence for sentence in sentences if sentence)


def measurement_advice(profile: DimensionProfile) -> tuple[str, ...]:
    """Return a sentence for each thing that any use of these dimensions should know of."""
    sentences = (_of_bias(profile), _of_outliers(profile))
    return tuple(sentence for sentence in sentences if sentence)


def asks_for_rank_one(plan: RankPlan) -> bool:
    """Whether a plan without a budget has rank 1 nearly everywhere, so that one is worth giving."""
    adapted = _adapted(plan)
    ones = [step for step in adapted if plan.ranks[step] == 1]
    return plan.budget is None and len(ones) >= MANY * len(adapted)


def _of_rank_one(plan: RankPlan) -> str:
    if not asks_for_rank_one(plan):
        return ""
    adapted = _adapted(plan)
    ones = [step for step in adapted if plan.ranks[step] == 1]
    rule = "the paper's rule" if plan.rule == "paper" else f"rule {plan.rule}"
    return (
        f"The dimension hardly grows in {len(ones)} of {len(adapted)} {_unit(plan)}, so "
        f"{rule} gives them rank 1, the least there is. For a larger adapter, shared out by "
        "the same growth, give a budget: --budget r=8."
    )


def _of_coin_tosses(plan: RankPlan) -> str:
    """Of the paper's rule only: a budget's ranks move by one and stay in proportion."""
    adapted = _adapted(plan)
    unsure = [step for step in adapted if plan.certainties[step] < COIN_TOSS]
    if plan.rule != "paper" or not unsure:
        return ""
    return (
        f"{len(unsure)} of {len(adapted)} ranks are more likely to be wrong than right, the first "
        f"that of {plan.steps[unsure[0]]} with probability {plan.certainties[unsure[0]]:.2f}: "
        f"--rank_rule confident takes ranks that suffice with probability {CONFIDENCE}, and more "
        "texts make them surer."
    )


def _of_verdicts(plan: RankPlan, profile: DimensionProfile) -> str:
    adapted = _adapted(plan)
    doubtful: dict[int, set[int]] = {}
    for step in adapted:
        after = profile.level_of(step)
        levels = {level for level in (after - 1, after) if profile.verdicts[level] in REMEDIES}
        if levels and not profile.has_constant_input(step):
            doubtful[step] = levels
    if not doubtful:
        return ""
    levels = sorted(set().union(*doubtful.values()))
    reasons = [
        f"{verdict} at {_list([profile.levels[i] for i in found])} ({remedy})"
        for verdict, remedy in REMEDIES.items()
        if (found := [level for level in levels if profile.verdicts[level] == verdict])
    ]
    return (
        f"{len(doubtful)} of {len(adapted)} ranks rest on doubtful dimensions: "
        f"{'; '.join(reasons)}."
    )


def _of_bias(profile: DimensionProfile) -> str:
    if not profile.biased_levels:
        return ""
    return (
        f"At {len(profile.biased_levels)} of {len(profile.levels)} levels the dimension is so high "
        "that its estimate may be biased, mostly downwards, and growth with it: trust which blocks "
        "grow more than others, not by how much."
    )


def _of_outliers(profile: DimensionProfile) -> str:
    shares = profile.top_variance_shares
    found = [level for level, share in enumerate(shares) if share > OUTLIERS]
    if not found or profile.states == "normalized":
        return ""
    return (
        f"Three coordinates alone carry up to {100 * max(shares):.0f} % of the variance at "
        f"{_list([profile.levels[level] for level in found])}, so the distances there are mostly "
        "theirs: compare --states normalized."
    )


def _of_bounds(plan: RankPlan) -> str:
    adapted = _adapted(plan)
    below = [step for step in adapted if plan.ranks[step] < plan.bounds[step]]
    if not below:
        return ""
    first = below[0]
    return (
        f"The limits set leave {len(below)} of {len(adapted)} {_unit(plan)} below the paper's "
        f"lower bound, the first {plan.steps[first]} with rank {plan.ranks[first]} for "
        f"{plan.bounds[first]}."
    )


def _of_idle_growth(plan: RankPlan) -> str:
    """Of halves only: that a whole block has no adapter was asked for by name."""
    idle = [i for i, rank in enumerate(plan.ranks) if rank == 0 and plan.bounds[i] > 0]
    if plan.granularity == "block" or not idle:
        return ""
    return (
        f"The dimension grows in {_list([plan.steps[step] for step in idle])}, where no module is "
        "adapted: --target_modules all-linear adapts both halves of a block."
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


def _of_constant_levels(profile: DimensionProfile) -> str:
    steps = [step for i, step in enumerate(profile.steps) if profile.has_constant_input(i)]
    if not steps:
        return ""
    return (
        f"What {' and '.join(steps)} begins from takes few values with {profile.pooling} pooling, "
        "so no growth is counted there."
    )


def _adapted(plan: RankPlan) -> list[int]:
    return [step for step, rank in enumerate(plan.ranks) if rank > 0]


def _unit(plan: RankPlan) -> str:
    return "blocks" if plan.granularity == "block" else "half blocks"


def _list(names: Sequence[str]) -> str:
    """Name the first three, and count the others.

    >>> _list(["a", "b"]), _list(["a", "b", "c", "d", "e"])
    ('a and b', 'a, b, c and 2 more')
    """
    *most, last = names if len(names) <= 3 else [*names[:3], f"{len(names) - 3} more"]
    return f"{', '.join(most)} and {last}" if most else last
