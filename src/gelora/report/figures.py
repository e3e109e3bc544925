"""The figures of a run: its dimensions and ranks, and its losses and metric in training.

Pure functions on matplotlib's object interface: numbers in, a `Figure` out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gelora.dimension.profile import DimensionProfile
from gelora.ranks import RankPlan
from gelora.report.drawing import (
    MAX_LABELS,
    WIDTH,
    label_end,
    label_ends,
    label_layers,
    label_value,
    varying,
)
from gelora.report.stacks import StackLayout, stack_layouts
from gelora.report.theme import BLUE, GREEN, INK, MUTED, PURPLE, themed

MAX_CURVE_POINTS = 300
STEP_COLOURS = (GREEN, PURPLE)
"""Of a block's sublayers: the block itself or its attention half, and its MLP half."""


@themed
def dimension_figure(profile: DimensionProfile, plan: RankPlan) -> Figure:
    """Draw the dimension at every layer with its error, and below it the rank of every sublayer."""
    figure = Figure(figsize=(WIDTH, 4.8), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    layouts = stack_layouts(profile)
    dimensions, errors = np.array(profile.dimensions), np.array(profile.standard_errors)
    for layout in layouts:
        _draw_ranks(lower, layout, plan)
        _draw_constant(upper, layout, profile)
        layers, positions = varying(profile, layout)
        if not layers:
            continue
        middle, error = dimensions[layers], errors[layers]
        upper.fill_between(
            positions, middle - error, middle + error, color=BLUE, alpha=0.2, linewidth=0
        )
        upper.plot(positions, middle, color=BLUE, marker="o", markersize=3.5, linewidth=1.6)
        peak = int(middle.argmax())
        if 0 < peak < len(middle) - 1:
            label_value(upper, positions[peak], (middle + error)[peak], f"{middle[peak]:.2f}", BLUE)
        label_end(upper, positions[0], middle[0], f"{middle[0]:.2f}", BLUE, align="right")
        label_end(upper, positions[-1], middle[-1], f"{middle[-1]:.2f}", BLUE)
    upper.margins(x=0.1, y=0.18)
    upper.spines.bottom.set_visible(False)
    upper.set_title("Dimension, ± 1 standard error")
    has_bounds = any(bound > 0 for bound in plan.bounds)
    lower.set_title(f"LoRA rank{'; the dash is the lower bound' if has_bounds else ''}")
    lower.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    lower.margins(x=0.1, y=0.2)
    lower.set_ylim(bottom=0)
    label_halves(lower, layouts[0].halves, plan)
    label_layers(lower, layouts)
    return figure


def label_halves(axes: Axes, halves: Sequence[str], plan: RankPlan) -> None:
    """Name the adapted halves of a block by their colours, above the axes' right end."""
    if len(halves) == 1:
        return
    for index, (half, colour, shift) in enumerate(zip(halves, STEP_COLOURS, (-30, 0), strict=True)):
        if not any(plan.ranks[index::2]):
            continue
        axes.annotate(
            half, (1, 1), (shift, 10), xycoords="axes fraction", textcoords="offset points",
            color=colour, ha="right",
        )  # fmt: skip


def _draw_constant(axes: Axes, layout: StackLayout, profile: DimensionProfile) -> None:
    """Mark constant layers at the bottom edge: at their 0 they would squeeze all the others."""
    at_bottom = axes.get_xaxis_transform()
    for layer, position in zip(layout.layers, layout.positions, strict=True):
        if layer in profile.constant_layers:
            axes.plot(
                position, 0, "o", color=MUTED, fillstyle="none", transform=at_bottom, clip_on=False
            )
            if layer == layout.layers[0] or layer - 1 not in profile.constant_layers:
                axes.annotate(
                    "constant", (position, 0), (0, 6), xycoords=at_bottom, color=MUTED,
                    textcoords="offset points", ha="center",
                )  # fmt: skip


def _draw_ranks(axes: Axes, layout: StackLayout, plan: RankPlan) -> None:
    for number, (position, sublayer) in enumerate(
        zip(layout.positions[1:], layout.sublayers, strict=True)
    ):
        rank, bound = plan.ranks[sublayer], plan.bounds[sublayer]
        colour = STEP_COLOURS[number % len(layout.halves)]
        axes.bar(position, rank, width=0.62, color=colour, alpha=0.75)
        if bound > 0:
            axes.hlines(bound, position - 0.4, position + 0.4, color=INK, linewidth=1.2)
        if len(plan.ranks) <= MAX_LABELS and rank > 0:
            label_value(axes, position, rank, str(rank), colour)


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
        metric_label: The same in words, and what it was taken on.
        references: Values of the same metric by others, drawn as horizontal lines.
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
    label_ends(panels[0], ends, height=1.7)
    panels[0].set_title("Loss")
    if metric_steps:
        panels[1].plot(metric_steps, metric_values, color=PURPLE, marker="o", markersize=3.5)
        span = [min(entry["step"] for entry in history if "step" in entry), metric_steps[-1]]
        for value in references.values():
            panels[1].plot(span, [value] * 2, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        named = [(metric_steps[-1], value, name, MUTED) for name, value in references.items()]
        ends = [(metric_steps[-1], metric_values[-1], "adapter", PURPLE), *named]
        panels[1].margins(y=0.12)
        label_ends(panels[1], ends, height=1.7)
        panels[0].spines.bottom.set_visible(False)
        panels[1].set_title(metric_label)
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
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
