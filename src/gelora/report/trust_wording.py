"""What the report says of how far the dimensions are to be trusted: sentences, no markup.

Every function turns a profile or a plan into words; nothing is measured, drawn or written here.
"""

import math
from functools import partial

from gelora.dimension.drift import Drift, find_drift, verdict_word
from gelora.dimension.profile import DimensionProfile
from gelora.dimension.remedies import REMEDIES, advice_on
from gelora.dimension.verdicts import MAX_DISAGREEMENT
from gelora.ranks import RankPlan
from gelora.ranks.advice import (
    CERTAINTY_HEADINGS,
    certainty,
    likely_range,
    measurement_advice,
    unit,
)
from gelora.ranks.uncertainty import CONFIDENCE
from gelora.report.stacks import level_names
from gelora.report.trust_figures import estimator_label
from gelora.report.wording import join, list_levels

NEAREST = ("twonn_line", "twonn_likelihood")
"""The estimators on the two nearest neighbours, which every profile holds."""

BENT = 0.1
"""Distance of samples and fitted law from which the report asks for caution: clean manifolds show
at most 0.03 with 2,000 samples and 0.06 with 300."""


DRIFTING = (
    "holds on halves and quarters of the samples within chance and the usual bias, but moves by "
    "more than a tenth over all sizes"
)
"""What "drifting" means; goes on from "the dimension"."""


def verdict_sentence(profile: DimensionProfile) -> str:
    """Return how often each verdict was given, where the dimension drifts, and the bias."""
    words = [verdict_word(profile, level) for level in range(len(profile.levels))]
    counts = {word: words.count(word) for word in (*REMEDIES, "drifting")}
    (word, count), *others = [(word, count) for word, count in counts.items() if count]
    total = len(words)
    if others:
        first = f"{word} at {count} of {total} levels"
        listed = join([first, *(f"{word} at {count}" for word, count in others)])
        sentence = f"Verdicts on the dimension: {listed}"
    else:
        sentence = f"Verdict on the dimension: {word} at all {total} levels"
    if drifts := _drifts(profile):
        level = max(drifts, key=lambda level: abs(drifts[level].share))
        sentence += f"; it moves most at {level_names(profile)[level]}, where it {drifts[level]}"
    if profile.biased_levels:
        sentence += f"; at {len(profile.biased_levels)} it is high enough to be biased"
    return f"{sentence}."


def verdict_notes(profile: DimensionProfile) -> list[tuple[str, str]]:
    """Return every verdict that occurs, what it means, where it occurs and what to do."""
    words = [verdict_word(profile, level) for level in range(len(profile.levels))]
    notes: list[tuple[str, str]] = []
    for verdict, remedy in REMEDIES.items():
        levels = [level for level, word in enumerate(words) if word == verdict]
        if levels:
            advice = advice_on(verdict, estimator=profile.estimator)
            where = f" It is so at {list_levels(profile, levels)}: {advice}." if advice else ""
            notes.append((verdict, f"The dimension {remedy.seen}.{where}"))
    if drifts := _drifts(profile):
        names = level_names(profile)
        moved = join([f"at {names[level]} it {drift}" for level, drift in drifts.items()])
        advice = "Compare only dimensions from the same number of texts"
        notes.append(("drifting", f"The dimension {DRIFTING}: {moved}. {advice}."))
    return notes


def _drifts(profile: DimensionProfile) -> dict[int, Drift]:
    """Return the drift of every level that is stable by its verdict and drifting in words."""
    return {
        level: drift
        for level, verdict in enumerate(profile.verdicts)
        if verdict == "stable" and (drift := find_drift(profile.decimation, level)) is not None
    }


def stop_sentence(profile: DimensionProfile) -> str:
    """Return how many texts were measured, and why no more."""
    stopped = f"Measuring stopped after {profile.num_texts:,} texts"
    largest = profile.largest_increment_error
    asked = f"{profile.precision:g} was asked for" if profile.precision else ""
    if profile.stopped_by == "precision":
        return (
            f"{stopped}, with a standard error of {largest:.2g} or less in every increment that "
            f"counts; {asked}."
        )
    if profile.stopped_by == "stable_ranks":
        return f"{stopped}: the ranks had stayed the same over three growths of their number."
    every = f"{profile.num_texts:,} texts were measured: all that were asked for, or all there are."
    if not asked:
        return every
    return (
        f"{every} The largest standard error of an increment that counts is {largest:.2g}; {asked}."
    )


def samples_sentence(profile: DimensionProfile) -> str:
    """Return how many texts the estimates rest on, and which were set aside."""
    states = {"raw": "states as each block returns them", "normalized": "normalized states"}
    how = f"at every level: {states[profile.states]}, with {profile.pooling} pooling"
    copies = profile.num_duplicates + profile.num_near_duplicates
    if copies == 0:
        return f"No text repeats another, and all {profile.num_used:,} are used {how}."
    share = 100 * copies / profile.num_texts
    return (
        f"{profile.num_duplicates:,} exact copies and {profile.num_near_duplicates:,} copies up to "
        f"rounding were set aside ({share:.1f} %); the same {profile.num_used:,} are used {how}."
    )


def measurement_sentences(profile: DimensionProfile) -> tuple[str, ...]:
    """Return what any use of these dimensions should know of, with the levels in words."""
    return measurement_advice(profile, listed=partial(list_levels, profile))


def chances_sentence(profile: DimensionProfile, plan: RankPlan) -> str:
    """Return how sure the ranks are, and which is least so."""
    adapted = [step for step, rank in enumerate(plan.ranks) if rank > 0]
    names = level_names(profile)
    if plan.rule == "budget":
        ranges = {step: likely_range(plan, step) for step in adapted}
        widest = max(adapted, key=lambda step: ranges[step][1] - ranges[step][0])
        return (
            "With the dimensions anywhere within their errors, the same budget gives each of the "
            f"{len(adapted)} {unit(plan)} a rank within its 90 % range nine times in "
            f"ten; the widest is {certainty(plan, widest)}, about rank {plan.ranks[widest]} of "
            f"{names[profile.level_of(widest)]}."
        )
    sure = sum(plan.certainties[step] >= CONFIDENCE for step in adapted)
    least = min(adapted, key=lambda step: plan.certainties[step])
    is_what = "suffices" if plan.rule == "confident" else "is the same"
    return (
        f"With the dimensions anywhere within their errors, the rank {is_what} with a probability "
        f"of {CONFIDENCE} or more in {sure} of {len(adapted)} {unit(plan)}; the least sure "
        f"is rank {plan.ranks[least]} of {names[profile.level_of(least)]}, with "
        f"{certainty(plan, least)}."
    )


def certainty_note(plan: RankPlan) -> str:
    """Return what the table's column of how sure a rank is means."""
    what = {
        "paper": "is the probability that the dimensions, within their errors, lead to this rank",
        "confident": "is the probability that the dimensions, within their errors, lead to this "
        "rank or a smaller one",
        "budget": "holds nine tenths of the ranks that the dimensions, within their errors, lead "
        "to with this budget",
    }
    return f"{CERTAINTY_HEADINGS[plan.rule]} {what[plan.rule]}."


def agreement_sentence(profile: DimensionProfile) -> str:
    """Return how far the two estimates by the nearest neighbours differ."""
    line, likelihood = (profile.series[name].dimensions for name in NEAREST)
    gap, level = _widest_gap(profile, line, likelihood)
    if gap == 0:
        return ""
    values = sorted((line[level], likelihood[level]), reverse=True)
    where = level_names(profile)[level]
    says = f"{100 * gap:.0f} % ({values[0]:.2f} and {values[1]:.2f}) at {where}"
    if gap <= MAX_DISAGREEMENT:
        return f"Line fit and maximum likelihood agree: they differ most, by {says}."
    return (
        f"Be careful: line fit and maximum likelihood differ by {says}. Texts that nearly repeat "
        "each other, or noise, are the usual cause; the ranks are then no surer than that."
    )


def farther_sentence(profile: DimensionProfile) -> str:
    """Return how far the estimators that look farther differ from the line, or ""."""
    line = profile.series["twonn_line"].dimensions
    gaps = {
        name: _widest_gap(profile, line, one.dimensions)
        for name, one in sorted(profile.series.items())
        if name not in NEAREST
    }
    if not gaps:
        return ""
    name = max(gaps, key=lambda name: gaps[name][0])
    gap, level = gaps[name]
    found = profile.series[name].dimensions[level]
    cause = "Lower is usual: far neighbours feel more of edges and curvature, and less of noise."
    if found > line[level]:
        cause = "Higher is what texts give that have a close relative among the others."
    return (
        f"Looking at farther neighbours changes the dimension by up to {100 * gap:.0f} %, to "
        f"{found:.2f} ({estimator_label(name)}) from {line[level]:.2f} at "
        f"{level_names(profile)[level]}. {cause}"
    )


def _widest_gap(
    profile: DimensionProfile, ours: tuple[float, ...], theirs: tuple[float, ...]
) -> tuple[float, int]:
    """Return the largest difference where levels vary, as a share of the smaller, and where."""
    pairs = enumerate(zip(ours, theirs, strict=True))
    gaps = [
        (abs(a - b) / min(a, b), -level)
        for level, (a, b) in pairs
        if level not in profile.constant_levels
    ]
    gap, level = max(gaps, default=(0.0, 0))
    return gap, -level


def fit_sentence(profile: DimensionProfile) -> str:
    """Return how far the samples are from the law that was fitted to them, at the worst level."""
    names, gaps = level_names(profile), dict[int, float]()
    dimensions = profile.series["twonn_line"].dimensions
    for level, log_mu in enumerate(profile.log_mu_quantiles):
        shares = [(index + 0.5) / len(log_mu) for index in range(len(log_mu))]
        gaps[level] = max(
            (
                abs(share - (1 - math.exp(-dimensions[level] * x)))
                for share, x in zip(shares, log_mu, strict=True)
                if share <= 1 - profile.discard_fraction
            ),
            default=0.0,
        )
    worst = max(gaps, key=lambda level: (gaps[level], -level))
    gap = f"line and samples differ by up to {100 * gaps[worst]:.1f} percentage points of F"
    if gaps[worst] <= BENT:
        return f"The fits are straight: {gap}, at {names[worst]}."
    return (
        f"Be careful: the fits below bend: {gap}, at {names[worst]}; one manifold gives a "
        "few. Texts with a close relative among the others bend them so, and the dimension is "
        "then an average over unlike texts."
    )
