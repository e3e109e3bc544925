"""What the report and the card say of a run's results: names, units, sentences, no markup.

Every function turns values into words; the figures come from `metrics.json` as it is.
"""

from collections.abc import Mapping
from typing import Any

from gelora.problems import SAMPLE_WORDS
from gelora.report.wording import duration, join, with_error
from gelora.tasks.known import less_is_better

_METRIC_NAMES = {
    "accuracy": "accuracy",
    "f1": "F1",
    "exact_match": "exact match",
    "matthews_correlation": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "perplexity": "perplexity",
    "HasAns_f1": "F1, answerable",
    "HasAns_exact": "exact match, answerable",
    "NoAns_f1": "F1, unanswerable",
    "NoAns_exact": "exact match, unanswerable",
    "best_f1": "F1, best threshold",
    "best_f1_thresh": "threshold best for F1",
    "best_exact": "exact match, best threshold",
    "best_exact_thresh": "threshold best for exact match",
}
"""In the order of a table, but for the headline metric, which comes first."""
DECIMALS = {"question_answering": 2, "instruction_tuning": 2}  # of percents and of perplexities
_BASELINE_NAMES = {
    "frozen_encoder": "frozen encoder",
    "majority": "majority class",
    "base_model": "model without adapter",
}
_BASELINE_NOTES = {
    "frozen_encoder": "The frozen encoder is a linear model on the final hidden states of the "
    "encoder as it came.",
    "base_model": "The model without adapter is the same model on the same texts, as it came.",
}
_STAGES = {
    "measure": "measuring",
    "baselines": "the baselines",
    "train": "training",
    "evaluate": "evaluating",
}


def result_sentence(metrics: Mapping[str, Any]) -> str:
    """Return the headline metric of `metrics.json`, beside the baselines'."""
    name, problem = metrics["headline_metric"], metrics["problem"]
    own = metrics["metrics"][name]
    others = [
        f"{metric_value(values[name], problem)} for the {baseline_name(baseline, problem)}"
        for baseline, values in metrics["baselines"].items()
        if name in values
    ]
    against = f", against {join(others)}" if others else ""
    direction = " (lower is better)" if less_is_better(name) else ""
    return (
        f"The adapter reaches {metric_name(name)} {metric_value(own, problem)} on "
        f"{own['num_samples']:,} validation {samples_word(problem)}{against}{direction}."
    )


def result_note(metrics: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Return what to know when reading the table of metrics."""
    samples = samples_word(metrics["problem"])
    notes = [f"On the validation {samples}, ± standard error."]
    notes += [_BASELINE_NOTES[name] for name in metrics["baselines"] if name in _BASELINE_NOTES]
    if metrics["problem"] == "question_answering":
        notes.append("F1 and exact match are in percent.")
    if "best_f1" in metrics["metrics"]:
        notes.append(f"The best threshold was chosen by the {samples} that it is scored on.")
    if "perplexity" in metrics["metrics"]:
        notes.append("Perplexity is that of the completions' tokens.")
    keeps_best = str(config.get("load_best_model_at_end")).lower() == "true"  # as it was typed
    if keeps_best or config.get("early_stopping_patience"):
        notes.append(
            f"The checkpoint was chosen by the same {samples}, so that the result flatters it."
        )
    return " ".join(notes)


def second_set(name: str) -> tuple[str, str]:
    """Return a metric's own name, and of which second validation set it is, or "".

    >>> second_set("accuracy_mismatched"), second_set("f1")
    (('accuracy', 'mismatched'), ('f1', ''))
    """
    base = name.removesuffix("_mismatched")
    return base, "mismatched" if base != name else ""


def metric_name(name: str) -> str:
    """Return a metric's name in words.

    >>> metric_name("f1"), metric_name("accuracy_mismatched")
    ('F1', 'accuracy, mismatched')
    """
    base, second = second_set(name)
    words = _METRIC_NAMES.get(base, base.replace("_", " "))
    return f"{words}, {second}" if second else words


def baseline_name(name: str, problem: str) -> str:
    """Return a baseline's name in words; of numbers the commonest answer is their mean."""
    if name == "majority" and problem == "regression":
        return "mean label"
    return _BASELINE_NAMES.get(name, name.replace("_", " "))


def metric_value(metric: Mapping[str, Any] | None, problem: str) -> str:
    """Return a metric of `metrics.json` with its standard error, or a dash."""
    if metric is None:
        return "–"
    decimals = DECIMALS.get(problem, 3)
    return with_error(metric["value"], metric["standard_error"], decimals=decimals)


def in_order(metrics: Mapping[str, Any]) -> list[str]:
    """Return the names of a run's metrics, the headline metric first and its kin before parts."""
    known = list(_METRIC_NAMES)

    def place(name: str) -> tuple[bool, bool, int, str]:
        base, second = second_set(name)
        rank = known.index(base) if base in known else len(known)
        return name != metrics["headline_metric"], bool(second), rank, name

    return sorted(metrics["metrics"], key=place)


def samples_word(problem: str) -> str:
    """Return what a validation set is made of."""
    return SAMPLE_WORDS[problem]


def time_sentence(seconds: Mapping[str, float]) -> str:
    """Return how long the stages took whose time is known; loading and the like are not counted."""
    known = [stage for stage in _STAGES if stage in seconds]
    names = join([_STAGES[stage] for stage in known])
    return f"{names.capitalize()} took {duration(sum(seconds[stage] for stage in known))}."
