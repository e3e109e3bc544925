"""What the figures share: labels beside points, the axis of layers, and a grid of small panels."""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

from gelora.dimension.profile import DimensionProfile
from gelora.report.stacks import StackLayout
from gelora.report.theme import MUTED

WIDTH = 9.0  # inches; the page scales it to its column
COLUMNS = 7  # models of 6, 12, 24 and 48 blocks fill their last row but for one
MAX_PANELS = 42  # six rows
MAX_LABELS = 40
LINE = 11.0  # points from one line of small text to the next


def varying(profile: DimensionProfile, *layouts: StackLayout) -> tuple[list[int], np.ndarray]:
    """Return the layers that are not constant, and their positions on the axis of layers."""
    places = {
        layer: position
        for layout in layouts
        for layer, position in zip(layout.layers, layout.positions, strict=True)
    }
    layers = [layer for layer in places if layer not in profile.constant_layers]
    return layers, np.array([places[layer] for layer in layers])


def label_layers(axes: Axes, layouts: Sequence[StackLayout]) -> None:
    """Mark every block's output on the horizontal axis, and name the stacks where there are two."""
    halves = len(layouts[0].halves)
    count = sum(len(layout.layers) for layout in layouts) // halves
    every = halves * math.ceil(count / MAX_LABELS)
    ticks: dict[int, str] = {}
    for layout in layouts:
        for number, position in enumerate(layout.positions):
            if number % every == 0:
                ticks[position] = str(number // halves) if number else "emb"
    axes.set_xticks(list(ticks), list(ticks.values()))
    names = "   |   ".join(layout.name for layout in layouts if layout.name)
    axes.set_xlabel(f"block ({names})" if names else "block")


def label_value(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    """Write above a point."""
    axes.annotate(text, (x, y), (0, 4), textcoords="offset points", ha="center", color=colour)


def label_end(
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


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]], *, height: float) -> None:
    """Name curves, (x, y, name, colour), at their right ends, moved apart where they touch.

    It moves them as little as leaves a line of text to each (least squares, by isotonic
    regression).

    Args:
        axes: Whose limits are final.
        ends: Of the curves.
        height: Of the axes, about, in inches.
    """
    if not ends:
        return
    ends = sorted(ends, key=lambda end: end[1])
    scale = axes.yaxis.get_transform().transform  # a log axis parts them where they are seen
    low, high = scale(np.array(axes.get_ylim()))
    places = 72 * height * (scale(np.array([y for _, y, _, _ in ends])) - low) / (high - low)
    ladder = LINE * np.arange(len(ends))
    shifts = isotonic_regression(places - ladder).x + ladder - places
    right = max(x for x, _, _, _ in ends)
    for (_, y, text, colour), shift in zip(ends, shifts, strict=True):
        label_end(axes, right, y, text, colour, shift=float(shift))


def panel_step(count: int) -> int:
    """Return how many of so many things share each panel of a grid: 1, but for huge models."""
    return math.ceil(count / MAX_PANELS)


def panels(
    names: Sequence[str],
    draw: Callable[[Axes, int], None],
    *,
    height: float,
    sharey: bool = False,
    constant: Collection[int] = (),
) -> Figure:
    """Make a figure of one small panel for every name, or of every few where there are many.

    Args:
        names: Titles of the panels.
        draw: Draws one panel, given its index among the names.
        height: Height of a row of panels in inches.
        sharey: Whether the panels have one vertical axis.
        constant: Indices whose panels say "constant" instead.
    """
    shown = range(0, len(names), panel_step(len(names)))
    rows = math.ceil(len(shown) / COLUMNS)
    figure = Figure(figsize=(WIDTH, height * rows + 0.3), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, sharey=sharey, squeeze=False)
    for panel in grid.flat[len(shown) :]:
        panel.set_visible(False)
    for index, panel in zip(shown, grid.flat, strict=False):
        panel.set_title(names[index], fontsize=8.5, pad=4)
        panel.set_xticks([])
        panel.grid(visible=False)
        if index not in constant:
            draw(panel, index)
            continue
        panel.text(0.5, 0.5, "constant", transform=panel.transAxes, ha="center", color=MUTED)
        if not sharey:
            panel.set_yticks([])
    return figure
