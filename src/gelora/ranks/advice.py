"""Warnings about a plan or a measurement, in words, for the tables and the report."""

from collections.abc import Callable, Sequence
from itertools import accumulate

from gelora.dimension.diagnostics import DOUBTFUL, advice_on
from gelora.dimension.profile import NOT_LINEAR, DimensionProfile, LeftOut
from gelora.ranks.plan import RankPlan
from gelora.ranks.uncertainty import CONFIDENCE

MANY = 0.75
"""With rank 1 in this share of the blocks, the plan says little of where capacity is needed."""

COIN_TOSS = 0.5
"""A rank less likely than this is more likely another."""

OUTLIERS = 0.5
"""Where three coordinates carry more than this share of the variance, distances are theirs."""

CLEAR_ERRORS = 2.0
"""Standard errors that a change must exceed to be called a rise or a fall."""

CERTAINTY_HEADINGS = {"paper": "P(rank)", "confident": "P(enough)", "budget": "90 % range"}
"""What `certainty` gives under each rule."""

TAIL = 0.05
"""Share of the draws on either side of the range that a budget's rank is given with."""


def plan_advice(plan: RankPlan, profile: DimensionProfile) -> tuple[str, ...]:
    """Return a sentence for each thing that a plan's reader may not expect; often none.

    What any use of the dimensions should know of is left to `measurement_advice`.
    """
    sentences = (
        _of_rank_one(plan, profile),
        _of_coin_tosses(plan),
        _of_verdicts(plan, profile),
        _of_bounds(plan),
        _of_idle_growth(plan),
        _of_money_left(plan, profile),
        _of_left_out(plan, profile),
        _of_constant_layers(profile),
    )
    return tuple(sentence for sentence in sentences if sentence)


def measurement_advice(
    profile: DimensionProfile, *, listed: Callable[[Sequence[int]], str] | None = None
) -> tuple[str, ...]:
    """Return a sentence for each thing that any use of these dimensions should know of.

    Args:
        profile: The dimensions.
        listed: Names layers, given their indices; by default as the profile does.
    """
    listed = listed or (lambda layers: list_some([profile.layers[layer] for layer in layers]))
    sentences = (_of_bias(profile, listed), _of_outliers(profile, listed))
    return tuple(sentence for sentence in sentences if sentence)


def certainty(plan: RankPlan, sublayer: int) -> str:
    """Return how sure a sublayer's rank is, given the errors of the dimensions; "" without a rank.

    It is the rank's probability, with rule "confident" that of being enough, and with a budget,
    where a rank more or less means little, the range that holds nine tenths of the probability.
    """
    if plan.ranks[sublayer] == 0:
        return ""
    if plan.settings.rule != "budget":
        return f"{plan.certainties[sublayer]:.2f}"
    low, high = likely_range(plan, sublayer)
    return f"{low}–{high}"


def likely_range(plan: RankPlan, sublayer: int) -> tuple[int, int]:
    """Return the ranks of a sublayer between which nine tenths of the probability lie."""
    probabilities = plan.rank_probabilities[sublayer]
    below = dict(zip(probabilities, accumulate(probabilities.values()), strict=True))
    low = next(rank for rank, share in below.items() if share >= TAIL)
    high = next(rank for rank, share in below.items() if share >= 1 - TAIL)
    return low, high


def adapted_sublayers(plan: RankPlan) -> list[int]:
    """Return the indices of the sublayers that have adapters."""
    return [sublayer for sublayer, rank in enumerate(plan.ranks) if rank > 0]


def clear_changes(
    profile: DimensionProfile, sublayers: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return those of the sublayers in which the dimension clearly rises, and clearly falls.

    A change is clear if it exceeds two standard errors. Steps out of a constant layer do not count.
    """
    changes = {
        sublayer: profile.increments[sublayer]
        for sublayer in sublayers
        if not profile.has_constant_input(sublayer)
        and abs(profile.increments[sublayer])
        > CLEAR_ERRORS * profile.increment_standard_errors[sublayer]
    }
    rising = tuple(sublayer for sublayer, change in changes.items() if change > 0)
    return rising, tuple(sublayer for sublayer in changes if sublayer not in rising)


def unit(plan: RankPlan) -> str:
    """Return what the sublayers of a plan are, in the plural."""
    return "blocks" if plan.granularity == "block" else "half blocks"


def list_some(names: Sequence[str]) -> str:
    """Name the first three, and count the others.

    >>> list_some(["a", "b"]), list_some(["a", "b", "c", "d", "e"])
    ('a and b', 'a, b, c and 2 more')
    """
    *most, last = names if len(names) <= 3 else [*names[:3], f"{len(names) - 3} more"]
    return f"{', '.join(most)} and {last}" if most else last


def asks_for_rank_one(plan: RankPlan) -> bool:
    """Whether a plan without a budget has rank 1 nearly everywhere, so that one is worth giving."""
    return plan.budget is None and len(_flat(plan)) >= MANY * len(adapted_sublayers(plan))


def _of_rank_one(plan: RankPlan, profile: DimensionProfile) -> str:
    if not asks_for_rank_one(plan):
        return ""
    rule = "the paper's rule" if plan.settings.rule == "paper" else f"rule {plan.settings.rule}"
    rising, _ = clear_changes(profile, adapted_sublayers(plan))
    shared = "shared out by the same growth" if rising else "close to uniform LoRA of rank 8"
    return (
        f"The dimension grows by less than one in {len(_flat(plan))} of "
        f"{len(adapted_sublayers(plan))} {unit(plan)}, so {rule} gives them rank 1, the smallest. "
        "Whether rank 1 is enough for the task is not measured by this. For a larger adapter, "
        f"{shared}, plan with --rank_rule budget --budget r=8."
    )


def _of_coin_tosses(plan: RankPlan) -> str:
    """Of the paper's rule only: a budget's ranks move by one and stay in proportion."""
    adapted = adapted_sublayers(plan)
    unsure = [sublayer for sublayer in adapted if plan.certainties[sublayer] < COIN_TOSS]
    if plan.settings.rule != "paper" or not unsure:
        return ""
    return (
        f"{len(unsure)} of {len(adapted)} ranks are more likely to be wrong than right, the first "
        f"that of {plan.sublayers[unsure[0]]} with probability {plan.certainties[unsure[0]]:.2f}: "
        f"--rank_rule confident takes ranks that suffice with probability {CONFIDENCE}, and more "
        "texts make them surer."
    )


def _of_verdicts(plan: RankPlan, profile: DimensionProfile) -> str:
    adapted = adapted_sublayers(plan)
    doubtful: dict[int, set[int]] = {}
    for sublayer in adapted:
        after = profile.layer_of(sublayer)
        layers = {layer for layer in (after - 1, after) if profile.verdicts[layer] in DOUBTFUL}
        if layers and not profile.has_constant_input(sublayer):
            doubtful[sublayer] = layers
    if not doubtful:
        return ""
    layers = sorted(set[int]().union(*doubtful.values()))
    reasons = [
        f"{verdict} at {list_some([profile.layers[i] for i in at_layers])} "
        f"({advice_on(verdict, estimator=profile.settings.estimator)})"
        for verdict in DOUBTFUL
        if (at_layers := [layer for layer in layers if profile.verdicts[layer] == verdict])
    ]
    return (
        f"{len(doubtful)} of {len(adapted)} ranks rest on doubtful dimensions: "
        f"{'; '.join(reasons)}."
    )


def _of_bias(profile: DimensionProfile, listed: Callable[[Sequence[int]], str]) -> str:
    if not profile.biased_layers:
        return ""
    return (
        f"At {listed(profile.biased_layers)} the dimension is so high that its estimate may be "
        "biased, mostly downwards, and growth with it: compare blocks with each other, and do "
        "not read the numbers as exact (docs/accuracy.md)."
    )


def _of_outliers(profile: DimensionProfile, listed: Callable[[Sequence[int]], str]) -> str:
    shares = profile.top_variance_shares
    layers = [layer for layer, share in enumerate(shares) if share > OUTLIERS]
    if not layers or profile.settings.states == "normalized":
        return ""
    return (
        f"Three coordinates alone carry up to {100 * max(shares):.0f} % of the variance at "
        f"{listed(layers)}, so the distances there are mostly theirs: compare --states normalized."
    )


def _of_bounds(plan: RankPlan) -> str:
    adapted = adapted_sublayers(plan)
    below = [sublayer for sublayer in adapted if plan.ranks[sublayer] < plan.bounds[sublayer]]
    if not below:
        return ""
    first = below[0]
    return (
        f"The limits set give {len(below)} of {len(adapted)} {unit(plan)} a rank below the growth "
        f"of the dimension, the first {plan.sublayers[first]} with rank {plan.ranks[first]} for a "
        f"growth by {plan.bounds[first]}."
    )


def _of_idle_growth(plan: RankPlan) -> str:
    """Of halves only: that a whole block has no adapter was asked for by name."""
    idle = [i for i, rank in enumerate(plan.ranks) if rank == 0 and plan.bounds[i] > 0]
    if plan.granularity == "block" or not idle:
        return ""
    sublayers = list_some([plan.sublayers[sublayer] for sublayer in idle])
    return (
        f"The dimension grows in {sublayers}, where no module is adapted: "
        "--target_modules all-linear adapts both halves of a block."
    )


def _of_money_left(plan: RankPlan, profile: DimensionProfile) -> str:
    adapted = [module for module in profile.modules if module.name in plan.modules]
    sublayer = sum(module.in_features + module.out_features for module in adapted)
    left = (plan.budget or 0) - plan.trainable_parameters
    if plan.budget is None or left < sublayer:
        return ""
    return (
        f"{left:,} of the budget's {plan.budget:,} parameters are not spent: every block has the "
        "largest rank that it may have."
    )


def _of_left_out(plan: RankPlan, profile: DimensionProfile) -> str:
    """Of the weights that no adapter can be put on, where more than attention is adapted."""
    adapted = [module for module in profile.modules if module.name in plan.modules]
    is_whole = len(adapted) == len(profile.modules)
    adapts_all = is_whole or any(module.role == "mlp" for module in adapted)
    parts = [part for part in profile.left_out if adapts_all or part.reason != NOT_LINEAR]
    if not parts:
        return ""
    left = sum(part.weights for part in parts)
    linear = sum(module.in_features * module.out_features for module in profile.modules)
    total = linear + sum(part.weights for part in profile.left_out)
    named = list_some([f"{part.name} ({part.reason})" for part in parts])
    experts = [part.name for part in parts if _is_of_experts(part)]
    advice = f" --target_parameters {' '.join(experts)} adapts the experts, too." if experts else ""
    return f"{100 * left / total:.0f} % of the blocks' weights get no adapter: {named}.{advice}"


def _is_of_experts(part: LeftOut) -> bool:
    """Say whether a part is all experts' matrices in one parameter."""
    is_bias = part.name.endswith("bias")
    return "experts." in part.name and part.reason == NOT_LINEAR and not is_bias


def _of_constant_layers(profile: DimensionProfile) -> str:
    sublayers = [
        sublayer for i, sublayer in enumerate(profile.sublayers) if profile.has_constant_input(i)
    ]
    if not sublayers:
        return ""
    return (
        f"What {' and '.join(sublayers)} begins from takes few values with "
        f"{profile.settings.pooling} pooling, so no growth is counted there."
    )


def _flat(plan: RankPlan) -> list[int]:
    """Return the sublayers of rank 1 that ask for no more; a limit may give others that rank."""
    return [
        sublayer
        for sublayer in adapted_sublayers(plan)
        if plan.ranks[sublayer] == 1 and plan.bounds[sublayer] == 0
    ]
