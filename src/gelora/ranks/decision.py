"""Which ranks to use, why, and how sure that is: the same sentences for every reader.

Values in, sentences out. The command line, the report and the model card show them.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gelora.dimension.diagnostics import DOUBTFUL
from gelora.dimension.drift import verdict_word
from gelora.dimension.profile import DimensionProfile
from gelora.ranks.advice import (
    adapted_sublayers,
    clear_changes,
    likely_range,
    list_some,
    unit,
)
from gelora.ranks.plan import RankPlan

BOUND_CLAIM = (
    "Where the dimension grows by k in a block, the paper proves that at least k parameters have "
    "to be adapted there; that a LoRA of rank k + 1 suffices is a rule of thumb."
)
"""The only wording of what the growth of the dimension says about parameters and ranks."""

MOST_NAMED = 2
"""Number of sublayers up to which their increments are listed; more are counted."""

SMALL_RANK = 2
"""Largest rank to which the learning rates searched at ranks 1 and 2 are said to apply."""

SEARCHED_RATES: Mapping[int, Mapping[float, float]] = MappingProxyType(
    {
        1: MappingProxyType({3e-4: 0.555, 1e-3: 0.710, 3e-3: 0.785, 1e-2: 0.775}),
        2: MappingProxyType({3e-4: 0.555, 1e-3: 0.790, 3e-3: 0.810, 1e-2: 0.770}),
        8: MappingProxyType({3e-4: 0.555, 1e-3: 0.800, 3e-3: 0.815, 1e-2: 0.555}),
    }
)
"""Accuracy of LoRA on SST-2 by rank and learning rate, from experiments/minilm-glue/trials.jsonl:
all-MiniLM-L6-v2, AdamW, alpha/rank 2, one run each, scored on 200 texts held out."""


def rank_decision(plan: RankPlan, profile: DimensionProfile | None = None) -> tuple[str, ...]:
    """Return which ranks to use, how the dimension grows, and how sure the ranks are.

    Args:
        plan: The ranks.
        profile: The dimensions the plan was made from; without them the growth is left out.
    """
    sentences = (_ranks_to_use(plan), _growth(plan, profile), _certainty(plan, profile))
    return tuple(sentence for sentence in sentences if sentence)


def learning_rate_advice(plan: RankPlan) -> str:
    """Return which learning rates to try with a plan's ranks, and what that rests on."""
    first, last = SEARCHED_RATES[1], SEARCHED_RATES[8]
    if max(plan.ranks) <= SMALL_RANK:
        advice = "Small ranks need larger steps: try --learning_rate 0.003, too."
    else:
        advice = "Try --learning_rate 0.001 and 0.003, and lower rates for larger ranks."
    return (
        f"The default is --learning_rate 0.001. {advice} On all-MiniLM-L6-v2 with SST-2, rank 1 "
        f"scored {first[1e-3]:.3f} at 0.001, {first[3e-3]:.3f} at 0.003 and {first[1e-2]:.3f} at "
        f"0.01, and rank 8 scored {last[1e-3]:.3f}, {last[3e-3]:.3f} and {last[1e-2]:.3f} (one run "
        "each, ± 0.03; docs/training.md)."
    )


def _ranks_to_use(plan: RankPlan) -> str:
    adapted = adapted_sublayers(plan)
    ranks = [plan.ranks[sublayer] for sublayer in adapted]
    low, high = min(ranks), max(ranks)
    whole = len(adapted) == len(plan.sublayers)
    where = f"{'all' if whole else 'the'} {len(adapted)} {'' if whole else 'adapted '}{unit(plan)}"
    if len(adapted) == 1:
        where = plan.sublayers[adapted[0]]
    if low < high:
        highest = [plan.sublayers[sublayer] for sublayer in adapted if plan.ranks[sublayer] == high]
        mean = sum(ranks) / len(ranks)
        return (
            f"Use ranks of {low} to {high} in {where} ({mean:.1f} on average); {high} in "
            f"{list_some(highest)}."
        )
    use = f"Use rank {high} in {where}"
    if set(plan.modules.values()) != {high}:
        return f"{use}, and less in modules whose matrices are smaller."
    if len(adapted) == 1:
        return f"{use}."
    if plan.settings.rule == "budget":
        return (
            f"{use}: the growth gives no block more than the others, so this budget is uniform "
            f"LoRA of rank {high}."
        )
    if len({plan.bounds[sublayer] for sublayer in adapted}) == 1:
        return f"{use}. No block needs more than the others: this is plain LoRA of rank {high}."
    return f"{use}. All ranks come out equal: this is plain LoRA of rank {high}."


def _growth(plan: RankPlan, profile: DimensionProfile | None) -> str:
    if profile is None:
        return ""
    sublayers = [
        sublayer for sublayer in adapted_sublayers(plan) if not profile.has_constant_input(sublayer)
    ]
    if not sublayers:
        return ""
    rising, falling = clear_changes(profile, sublayers)
    grows = _changes(profile, rising) if rising else "none"
    falls = f" and falls in {_changes(profile, falling)}" if falling else ""
    sentence = (
        f"Of {len(sublayers)} adapted {unit(plan)}, the dimension grows in {grows}{falls} by "
        "more than two standard errors."
    )
    if rising or len({plan.ranks[sublayer] for sublayer in sublayers}) == 1:
        return sentence
    return f"{sentence} So the ranks differ within the errors, and equal ranks are as well founded."


def _changes(profile: DimensionProfile, sublayers: Sequence[int]) -> str:
    """Name up to two sublayers with their increments: "layer.5 (-3.03 ± 0.30)"; count more."""
    if len(sublayers) > MOST_NAMED:
        return str(len(sublayers))
    return " and ".join(
        f"{profile.sublayers[sublayer]} ({profile.increments[sublayer]:+.2f} ± "
        f"{profile.increment_standard_errors[sublayer]:.2f})"
        for sublayer in sublayers
    )


def _certainty(plan: RankPlan, profile: DimensionProfile | None) -> str:
    adapted = adapted_sublayers(plan)
    if plan.settings.rule == "budget":
        ranges = {sublayer: likely_range(plan, sublayer) for sublayer in adapted}
        widest = max(adapted, key=lambda sublayer: ranges[sublayer][1] - ranges[sublayer][0])
        low, high = ranges[widest]
        sure = "nine times in ten each rank stays as it is"
        if low < high:
            sure = (
                "nine times in ten each rank stays within its range, the widest "
                f"{low} to {high} in {plan.sublayers[widest]}"
            )
    else:
        least = min(adapted, key=lambda sublayer: plan.certainties[sublayer])
        what = "suffices for the rule" if plan.settings.rule == "confident" else "comes out again"
        sure = (
            f"each rank {what} with a probability of at least {plan.certainties[least]:.2f}, the "
            f"least in {plan.sublayers[least]}"
        )
    sentence = f"With the dimensions anywhere within their errors, {sure}."
    if profile is None:
        return sentence
    doubtful = sum(verdict in DOUBTFUL for verdict in profile.verdicts)
    words = [verdict_word(profile, layer) for layer in range(len(profile.layers))]
    drifting = words.count("drifting")
    biased = len(profile.biased_layers)
    doubts = [f"the dimension is doubtful at {doubtful}"] if doubtful else []
    doubts += [f"the dimension drifts with the number of texts at {drifting}"] if drifting else []
    doubts += [f"bias may matter at {biased}"] if biased else []
    if not doubts:
        return sentence
    return (
        f"{sentence} That covers chance alone: {list_some(doubts)} of {len(profile.layers)} layers."
    )
