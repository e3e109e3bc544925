"""Whether an adapter is worth using, in words for the terminal, the report and the card."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gelora.ranks.advice import CLEAR_ERRORS
from gelora.report.templating import template
from gelora.report.text import DECIMALS
from gelora.tasks.known import less_is_better

OVERFITTED = 1.1
"""The validation loss has risen if its last value exceeds its smallest by this factor."""

FALLEN = 0.95
"""The training loss has fallen if its last quarter is below this share of its first quarter."""


class Comparison(NamedTuple):
    """The adapter's headline metric against a baseline's.

    Attributes:
        key: The baseline's name in `metrics.json`.
        own: The adapter's metric: value, standard_error, num_samples.
        other: The baseline's.
        gain: Difference in the metric's unit; positive where the adapter is better.
        error: Standard error of the gain, both metrics taken as independent.
    """

    key: str
    own: Mapping[str, Any]
    other: Mapping[str, Any]
    gain: float
    error: float

    @property
    def verdict(self) -> str:
        """Return "better", "worse", or "no different" within two standard errors."""
        if abs(self.gain) <= CLEAR_ERRORS * self.error:
            return "no different"
        return "better" if self.gain > 0 else "worse"


def compare_baselines(metrics: Mapping[str, Any]) -> list[Comparison]:
    """Return the adapter's headline metric against that of every baseline that has it.

    A standard error of 0 says nothing about how sure a metric is; one sample's worth takes its
    place. Of SQuAD 2.0 the score of leaving every question unanswered is known from the data alone.
    """
    name, problem = metrics["headline_metric"], metrics["problem"]
    if not metrics["metrics"]:
        return []
    own = metrics["metrics"][name]
    others = {key: values[name] for key, values in metrics["baselines"].items() if name in values}
    unanswerable = metrics["metrics"].get("NoAns_f1")
    if problem == "question_answering" and unanswerable is not None:
        share = unanswerable["num_samples"] / own["num_samples"]
        error = math.sqrt(share * (1 - share) / own["num_samples"])
        count = own["num_samples"]
        values = {"value": 100 * share, "standard_error": 100 * error, "num_samples": count}
        others["no_answer"] = values
    sign = -1 if less_is_better(name) else 1
    return [
        Comparison(
            key=key,
            own=own,
            other=other,
            gain=sign * (own["value"] - other["value"]),
            error=math.hypot(_error(own, problem), _error(other, problem)),
        )
        for key, other in others.items()
    ]


def result_decision(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Return whether the adapter beats its baselines by more than the error, and what to do if not.

    Args:
        metrics: What `metrics.json` holds, for any problem, with or without validation.
    """
    by_key = {comparison.key: comparison for comparison in compare_baselines(metrics)}
    text = template("decision.jinja").render(
        metrics=metrics,
        problem=metrics["problem"],
        decimals=DECIMALS.get(metrics["problem"], 3),
        better=[entry for entry in by_key.values() if entry.verdict == "better"],
        short={key: entry for key, entry in by_key.items() if entry.verdict != "better"},
        keys=list(by_key),
        encoder_learns=_encoder_learns(by_key),
        trend=training_trend(metrics["history"]),
    )
    return tuple(line for line in text.splitlines() if line)


def _encoder_learns(by_key: Mapping[str, Comparison]) -> bool:
    """Return whether the frozen encoder is clearly better than the majority, or that is unknown."""
    if "frozen_encoder" not in by_key or "majority" not in by_key:
        return "frozen_encoder" in by_key
    encoder, majority = by_key["frozen_encoder"], by_key["majority"]
    # Both gains are from the same adapter, so only the errors of the baselines count.
    lead = majority.gain - encoder.gain
    error = math.hypot(encoder.other["standard_error"], majority.other["standard_error"])
    return lead > CLEAR_ERRORS * error


def training_trend(history: Sequence[Mapping[str, Any]]) -> tuple[str, float, float]:
    """Return how training went, and the two values of the loss that show it.

    Returns:
        "flat" or "rising" where the training loss did not fall, with its first and last value;
        "overfitted" where the validation loss rose, with its smallest and last; otherwise "".
    """
    losses = [entry["loss"] for entry in history if "loss" in entry]
    evaluated = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    quarter = max(len(losses) // 4, 1)
    first, last = sum(losses[:quarter]), sum(losses[-quarter:])
    if len(losses) > 1 and not last < FALLEN * first:  # also where the loss is NaN
        return "flat" if last <= first else "rising", losses[0], losses[-1]
    if len(evaluated) > 1 and evaluated[-1] > OVERFITTED * min(evaluated):
        return "overfitted", min(evaluated), evaluated[-1]
    return "", 0.0, 0.0


def _error(metric: Mapping[str, Any], problem: str) -> float:
    """Return a metric's standard error, or one sample's worth where the error is 0."""
    unit = 100.0 if problem == "question_answering" else 1.0
    return metric["standard_error"] or unit / metric["num_samples"]
