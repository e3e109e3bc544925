"""The report's figures: numbers in, a matplotlib `Figure` out; `theme.to_svg` makes it text.

Pure functions on the object interface, no global state. They draw; what is said about the
numbers, and which figures a page has, is decided in `page`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gelora.dimension.profile import DimensionProfile
from gelora.ranks import RankPlan
from gelora.reporting.stacks import StackLayout, stack_layouts
from gelora.reporting.theme import BLUE, GREEN, INK, MUTED, PURPLE, VERMILION, themed

WIDTH = 9.0  # inches; the page scales it to its column
FIT_COLUMNS = 6
MAX_CURVE_POINTS = 300
ESTIMATORS = {
    "twonn_line": ("line fit", BLUE, -0.1),
    "twonn_likelihood": ("maximum likelihood", VERMILION, 0.1),
}
"""Label, colour and sideways shift of every estimator."""
MAX_FIT_PANELS = 50
MAX_LABELS = 40


@themed
def dimension_figure(profile: DimensionProfile, plan: RankPlan) -> Figure:
    """Draw the dimension at every level with its error, and below it the rank of every block."""
    figure = Figure(figsize=(WIDTH, 4.8), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    layouts = stack_layouts(profile)
    dimensions, errors = np.array(profile.dimensions), np.array(profile.standard_errors)
    for layout in layouts:
        _draw_ranks(lower, layout, plan)
        _draw_constant(upper, layout, profile)
        levels, positions = _varying(profile, layout)
        if not levels:
            continue
        middle, error = dimensions[levels], errors[levels]
        upper.fill_between(
            positions, middle - error, middle + error, color=BLUE, alpha=0.2, linewidth=0
        )
        upper.plot(positions, middle, color=BLUE, marker="o", markersize=3.5, linewidth=1.6)
        peak = int(middle.argmax())
        if 0 < peak < len(middle) - 1:
            _label_value(
                upper, positions[peak], (middle + error)[peak], f"{middle[peak]:.2f}", BLUE
            )
        _label_end(upper, positions[0], middle[0], f"{middle[0]:.2f}", BLUE, align="right")
        _label_end(upper, positions[-1], middle[-1], f"{middle[-1]:.2f}", BLUE)
    upper.margins(x=0.1, y=0.18)
    upper.spines.bottom.set_visible(False)
    upper.set_title("Dimension, ± 1 standard error")
    lower.set_title("LoRA rank; the dash is the paper's lower bound on it")
    lower.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    lower.margins(x=0.1, y=0.2)
    lower.set_ylim(bottom=0)
    _label_levels(lower, layouts)
    return figure


def _varying(profile: DimensionProfile, *layouts: StackLayout) -> tuple[list[int], np.ndarray]:
    """Return the levels that are not constant, and their positions on the axis."""
    places = {i: x for one in layouts for i, x in zip(one.levels, one.positions, strict=True)}
    levels = [level for level in places if level not in profile.constant_levels]
    return levels, np.array([places[level] for level in levels])


def _draw_constant(axes: Axes, layout: StackLayout, profile: DimensionProfile) -> None:
    """Mark constant levels at the bottom edge: at their 0 they would squeeze all the others."""
    at_bottom = axes.get_xaxis_transform()
    for level, position in zip(layout.levels, layout.positions, strict=True):
        if level in profile.constant_levels:
            axes.plot(
                position, 0, "o", color=MUTED, fillstyle="none", transform=at_bottom, clip_on=False
            )
            axes.annotate(
                "constant", (position, 0), (0, 6), xycoords=at_bottom, textcoords="offset points",
                color=MUTED, ha="center",
            )  # fmt: skip


def _draw_ranks(axes: Axes, layout: StackLayout, plan: RankPlan) -> None:
    positions = list(layout.positions)[1:]
    ranks = [plan.ranks[block] for block in layout.blocks]
    bounds = [plan.bounds[block] for block in layout.blocks]
    axes.bar(positions, ranks, width=0.62, color=GREEN, alpha=0.75)
    for position, bound in zip(positions, bounds, strict=True):
        if bound > 0:
            axes.hlines(bound, position - 0.4, position + 0.4, color=INK, linewidth=1.2)
    if len(plan.ranks) > MAX_LABELS:
        return
    for position, rank in zip(positions, ranks, strict=True):
        _label_value(axes, position, rank, str(rank), GREEN)


def panel_step(profile: DimensionProfile) -> int:
    """Return how many levels there are to each panel of `fit_figure`: 1, but for huge models."""
    return math.ceil(len(profile.levels) / MAX_FIT_PANELS)


@themed
def fit_figure(profile: DimensionProfile) -> Figure:
    """Draw, for every level, what TwoNN fits: −log(1−F) against log μ, and the line of slope d.

    With r1 and r2 the distances to the two nearest neighbours, μ = r2/r1 has F(μ) = 1 − μ^(−d)
    (Facco et al. 2017, equation 5), so the points lie on a line through the origin.
    """
    names = [label for layout in stack_layouts(profile) for label in layout.labels()]
    shown = range(0, len(names), panel_step(profile))
    rows = math.ceil(len(shown) / FIT_COLUMNS)
    figure = Figure(figsize=(WIDTH, 1.5 * rows + 0.3), layout="constrained")
    panels = figure.subplots(rows, FIT_COLUMNS, sharey=True, squeeze=False)
    for panel in panels.flat[len(shown) :]:
        panel.set_visible(False)
    for level, panel in zip(shown, panels.flat, strict=False):
        panel.set_title(names[level], fontsize=9, pad=4)
        panel.set_xticks([])
        panel.grid(visible=False)
        _draw_fit(panel, profile, level)
    figure.supxlabel("log μ, each panel to its own scale", fontsize=9, color=MUTED)
    figure.supylabel("−log(1 − F)", fontsize=9, color=MUTED)
    return figure


def _draw_fit(axes: Axes, profile: DimensionProfile, level: int) -> None:
    log_mu = np.array(profile.log_mu_quantiles[level])
    if log_mu.size == 0:
        axes.text(0.5, 0.5, "constant", transform=axes.transAxes, ha="center", color=MUTED)
        return
    fractions = (np.arange(log_mu.size) + 0.5) / log_mu.size
    height = -np.log1p(-fractions)
    dimension, top = profile.dimensions[level], 1.05 * height[-1]
    # A long tail, which the fit discards anyway, must not squeeze the part that it uses.
    width = min(1.05 * log_mu[-1], 1.6 * top / dimension)
    if profile.discard_fraction > 0:
        axes.axhspan(-math.log(profile.discard_fraction), top, color=MUTED, alpha=0.12, linewidth=0)
    axes.plot(log_mu, height, color=INK, linestyle="none", marker=".", markersize=3)
    axes.plot([0, top / dimension], [0, top], color=BLUE, linewidth=1.2)
    axes.text(0.05, 0.93, f"d = {dimension:.2f}", transform=axes.transAxes, va="top", color=BLUE)
    axes.set(xlim=(0, width), ylim=(0, top), yticks=(0, 2, 4))


def estimator_label(name: str) -> str:
    """Return an estimator's name in words."""
    return ESTIMATORS[name][0] if name in ESTIMATORS else name


@themed
def estimators_figure(profile: DimensionProfile) -> Figure:
    """Draw the dimension at every level by each estimator, side by side."""
    figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
    axes = figure.subplots()
    layouts = stack_layouts(profile)
    levels, positions = _varying(profile, *layouts)
    ends: list[tuple[float, float, str, str]] = []
    for name in sorted(profile.series, reverse=True):
        label, colour, shift = ESTIMATORS.get(name, (name, PURPLE, 0.0))
        series = profile.series[name]
        dimensions = np.array(series.dimensions)[levels]
        axes.errorbar(
            positions + shift,
            dimensions,
            yerr=np.array(series.standard_errors)[levels],
            color=colour,
            linestyle="none",
            marker="o",
            markersize=3.5,
            label=label,
        )
        if levels:
            ends.append((positions[-1] + shift, dimensions[-1], label, colour))
    axes.margins(y=0.15)
    _label_ends(axes, ends)
    axes.set_title("Dimension by two estimators, ± 1 standard error")
    _label_levels(axes, layouts)
    return figure


@themed
def training_figure(
    history: Sequence[Mapping[str, Any]],
    *,
    metric: str,
    metric_label: str,
    references: Mapping[str, float],
) -> Figure:
    """Draw the losses by step and, where it was evaluated in training, the headline metric.

    Args:
        history: Entries of the Trainer's log: `step`, and `loss`, or `eval_loss` and metrics.
        metric: Name of the headline metric, as `matthews_correlation`.
        metric_label: The same in words.
        references: Values of the same metric by others, drawn as level lines.
    """
    metric_steps, metric_values = _series(history, f"eval_{metric}")
    rows = 2 if metric_steps else 1
    figure = Figure(figsize=(WIDTH, 2.2 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    ends: list[tuple[float, float, str, str]] = []
    for key, label, colour in (("loss", "training", MUTED), ("eval_loss", "validation", PURPLE)):
        steps, values = _thin(*_series(history, key))
        if not steps:
            continue
        marker = "o" if key == "eval_loss" else ""
        panels[0].plot(steps, values, color=colour, marker=marker, markersize=3.5, label=label)
        ends.append((steps[-1], values[-1], label, colour))
    _label_ends(panels[0], ends)
    panels[0].set_title("Loss")
    if metric_steps:
        panels[1].plot(metric_steps, metric_values, color=PURPLE, marker="o", markersize=3.5)
        _label_end(panels[1], metric_steps[-1], metric_values[-1], "adapter", PURPLE)
        for name, value in references.items():
            panels[1].axhline(value, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
            panels[1].annotate(
                name, (0, value), (4, 3), xycoords=("axes fraction", "data"),
                textcoords="offset points", color=MUTED,
            )  # fmt: skip
        panels[0].spines.bottom.set_visible(False)
        panels[1].set_title(f"{metric_label} on the validation texts")
    panels[-1].set_xlabel("step")
    return figure


def _series(history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    entries = [entry for entry in history if key in entry and "step" in entry]
    return [entry["step"] for entry in entries], [entry[key] for entry in entries]


def _thin(steps: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    """Average neighbouring entries, so that a long run's curve stays small and readable."""
    if len(steps) <= MAX_CURVE_POINTS:
        return steps, values
    groups = np.array_split(np.arange(len(steps)), MAX_CURVE_POINTS)
    return (
        [float(np.mean(np.take(steps, group))) for group in groups],
        [float(np.mean(np.take(values, group))) for group in groups],
    )


def _label_value(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    axes.annotate(text, (x, y), (0, 4), textcoords="offset points", ha="center", color=colour)


def _label_ends(axes: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Name up to two curves, (x, y, name, colour), at their ends; part the names if they touch."""
    low, high = axes.get_ylim()
    heights = [y for _, y, _, _ in ends]
    touching = len(ends) > 1 and max(heights) - min(heights) < 0.1 * (high - low)
    right = max((x for x, _, _, _ in ends), default=0.0)
    for index, (_, y, text, colour) in enumerate(ends):
        is_upper = (y, -index) == max((y, -i) for i, y in enumerate(heights))
        shift = (6 if is_upper else -6) if touching else 0
        _label_end(axes, right, y, text, colour, shift=shift)


def _label_end(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    colour: str,
    *,
    shift: float = 0,
    align: Literal["left", "right"] = "left",
) -> None:
    """Write beside a point: to its right with the text's left end, or the other way round."""
    offset = 8 if align == "left" else -8
    axes.annotate(
        text, (x, y), (offset, shift), textcoords="offset points",
        color=colour, ha=align, va="center",
    )  # fmt: skip


def _label_levels(axes: Axes, layouts: Sequence[StackLayout]) -> None:
    """Mark every level on the horizontal axis, and name the stacks where there are two."""
    count = sum(len(layout.levels) for layout in layouts)
    every = math.ceil(count / MAX_LABELS)
    ticks: dict[int, str] = {}
    for layout in layouts:
        for number, position in enumerate(layout.positions):
            if number % every == 0:
                ticks[position] = str(number) if number else "emb"
    axes.set_xticks(list(ticks), list(ticks.values()))
    names = "   |   ".join(layout.name for layout in layouts if layout.name)
    axes.set_xlabel(f"block ({names})" if names else "block")
