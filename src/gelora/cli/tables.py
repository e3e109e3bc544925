"""Tables and notes for standard output, from the rows that the report shows, too."""

from collections.abc import Mapping
from typing import Any

from gelora.dimension.profile import DimensionProfile
from gelora.ranks import RankPlan
from gelora.ranks.advice import CERTAINTY_HEADINGS, measurement_advice
from gelora.report.decision import result_decision
from gelora.report.tables import estimators, layer_table, metric_table, rank_table, text_table
from gelora.report.templating import sentence
from gelora.report.text import ESTIMATOR_NAMES


def dimension_text(profile: DimensionProfile) -> str:
    """Return a row for every layer, and below it what the estimates rest on.

    The estimators have columns of their own if more were used than the two of TwoNN.
    """
    rows = layer_table(profile, profile.layers)
    others = [ESTIMATOR_NAMES[name] for name in estimators(profile)[1:]]
    shown = ["layer", "dimension", *(others if len(others) > 1 else []), "increment", "verdict"]
    table = text_table(rows, shown, last_is_text=True)
    return "\n".join([table, sentence("basis", profile), *measurement_advice(profile)])


def rank_text(plan: RankPlan, profile: DimensionProfile) -> str:
    """Return a row for every sublayer: dimension, increment, rank and how sure it is; and a sum."""
    shown = [
        *(plan.granularity, "dimension", "increment", "rank"),
        *(CERTAINTY_HEADINGS[plan.settings.rule], "modules", "parameters"),
    ]
    return text_table(rank_table(plan, profile, plan.sublayers), shown)


def metrics_summary(payload: Mapping[str, Any]) -> str:
    """Return the table of what metrics.json holds, and a line on size and time."""
    head, adapter = (payload["trainable_parameters"][part] for part in ("head", "adapter"))
    seconds = payload["seconds"]
    note = f"{adapter:,} parameters in the adapter and {head:,} outside; {seconds['train']:.0f} s."
    return f"{text_table(metric_table(payload))}\n{note}" if payload["metrics"] else note


def metrics_text(payload: Mapping[str, Any]) -> str:
    """Return `metrics_summary`, and below it whether the adapter beats its baselines."""
    return "\n".join([metrics_summary(payload), *result_decision(payload)])
