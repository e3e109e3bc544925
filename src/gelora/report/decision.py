"""Whether an adapter is worth using: the same sentences for the terminal, the report and the card.

Values of `metrics.json` in, sentences out.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gelora.ranks.advice import CLEAR_ERRORS
from gelora.report.result_wording import DECIMALS, metric_value, samples_word
from gelora.report.wording import join, with_error
from gelora.tasks.known import less_is_better

OVERFITTED = 1.1
"""The validation loss has risen if its last value exceeds its smallest by this factor."""

FALLEN = 0.95
"""The training loss has fallen if its last quarter is below this share of its first quarter."""

_NAMES = {
    "frozen_encoder": "a linear model on the frozen encoder",
    "majority": "the majority class",
    "base_model": "the model before training",
    "no_answer": "leaving every question unanswered",
}


class Comparison(NamedTuple):
    """The adapter's headline metric against a baseline's.

    Attributes:
        baseline: The baseline's name in words.
        key: Its name in `metrics.json`.
        own: The adapter's metric: value, standard_error, num_samples.
        other: The baseline's.
        gain: Difference in the metric's unit; positive where the adapter is better.
        error: Standard error of the gain, both metrics taken as independent.
    """

    baseline: str
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
            baseline=_name(key, problem),
            key=key,
            own=own,
            other=other,
            gain=sign * (own["value"] - other["value"]),
            error=math.hypot(_error(own, problem), _error(other, problem)),
        )
        for key, other in others.items()
    ]


def _name(key: str, problem: str) -> str:
    if (key, problem) == ("majority", "regression"):
        return "the mean label"
    return _NAMES.get(key, key.replace("_", " "))


def result_decision(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Return whether the adapter beats its baselines by more than the error, and what to do if not.

    Args:
        metrics: What `metrics.json` holds, for any problem, with or without validation.
    """
    problem = metrics["problem"]
    if not metrics["metrics"]:
        sentence = (
            f"No validation {samples_word(problem)} were evaluated, so nothing says whether the "
            "adapter helps: give --validation_file."
        )
        return (sentence,)
    comparisons = compare_baselines(metrics)
    return tuple(_sentences(comparisons, metrics))


def _sentences(comparisons: Sequence[Comparison], metrics: Mapping[str, Any]) -> Iterator[str]:
    problem = metrics["problem"]
    gains = [
        f"than {comparison.baseline} by {_gain(comparison, problem)}"
        for comparison in comparisons
        if comparison.verdict == "better"
    ]
    if gains:
        yield f"The adapter is better {join(gains)} (errors combined as independent)."
    short = [comparison for comparison in comparisons if comparison.verdict != "better"]
    for comparison in short:
        end = f": {_either(_actions(comparisons, metrics))}" if comparison is short[-1] else ""
        yield f"{_shortfall(comparison, problem)}{end}."
    keys = {comparison.key for comparison in comparisons}
    if problem == "question_answering" and not keys:
        yield "There is no baseline for these questions, so nothing says how far training helped."
    if problem in ("classification", "regression") and "frozen_encoder" not in keys:
        yield (
            "It was not compared with a linear model on the frozen encoder, which gelora run "
            "trains and gelora train does not."
        )


def _shortfall(comparison: Comparison, problem: str) -> str:
    values = (
        f"{metric_value(comparison.own, problem)} against {metric_value(comparison.other, problem)}"
    )
    if comparison.verdict == "worse":
        return f"The adapter is worse than {comparison.baseline}, {values}"
    return (
        f"The adapter cannot be told from {comparison.baseline}, {values} (difference "
        f"{_gain(comparison, problem)}, errors combined as independent)"
    )


def _actions(comparisons: Sequence[Comparison], metrics: Mapping[str, Any]) -> list[str]:
    """Return what to do where the adapter is not better than every baseline."""
    by_key = {comparison.key: comparison for comparison in comparisons}
    short = {key: one.verdict for key, one in by_key.items() if one.verdict != "better"}
    if short.get("base_model") == "worse":
        return ["lower --learning_rate", "train for fewer steps"]
    actions = _training_actions(metrics["history"])
    encoder_learns = "frozen_encoder" in by_key and _beats_majority(by_key)
    if "majority" in short and not encoder_learns:
        actions.append("check the labels (--label_column)")
    if "worse" not in short.values():
        actions.append("give more validation rows to see a smaller difference")
    if "frozen_encoder" in short and encoder_learns:
        actions.append("use the linear model")
    return actions


def _beats_majority(by_key: Mapping[str, Comparison]) -> bool:
    """Return whether the frozen encoder is clearly better than the majority, or that is unknown."""
    if "majority" not in by_key:
        return True
    encoder, majority = by_key["frozen_encoder"], by_key["majority"]
    # Gains are differences from the same adapter, so they are compared by the baselines' own.
    lead = majority.gain - encoder.gain
    error = math.hypot(*(one.other["standard_error"] for one in (encoder, majority)))
    return lead > CLEAR_ERRORS * error


def _training_actions(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what to change in training, by how its two losses went."""
    losses = [entry["loss"] for entry in history if "loss" in entry]
    evaluated = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    quarter = max(len(losses) // 4, 1)
    first, last = losses[:quarter], losses[-quarter:]
    if len(losses) > 1 and not sum(last) < FALLEN * sum(first):  # also where it is NaN
        moved = f"the training loss went from {first[0]:.3g} to {last[-1]:.3g}"
        if sum(last) <= sum(first):
            return [f"{moved}, so train longer", "raise --learning_rate"]
        return [f"{moved}, so lower --learning_rate"]
    if len(evaluated) > 1 and evaluated[-1] > OVERFITTED * min(evaluated):
        rise = f"the validation loss rose from {min(evaluated):.3g} to {evaluated[-1]:.3g}"
        keep = f"{rise}, so keep the best checkpoint with --load_best_model_at_end"
        return [keep, "lower --learning_rate"]
    return ["train longer", "raise --learning_rate"]


def _either(actions: Sequence[str]) -> str:
    """Return a list of choices, with "or" before the last.

    >>> _either(["a"]), _either(["a", "b"]), _either(["a", "b", "c"])
    ('a', 'a or b', 'a, b, or c')
    """
    *most, last = actions
    if not most:
        return last
    return f"{', '.join(most)}{',' if len(most) > 1 else ''} or {last}"


def _gain(comparison: Comparison, problem: str) -> str:
    decimals = DECIMALS.get(problem, 3)
    return with_error(comparison.gain, comparison.error, decimals=decimals)


def _error(metric: Mapping[str, Any], problem: str) -> float:
    """Return a metric's standard error, or one sample's worth where the error is 0."""
    unit = 100.0 if problem == "question_answering" else 1.0
    return metric["standard_error"] or unit / metric["num_samples"]
