"""What the report says of dimensions and ranks: sentences and numbers as text, no markup.

Every function turns values into words; nothing is read, drawn or written here. What is said of the
results is in `result_wording`, and of how far to trust the dimensions in `trust_wording`.
"""

import math
from collections.abc import Iterable, Sequence

from gelora.dimension.profile import DimensionProfile
from gelora.ranks import RankPlan
from gelora.ranks.advice import CLEAR_ERRORS, unit
from gelora.ranks.uncertainty import CONFIDENCE
from gelora.report.stacks import layer_names, stack_layouts

_RULES = {
    "paper": "By the paper's rule",
    "confident": "By the confident rule, which gives a rank that suffices with probability "
    f"{CONFIDENCE},",
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
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def dimension_sentence(profile: DimensionProfile) -> str:
    """Return how the dimension goes from the first layer over the highest to the last."""
    names, journeys = layer_names(profile), list[str]()
    for layout in stack_layouts(profile):
        first, last = layout.layers[0], layout.layers[-1]
        peak = max(layout.layers, key=lambda layer: profile.dimensions[layer])
        if not _rises(profile, first, peak):
            peak = first
        journey = f"from {_dimension(profile, first)} at the {names[first]} "
        if peak not in (first, last):
            journey += f"up to {_dimension(profile, peak)} after {names[peak]} and "
        journeys.append(f"{journey}to {_dimension(profile, last)} after {names[last]}")
    return (
        f"The dimension of the hidden states of {profile.num_used:,} texts goes "
        f"{'; '.join(journeys)}."
    )


def _rises(profile: DimensionProfile, first: int, peak: int) -> bool:
    """Return whether the dimension rises between two layers by more than two standard errors.

    Errors of the layers are taken as independent, which overstates the error of their difference.
    """
    error = math.hypot(profile.standard_errors[first], profile.standard_errors[peak])
    return profile.dimensions[peak] - profile.dimensions[first] > CLEAR_ERRORS * error


def _dimension(profile: DimensionProfile, layer: int) -> str:
    return with_error(profile.dimensions[layer], profile.standard_errors[layer], decimals=2)


def rank_sentence(plan: RankPlan, profile: DimensionProfile | None = None) -> str:
    """Return which ranks the rule gives, and what share of the weights they come to."""
    adapted = [rank for rank in plan.ranks if rank > 0]
    low, high, mean = min(adapted), max(adapted), sum(adapted) / len(adapted)
    ranks = f"ranks of {low} to {high} ({mean:.1f} on average)" if low < high else f"rank {low}"
    rule = _RULES.get(plan.settings.rule) or f"With a budget of {plan.budget:,} parameters"
    share = ""
    if profile is not None:
        weights = sum(module.in_features * module.out_features for module in profile.modules)
        share = f", {100 * plan.trainable_parameters / weights:.2g} % of the blocks' weights"
    return (
        f"{rule} the {len(adapted)} adapted {unit(plan)} get {ranks}: "
        f"{plan.trainable_parameters:,} trainable parameters{share}."
    )


def list_layers(profile: DimensionProfile, layers: Iterable[int]) -> str:
    """Name layers, runs of three or more by their ends: "embeddings and block 2 to block 5"."""
    return list_runs(layer_names(profile), layers, everything="all layers")


def list_runs(names: Sequence[str], indices: Iterable[int], *, everything: str) -> str:
    """Name some of a series of things, runs of three or more by their ends.

    >>> list_runs(["a", "b", "c", "d", "e"], [4, 0, 1, 2], everything="all")
    'a to c and e'
    """
    runs = list[list[int]]()
    indices = sorted(indices)
    if len(indices) == len(names):
        return everything
    for index in indices:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    spans = [
        [f"{names[run[0]]} to {names[run[-1]]}"] if len(run) > 2 else [names[i] for i in run]
        for run in runs
    ]
    return join([span for parts in spans for span in parts])


def join(items: list[str]) -> str:
    """Return the items of a sentence's list, with "and" before the last."""
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else items[0]


def describe_plan(profile: DimensionProfile, plan: RankPlan) -> str:
    """Return every layer's dimension and every step's rank, for those who do not see the figure."""
    ranks = ", ".join(map(str, plan.ranks))
    return (
        f"Dimension by layer: {describe_layers(profile, profile.dimensions)}. "
        f"Ranks of the {unit(plan)} in order: {ranks}."
    )


def describe_layers(profile: DimensionProfile, values: tuple[float, ...]) -> str:
    """Return a value for every layer in words."""
    named = zip(layer_names(profile), values, strict=True)
    return ", ".join(f"{name} {value:.2f}" for name, value in named)
