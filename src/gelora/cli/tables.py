"""Plain text tables of what was found, for standard output. Pure: values in, text out."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from gelora.dimension.drift import verdict_words
from gelora.dimension.profile import DimensionProfile
from gelora.ranks import RankPlan
from gelora.ranks.advice import CERTAINTY_HEADINGS, certainty, measurement_advice
from gelora.report.decision import result_decision
from gelora.report.text import samples_word, table

TWONN = frozenset({"twonn_linfit", "twonn_mle"})


def measured(value: float, error: float, *, sign: bool = False) -> str:
    """Return a number with its error.

    >>> measured(3.0, 0.123, sign=True)
    '+3.00 ± 0.12'
    """
    return f"{value:{'+' if sign else ''}.2f} ± {error:.2f}"


def dimension_table(profile: DimensionProfile) -> str:
    """Return a row for every layer: dimension and increment with errors, and the verdict on it.

    Where more estimators than the two of TwoNN were asked for, each has a column. Below stands
    what the estimates rest on, and what else to know of them.
    """
    increments = _increments(profile)
    more = profile.series.keys() - TWONN
    others = sorted(profile.series.keys() - {profile.settings.estimator}) if more else []
    rows = [
        [
            layer,
            measured(profile.dimensions[i], profile.standard_errors[i]),
            *(f"{profile.series[name].dimensions[i]:.2f}" for name in others),
            increments.get(layer, ""),
            verdict_words(profile, i),
        ]
        for i, layer in enumerate(profile.layers)
    ]
    headings = ["layer", "dimension", *others, "increment", "verdict"]
    notes = [_used(profile), _stopped(profile), *measurement_advice(profile)]
    return "\n".join([table(headings, rows, last_is_text=True), *filter(None, notes)])


def rank_table(plan: RankPlan, profile: DimensionProfile) -> str:
    """Return a row for every sublayer: dimension, increment, rank and how sure it is; and a sum."""
    increments = _increments(profile)
    modules = Counter(profile.sublayer_of(m) for m in profile.modules if m.name in plan.modules)
    rows: list[list[str]] = []
    for i, sublayer in enumerate(plan.sublayers):
        layer = profile.layer_of(i)
        rows.append(
            [
                sublayer,
                measured(profile.dimensions[layer], profile.standard_errors[layer]),
                increments[sublayer],
                str(plan.ranks[i]),
                certainty(plan, i),
                str(modules[i]),
                f"{plan.parameters[i]:,}",
            ]
        )
    total = ["total", "", "", "", "", str(len(plan.modules)), f"{plan.trainable_parameters:,}"]
    first = "block" if plan.granularity == "block" else "sublayer"
    sure = CERTAINTY_HEADINGS[plan.settings.rule]
    headings = [first, "dimension", "increment", "rank", sure, "modules", "parameters"]
    return table(headings, [*rows, total])


def metrics_table(
    metrics: Mapping[str, Any],
    baselines: Mapping[str, Mapping[str, Any]],
    *,
    of: str = "adapter",
    problem: str = "classification",
) -> str:
    """Return a row for every metric: the adapter's value, and each baseline's beside it.

    Args:
        metrics: By metric, a mapping of value, standard_error and num_samples.
        baselines: By baseline, the same.
        of: What the metrics are of.
        problem: Says what was counted, texts or questions.
    """
    counted = samples_word(problem)
    headings = ["metric", of, *(name.replace("_", " ") for name in baselines), counted]
    rows = [
        [
            name,
            _metric(metric),
            *(_metric(baseline.get(name)) for baseline in baselines.values()),
            f"{metric['num_samples']:,}",
        ]
        for name, metric in metrics.items()
    ]
    return table(headings, rows)


def metrics_summary(payload: Mapping[str, Any]) -> str:
    """Return the table of what metrics.json holds, and a line on size and time."""
    head, adapter = (payload["trainable_parameters"][part] for part in ("head", "adapter"))
    seconds = payload["seconds"]
    note = f"{adapter:,} parameters in the adapter and {head:,} outside; {seconds['train']:.0f} s."
    if not payload["metrics"]:
        return note
    rows = metrics_table(payload["metrics"], payload["baselines"], problem=payload["problem"])
    return f"{rows}\n{note}"


def metrics_text(payload: Mapping[str, Any]) -> str:
    """Return `metrics_summary`, and below it whether the adapter beats its baselines."""
    return "\n".join([metrics_summary(payload), *result_decision(payload)])


def _used(profile: DimensionProfile) -> str:
    """Return what the estimates rest on."""
    states = "normalized states, " if profile.settings.states == "normalized" else ""
    aside = profile.num_duplicates + profile.num_near_duplicates
    copies = f"; {aside:,} duplicates set aside" if aside else ""
    return (
        f"{profile.num_used:,} samples, {states}{profile.settings.pooling} pooling, "
        f"{profile.settings.estimator}{copies}."
    )


def _stopped(profile: DimensionProfile) -> str:
    """Return why no more texts were measured, or "" where nothing else was asked for."""
    texts = f"{profile.num_texts:,} texts"
    if profile.stopped_by == "precision":
        return (
            f"{texts} were enough: the error of every increment that counts is below "
            f"{profile.settings.precision}."
        )
    if profile.stopped_by == "stable_ranks":
        return (
            f"{texts} were enough: the ranks no longer changed with more. For ranks by other "
            "settings, measure with --precision 0."
        )
    if profile.settings.precision is not None:
        return (
            f"{texts} were measured, all that were asked for or all there are, and not every error "
            f"came below {profile.settings.precision}."
        )
    return ""


def _increments(profile: DimensionProfile) -> dict[str, str]:
    return {
        sublayer: measured(increment, error, sign=True)
        for sublayer, increment, error in zip(
            profile.sublayers, profile.increments, profile.increment_standard_errors, strict=True
        )
    }


def _metric(metric: Mapping[str, float] | None) -> str:
    return f"{metric['value']:.3f} ± {metric['standard_error']:.3f}" if metric else "–"
