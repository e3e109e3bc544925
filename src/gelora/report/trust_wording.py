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
from gelora.report.stacks import layer_names
from gelora.report.trust_figures import estimator_label
from gelora.report.wording import join, list_layers

NEAREST = ("twonn_linfit", "twonn_mle")
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
    words = [verdict_word(profile, layer) for layer in range(len(profile.layers))]
    counts = {word: words.count(word) for word in (*REMEDIES, "drifting")}
    (word, count), *others = [(word, count) for word, count in counts.items() if count]
    total = len(words)
    if others:
        first = f"{word} at {count} of {total} layers"
        listed = join([first, *(f"{word} at {count}" for word, count in others)])
        sentence = f"Verdicts on the dimension: {listed}"
    else:
        sentence = f"Verdict on the dimension: {word} at all {total} layers"
    if drifts := _drifts(profile):
        layer = max(drifts, key=lambda layer: abs(drifts[layer].share))
        sentence += f"; it moves most at {layer_names(profile)[layer]}, where it {drifts[layer]}"
    if profile.biased_layers:
        sentence += f"; at {len(profile.biased_layers)} it is high enough to be biased"
    return f"{sentence}."


def verdict_notes(profile: DimensionProfile) -> list[tuple[str, str]]:
    """Return every verdict that occurs, what it means, where it occurs and what to do."""
    words = [verdict_word(profile, layer) for layer in range(len(profile.layers))]
    notes: list[tuple[str, str]] = []
    for verdict, remedy in REMEDIES.items():
        layers = [layer for layer, word in enumerate(words) if word == verdict]
        if layers:
            advice = advice_on(verdict, estimator=profile.settings.estimator)
            where = f" It is so at {list_layers(profile, layers)}: {advice}." if advice else ""
            notes.append((verdict, f"The dimension {remedy.seen}.{where}"))
    if drifts := _drifts(profile):
        names = layer_names(profile)
        moved = join([f"at {names[layer]} it {drift}" for layer, drift in drifts.items()])
        advice = "Compare only dimensions from the same number of texts"
        notes.append(("drifting", f"The dimension {DRIFTING}: {moved}. {advice}."))
    return notes


def _drifts(profile: DimensionProfile) -> dict[int, Drift]:
    """Return the drift of every layer that is stable by its verdict and drifting in words."""
    return {
        layer: drift
        for layer, verdict in enumerate(profile.verdicts)
        if verdict == "stable" and (drift := find_drift(profile.decimation, layer)) is not None
    }


def stop_sentence(profile: DimensionProfile) -> str:
    """Return how many texts were measured, and why no more."""
    stopped = f"Measuring stopped after {profile.num_texts:,} texts"
    largest = profile.largest_increment_error
    asked = f"{profile.settings.precision:g} was asked for" if profile.settings.precision else ""
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
    settings = profile.settings
    how = f"at every layer: {states[settings.states]}, with {settings.pooling} pooling"
    copies = profile.num_duplicates + profile.num_near_duplicates
    if copies == 0:
        return f"No text repeats another, and all {profile.num_used:,} are used {how}."
    share = 100 * copies / profile.num_texts
    return (
        f"{profile.num_duplicates:,} exact copies and {profile.num_near_duplicates:,} copies up to "
        f"rounding were set aside ({share:.1f} %); the same {profile.num_used:,} are used {how}."
    )


def measurement_sentences(profile: DimensionProfile) -> tuple[str, ...]:
    """Return what any use of these dimensions should know of, with the layers in words."""
    return measurement_advice(profile, listed=partial(list_layers, profile))


def chances_sentence(profile: DimensionProfile, plan: RankPlan) -> str:
    """Return how sure the ranks are, and which is least so."""
    adapted = [sublayer for sublayer, rank in enumerate(plan.ranks) if rank > 0]
    names = layer_names(profile)
    if plan.settings.rule == "budget":
        ranges = {sublayer: likely_range(plan, sublayer) for sublayer in adapted}
        widest = max(adapted, key=lambda sublayer: ranges[sublayer][1] - ranges[sublayer][0])
        return (
            "With the dimensions anywhere within their errors, the same budget gives each of the "
            f"{len(adapted)} {unit(plan)} a rank within its 90 % range nine times in "
            f"ten; the widest is {certainty(plan, widest)}, about rank {plan.ranks[widest]} of "
            f"{names[profile.layer_of(widest)]}."
        )
    sure = sum(plan.certainties[sublayer] >= CONFIDENCE for sublayer in adapted)
    least = min(adapted, key=lambda sublayer: plan.certainties[sublayer])
    is_what = "suffices" if plan.settings.rule == "confident" else "is the same"
    return (
        f"With the dimensions anywhere within their errors, the rank {is_what} with a probability "
        f"of {CONFIDENCE} or more in {sure} of {len(adapted)} {unit(plan)}; the least sure "
        f"is rank {plan.ranks[least]} of {names[profile.layer_of(least)]}, with "
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
    return f"{CERTAINTY_HEADINGS[plan.settings.rule]} {what[plan.settings.rule]}."


def agreement_sentence(profile: DimensionProfile) -> str:
    """Return how far the two estimates by the nearest neighbours differ."""
    line, likelihood = (profile.series[name].dimensions for name in NEAREST)
    gap, layer = _widest_gap(profile, line, likelihood)
    if gap == 0:
        return ""
    values = sorted((line[layer], likelihood[layer]), reverse=True)
    where = layer_names(profile)[layer]
    says = f"{100 * gap:.0f} % ({values[0]:.2f} and {values[1]:.2f}) at {where}"
    if gap <= MAX_DISAGREEMENT:
        return f"Line fit and maximum likelihood agree: they differ most, by {says}."
    return (
        f"Be careful: line fit and maximum likelihood differ by {says}. Texts that nearly repeat "
        "each other, or noise, are the usual cause; the ranks are then no surer than that."
    )


def farther_sentence(profile: DimensionProfile) -> str:
    """Return how far the estimators that look farther differ from the line, or ""."""
    line = profile.series["twonn_linfit"].dimensions
    gaps = {
        name: _widest_gap(profile, line, one.dimensions)
        for name, one in sorted(profile.series.items())
        if name not in NEAREST
    }
    if not gaps:
        return ""
    name = max(gaps, key=lambda name: gaps[name][0])
    gap, layer = gaps[name]
    found = profile.series[name].dimensions[layer]
    cause = "Lower is usual: far neighbours feel more of edges and curvature, and less of noise."
    if found > line[layer]:
        cause = "Higher is what texts give that have a close relative among the others."
    return (
        f"Looking at farther neighbours changes the dimension by up to {100 * gap:.0f} %, to "
        f"{found:.2f} ({estimator_label(name)}) from {line[layer]:.2f} at "
        f"{layer_names(profile)[layer]}. {cause}"
    )


def _widest_gap(
    profile: DimensionProfile, ours: tuple[float, ...], theirs: tuple[float, ...]
) -> tuple[float, int]:
    """Return the largest difference where layers vary, as a share of the smaller, and where."""
    pairs = enumerate(zip(ours, theirs, strict=True))
    gaps = [
        (abs(a - b) / min(a, b), -layer)
        for layer, (a, b) in pairs
        if layer not in profile.constant_layers
    ]
    gap, layer = max(gaps, default=(0.0, 0))
    return gap, -layer


def fit_sentence(profile: DimensionProfile) -> str:
    """Return how far the samples are from the law that was fitted to them, at the worst layer."""
    names, gaps = layer_names(profile), dict[int, float]()
    dimensions = profile.series["twonn_linfit"].dimensions
    for layer, log_mu in enumerate(profile.log_mu_quantiles):
        shares = [(index + 0.5) / len(log_mu) for index in range(len(log_mu))]
        gaps[layer] = max(
            (
                abs(share - (1 - math.exp(-dimensions[layer] * x)))
                for share, x in zip(shares, log_mu, strict=True)
                if share <= 1 - profile.settings.discard_fraction
            ),
            default=0.0,
        )
    worst = max(gaps, key=lambda layer: (gaps[layer], -layer))
    gap = f"line and samples differ by up to {100 * gaps[worst]:.1f} percentage points of F"
    if gaps[worst] <= BENT:
        return f"The fits are straight: {gap}, at {names[worst]}."
    return (
        f"Be careful: the fits below bend: {gap}, at {names[worst]}; one manifold gives a "
        "few. Texts with a close relative among the others bend them so, and the dimension is "
        "then an average over unlike texts."
    )
