"""What the report says of the numbers: sentences and numbers as text, no markup.

Every function turns values into words; nothing is read, drawn or written here.
"""

import math
from collections.abc import Mapping
from typing import Any

from gelora.dimension.profile import DimensionProfile
from gelora.ranks import RankPlan
from gelora.reporting.run_files import RunFiles
from gelora.reporting.stacks import stack_layouts

DISAGREEMENT = 0.2
"""Share by which two estimates may differ before the report asks for caution: twice the largest
difference that clean manifolds show."""

BENT = 0.1
"""Distance of samples and fitted law from which the report asks for caution: clean manifolds show
at most 0.03 with 2,000 samples and 0.06 with 300."""

_METRIC_NAMES = {
    "accuracy": "accuracy",
    "f1": "F1",
    "matthews_correlation": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
}
_BASELINE_NAMES = {"frozen_encoder": "frozen encoder", "majority": "majority class"}
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


def metric_name(name: str) -> str:
    """Return a metric's name in words."""
    return _METRIC_NAMES.get(name, name.replace("_", " "))


def baseline_name(name: str, problem: str) -> str:
    """Return a baseline's name in words; of numbers the commonest answer is their mean."""
    if name == "majority" and problem == "regression":
        return "mean label"
    return _BASELINE_NAMES.get(name, name.replace("_", " "))


def metric_value(metric: Mapping[str, Any] | None) -> str:
    """Return a metric of `metrics.json` with its standard error, or a dash."""
    if metric is None:
        return "–"
    return with_error(metric["value"], metric["standard_error"], decimals=3)


def headline(run: RunFiles) -> list[str]:
    """Return the sentences that the page opens with, the one that matters most first."""
    geometry = [_rank_sentence(run.profile, run.plan), _dimension_sentence(run.profile)]
    if run.metrics is None:
        return geometry
    return [_result_sentence(run.metrics), *geometry, _time_sentence(run.metrics["seconds"])]


def _dimension_sentence(profile: DimensionProfile) -> str:
    journeys: list[str] = []
    for layout in stack_layouts(profile):
        first, last = layout.levels[0], layout.levels[-1]
        peak = max(layout.levels, key=lambda level: profile.dimensions[level])
        journey = f"from {_dimension(profile, first)} at the embeddings "
        if peak not in (first, last):
            journey += f"up to {_dimension(profile, peak)} after block {peak - first} and "
        journey += f"to {_dimension(profile, last)} after block {last - first}"
        journeys.append(f"in the {layout.name} {journey}" if layout.name else journey)
    return (
        f"The dimension of the hidden states of {profile.num_used:,} texts goes "
        f"{'; '.join(journeys)}."
    )


def _dimension(profile: DimensionProfile, level: int) -> str:
    return with_error(profile.dimensions[level], profile.standard_errors[level], decimals=2)


def _rank_sentence(profile: DimensionProfile, plan: RankPlan) -> str:
    adapted = [rank for rank in plan.ranks if rank > 0]
    low, high, mean = min(adapted), max(adapted), sum(adapted) / len(adapted)
    weights = sum(module.in_features * module.out_features for module in profile.modules)
    share = 100 * plan.trainable_parameters / weights
    ranks = f"ranks of {low} to {high} ({mean:.1f} on average)" if low < high else f"rank {low}"
    rule = "By the paper's rule"
    if plan.budget is not None:
        rule = f"With a budget of {plan.budget:,} parameters"
    return (
        f"{rule} the {len(adapted)} adapted blocks get {ranks}: {plan.trainable_parameters:,} "
        f"trainable parameters, {share:.2g} % of the blocks' weights."
    )


def _result_sentence(metrics: Mapping[str, Any]) -> str:
    name = metrics["headline_metric"]
    own = metrics["metrics"][name]
    others = [
        f"{metric_value(values[name])} for the {baseline_name(baseline, metrics['problem'])}"
        for baseline, values in metrics["baselines"].items()
        if name in values
    ]
    against = f", against {_join(others)}" if others else ""
    return (
        f"The adapter reaches {metric_name(name)} {metric_value(own)} on {own['num_samples']:,} "
        f"validation texts{against}."
    )


def _time_sentence(seconds: Mapping[str, float]) -> str:
    """Return how long the stages took whose time is known; loading and the like are not counted."""
    known = [stage for stage in _STAGES if stage in seconds]
    names = _join([_STAGES[stage] for stage in known])
    return f"{names.capitalize()} took {duration(sum(seconds[stage] for stage in known))}."


def _join(items: list[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else items[0]


def samples_sentence(profile: DimensionProfile) -> str:
    """Return how many texts the estimates rest on, and which were set aside."""
    copies = profile.num_duplicates + profile.num_near_duplicates
    if copies == 0:
        return (
            f"No text repeats another: all {profile.num_used:,} are used at every level, with "
            f"{profile.pooling} pooling."
        )
    share = 100 * copies / profile.num_texts
    return (
        f"Of {profile.num_texts:,} texts, {profile.num_duplicates:,} exact copies and "
        f"{profile.num_near_duplicates:,} copies up to rounding were set aside ({share:.1f} %); "
        f"the same {profile.num_used:,} are used at every level, with {profile.pooling} pooling."
    )


def constant_sentence(profile: DimensionProfile) -> str:
    """Return which levels do not vary, or "" if all do."""
    names = _level_names(profile)
    constant = [names[level] for level in profile.constant_levels]
    if not constant:
        return ""
    return (
        f"Constant: {', '.join(constant)}. The hidden states there are the same for every text, "
        "so their dimension is 0 by definition and nothing is fitted."
    )


def agreement_sentence(profile: DimensionProfile) -> str:
    """Return how far the estimators differ, where two were used."""
    if len(profile.series) < 2:
        return "Only one estimator was used, so there is no second opinion."
    names, series = _level_names(profile), list(profile.series.values())
    gaps: dict[int, float] = {}
    for level in set(range(len(names))) - set(profile.constant_levels):
        values = [one.dimensions[level] for one in series]
        gaps[level] = (max(values) - min(values)) / max(values)
    if not gaps:
        return "Every level is constant."
    worst = max(gaps, key=lambda level: (gaps[level], -level))
    values = sorted((one.dimensions[worst] for one in series), reverse=True)
    says = f"{100 * gaps[worst]:.0f} % ({values[0]:.2f} and {values[-1]:.2f}) at {names[worst]}"
    if gaps[worst] <= DISAGREEMENT:
        return f"The estimators agree: they differ most, by {says}."
    return (
        f"Be careful: the estimators differ by {says}. Texts that nearly repeat each other, or "
        "noise, are the usual cause; the ranks are then no surer than that."
    )


def fit_sentence(profile: DimensionProfile) -> str:
    """Return how far the samples are from the law that was fitted to them, at the worst level."""
    names, gaps = _level_names(profile), dict[int, float]()
    for level, log_mu in enumerate(profile.log_mu_quantiles):
        shares = [(index + 0.5) / len(log_mu) for index in range(len(log_mu))]
        gaps[level] = max(
            (
                abs(share - (1 - math.exp(-profile.dimensions[level] * x)))
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


def describe_levels(profile: DimensionProfile, values: tuple[float, ...]) -> str:
    """Return a value for every level in words, for readers who do not see the figure."""
    names = _level_names(profile)
    return ", ".join(f"{name} {value:.2f}" for name, value in zip(names, values, strict=True))


def _level_names(profile: DimensionProfile) -> list[str]:
    return [label for layout in stack_layouts(profile) for label in layout.labels()]
