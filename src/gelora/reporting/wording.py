"""What the report says of a run: sentences and numbers as text, no markup.

Every function turns values into words; nothing is read, drawn or written here. What is said of how
far to trust the dimensions is in `trust_wording`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from gelora.dimension.profile import DimensionProfile
from gelora.ranks import RankPlan
from gelora.ranks.uncertainty import CONFIDENCE
from gelora.reporting.run_files import RunFiles
from gelora.reporting.stacks import level_names, stack_layouts

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
_DECIMALS = {"question_answering": 2, "instruction_tuning": 2}  # of percents and of perplexities
_LOWER_IS_BETTER = frozenset({"perplexity"})
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
_RULES = {
    "paper": "By the paper's rule",
    "confident": "By the confident rule, which gives a rank that suffices with probability "
    f"{CONFIDENCE},",
}
_STAGES = {
    "measure": "measuring",
    "baselines": "the baselines",
    "train": "training",
    "evaluate": "evaluating",
}


def number(value: float, decimals: int) -> str:
    """Return a number with a real minus sign and thousands set apart.

    >>> number(-1234.567, 1)
    '−1,234.6'
    """
    text = f"{value:,.{decimals}f}"
    is_zero = not text.strip("-0.,")
    return text.lstrip("-") if is_zero else text.replace("-", "−")


def with_error(value: float, standard_error: float, *, decimals: int, sign: bool = False) -> str:
    """Return a value and its standard error; an error of exactly 0 says nothing and is left out.

    >>> with_error(9.4123, 0.1834, decimals=2), with_error(0.0, 0.0, decimals=3)
    ('9.41 ± 0.18', '0.000')
    """
    text = number(value, decimals)
    if sign and value > 0:
        text = f"+{text}"
    return f"{text} ± {number(standard_error, decimals)}" if standard_error > 0 else text


def duration(seconds: float) -> str:
    """Return a time in the two largest units that matter.

    >>> duration(4.2), duration(358), duration(7300)
    ('4.2 s', '5 min 58 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


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
    decimals = _DECIMALS.get(problem, 3)
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
    return "questions" if problem == "question_answering" else "texts"


def headline(run: RunFiles) -> list[str]:
    """Return the sentences that the page opens with, the one that matters most first."""
    geometry = [rank_sentence(run.plan, run.profile), dimension_sentence(run.profile)]
    if run.metrics is None:
        return geometry
    result = [result_sentence(run.metrics)] if run.metrics["metrics"] else []
    return [*result, *geometry, _time_sentence(run.metrics["seconds"])]


def dimension_sentence(profile: DimensionProfile) -> str:
    """Return how the dimension goes from the first level over the highest to the last."""
    names, journeys = level_names(profile), list[str]()
    for layout in stack_layouts(profile):
        first, last = layout.levels[0], layout.levels[-1]
        peak = max(layout.levels, key=lambda level: profile.dimensions[level])
        journey = f"from {_dimension(profile, first)} at the {names[first]} "
        if peak not in (first, last):
            journey += f"up to {_dimension(profile, peak)} after {names[peak]} and "
        journeys.append(f"{journey}to {_dimension(profile, last)} after {names[last]}")
    return (
        f"The dimension of the hidden states of {profile.num_used:,} texts goes "
        f"{'; '.join(journeys)}."
    )


def _dimension(profile: DimensionProfile, level: int) -> str:
    return with_error(profile.dimensions[level], profile.standard_errors[level], decimals=2)


def rank_sentence(plan: RankPlan, profile: DimensionProfile | None = None) -> str:
    """Return which ranks the rule gives, and what share of the weights they come to."""
    adapted = [rank for rank in plan.ranks if rank > 0]
    low, high, mean = min(adapted), max(adapted), sum(adapted) / len(adapted)
    ranks = f"ranks of {low} to {high} ({mean:.1f} on average)" if low < high else f"rank {low}"
    rule = _RULES.get(plan.rule) or f"With a budget of {plan.budget:,} parameters"
    share = ""
    if profile is not None:
        weights = sum(module.in_features * module.out_features for module in profile.modules)
        share = f", {100 * plan.trainable_parameters / weights:.2g} % of the blocks' weights"
    return (
        f"{rule} the {len(adapted)} adapted {steps_word(plan)} get {ranks}: "
        f"{plan.trainable_parameters:,} trainable parameters{share}."
    )


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
    direction = " (lower is better)" if name in _LOWER_IS_BETTER else ""
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
    if config.get("load_best_model_at_end") or config.get("early_stopping_patience"):
        notes.append(
            f"The checkpoint was chosen by the same {samples}, so that the result flatters it."
        )
    return " ".join(notes)


def _time_sentence(seconds: Mapping[str, float]) -> str:
    """Return how long the stages took whose time is known; loading and the like are not counted."""
    known = [stage for stage in _STAGES if stage in seconds]
    names = join([_STAGES[stage] for stage in known])
    return f"{names.capitalize()} took {duration(sum(seconds[stage] for stage in known))}."


def list_levels(profile: DimensionProfile, levels: Iterable[int]) -> str:
    """Name levels, runs of three or more by their ends: "embeddings and block 2 to block 5"."""
    names, runs = level_names(profile), list[list[int]]()
    levels = sorted(levels)
    if len(levels) == len(names):
        return "all levels"
    for level in levels:
        if runs and level == runs[-1][-1] + 1:
            runs[-1].append(level)
        else:
            runs.append([level])
    spans = [
        [f"{names[run[0]]} to {names[run[-1]]}"] if len(run) > 2 else [names[i] for i in run]
        for run in runs
    ]
    return join([span for parts in spans for span in parts])


def join(items: list[str]) -> str:
    """Return the items of a sentence's list, with "and" before the last."""
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else items[0]


def steps_word(plan: RankPlan) -> str:
    """Return what the steps of a plan are, in the plural."""
    return "blocks" if plan.granularity == "block" else "half blocks"


def describe_plan(profile: DimensionProfile, plan: RankPlan) -> str:
    """Return every level's dimension and every step's rank, for those who do not see the figure."""
    ranks = ", ".join(map(str, plan.ranks))
    return (
        f"Dimension by level: {describe_levels(profile, profile.dimensions)}. "
        f"Ranks of the {steps_word(plan)} in order: {ranks}."
    )


def describe_levels(profile: DimensionProfile, values: tuple[float, ...]) -> str:
    """Return a value for every level in words."""
    named = zip(level_names(profile), values, strict=True)
    return ", ".join(f"{name} {value:.2f}" for name, value in named)
