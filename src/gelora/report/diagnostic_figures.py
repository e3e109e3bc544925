"""The figures of diagnostics: other estimators, fewer samples, the fits, and the ranks' chances."""

import math
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from gelora.dimension.profile import DimensionProfile
from gelora.ranks import RankPlan
from gelora.report.drawing import WIDTH, label_ends, label_layers, panels, varying
from gelora.report.figures import STEP_COLOURS, label_halves
from gelora.report.stacks import short_names, stack_layouts
from gelora.report.text import ESTIMATOR_NAMES
from gelora.report.theme import BLUE, GREEN, GRID, INK, MUTED, PURPLE, VERMILION, themed

STYLES = {
    "twonn_linfit": (BLUE, "-", -0.1),
    "twonn_mle": (VERMILION, "-", 0.1),
    "gride_2": (GREEN, "-", 0.0),
    "gride_4": (GREEN, "--", 0.0),
    "gride_8": (GREEN, ":", 0.0),
    "levina_bickel": (PURPLE, "-", 0.0),
}
"""Colour, line and sideways shift of every estimator; every profile has the first two."""
NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
LOWEST, HIGHEST = 0.5, 2.0
"""What a panel of the decimation shows at most, as a share of the dimension by all samples."""
SMALLEST_CHANCE = 0.005


@themed
def decimation_figure(profile: DimensionProfile) -> Figure:
    """Draw, for every layer, the dimension by ever smaller parts of the samples.

    Every panel spans the same share of its dimension, so that equal slopes are equal drifts.
    """
    sizes = [part.num_samples for part in profile.decimation]
    dimensions = np.array([part.dimensions for part in profile.decimation])
    errors = np.array([part.standard_errors for part in profile.decimation])
    layers, _ = varying(profile, *stack_layouts(profile))
    whole = dimensions[0, layers]
    low = float(((dimensions - errors)[:, layers] / whole).min(initial=0.9))
    high = float(((dimensions + errors)[:, layers] / whole).max(initial=1.1))
    low, high = max(low, LOWEST), min(high, HIGHEST)
    # Room for the numbers above the curve, and for a verdict below it.
    low, high = low - 0.3 * (high - low), high + 0.4 * (high - low)

    def draw(panel: Axes, layer: int) -> None:
        stable = profile.verdicts[layer] == "stable"
        colour = BLUE if stable else VERMILION
        middle, error = dimensions[:, layer], errors[:, layer]
        panel.axhline(middle[0], color=GRID, linewidth=0.6)
        panel.fill_between(sizes, middle - error, middle + error, color=colour, alpha=0.2, lw=0)
        panel.plot(sizes, middle, color=colour, marker="o", markersize=3, linewidth=1.4)
        panel.set_xscale("log")
        panel.set_xticks([])
        panel.minorticks_off()
        panel.set_yticks([])
        panel.margins(x=0.12)
        panel.set_ylim(middle[0] * low, middle[0] * high)
        at_top = {"transform": panel.transAxes, "va": "top", "color": colour}
        panel.text(0.02, 0.96, f"{middle[-1]:.2f}", **at_top)
        panel.text(0.98, 0.96, f"{middle[0]:.2f}", ha="right", **at_top)
        if not stable:
            at_bottom = {"transform": panel.transAxes, "ha": "right", "color": colour}
            panel.text(0.98, 0.05, profile.verdicts[layer], **at_bottom)

    figure = panels(short_names(profile), draw, height=1.3, constant=profile.constant_layers)
    figure.set_layout_engine("constrained", h_pad=0.1)
    figure.supxlabel(
        f"samples, from {min(sizes):,} at the left to all {max(sizes):,} at the right, on a log "
        "axis",
        fontsize=9,
        color=MUTED,
    )
    return figure


@themed
def chances_figure(profile: DimensionProfile, plan: RankPlan) -> Figure:
    """Draw the probability of every rank of every sublayer as a bar; the plan's is solid."""
    bars = _bars(profile, plan)
    planned = [rank for rank in plan.ranks if rank > 0]
    ranks = [rank for places in bars.values() for _, rank, _ in places] + planned
    low, high = min(ranks), max(ranks)
    figure = Figure(figsize=(WIDTH, 1.3 + 0.17 * min(high - low + 1, 16)), layout="constrained")
    axes = figure.subplots()
    for (colour, is_planned), places in sorted(bars.items()):
        # All in one path: a large model's figure stays small.
        shape = Path.make_compound_path(*(_bar(*place) for place in places))
        alpha = 0.9 if is_planned else 0.35
        axes.add_patch(PathPatch(shape, facecolor=colour, alpha=alpha, linewidth=0))
    axes.set_title("Probability of each rank, as the width of its bar; solid is the plan's")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    layouts = stack_layouts(profile)
    axes.set_xlim(layouts[0].positions[0] - 0.5, layouts[-1].positions[-1] + 0.7)
    axes.set_ylim(low - 0.6, high + 0.6)
    label_halves(axes, layouts[0].halves, plan)
    label_layers(axes, layouts)
    return figure


def _bars(
    profile: DimensionProfile, plan: RankPlan
) -> dict[tuple[str, bool], list[tuple[int, int, float]]]:
    """Return position, rank and probability of every bar, by its colour and whether planned."""
    bars: dict[tuple[str, bool], list[tuple[int, int, float]]] = {}
    for layout in stack_layouts(profile):
        for number, sublayer in enumerate(layout.sublayers):
            planned, colour = plan.ranks[sublayer], STEP_COLOURS[number % len(layout.halves)]
            for rank, chance in plan.rank_probabilities[sublayer].items():
                if planned > 0 and chance >= SMALLEST_CHANCE:
                    place = layout.positions[number + 1], rank, chance
                    bars.setdefault((colour, rank == planned), []).append(place)
    return bars


def _bar(position: int, rank: int, chance: float) -> Path:
    left, right, bottom, top = (
        position - 0.45 * chance, position + 0.45 * chance, rank - 0.42, rank + 0.42,
    )  # fmt: skip
    corners = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
    return Path(corners, closed=True)


@themed
def estimators_figure(profile: DimensionProfile) -> Figure:
    """Draw the dimension at every layer by each estimator: points for two, bands for more."""
    names = [name for name in STYLES if name in profile.series]
    height = 2.8 if len(names) == 2 else 3.4
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    layouts = stack_layouts(profile)
    ends: list[tuple[float, float, str, str]] = []
    for name in names:
        colour, line, shift = STYLES[name]
        for layout in layouts:
            layers, positions = varying(profile, layout)
            dimensions = np.array(profile.series[name].dimensions)[layers]
            errors = np.array(profile.series[name].standard_errors)[layers]
            if len(names) == 2:
                axes.errorbar(
                    positions + shift, dimensions, yerr=errors, color=colour, linestyle="none",
                    marker="o", markersize=3.5,
                )  # fmt: skip
            else:
                low, high = dimensions - errors, dimensions + errors
                axes.fill_between(positions, low, high, color=colour, alpha=0.12, linewidth=0)
                axes.plot(positions, dimensions, color=colour, linestyle=line, linewidth=1.4)
            if layers and layout is layouts[-1]:
                end = positions[-1] + abs(shift), dimensions[-1]
                ends.append((*end, ESTIMATOR_NAMES[name], colour))
    axes.margins(y=0.15)
    label_ends(axes, ends, height=height - 0.8)
    axes.set_title(f"Dimension by {NUMBERS[len(names)]} estimators, ± 1 standard error")
    label_layers(axes, layouts)
    return figure


@themed
def fit_figure(profile: DimensionProfile) -> Figure:
    """Draw, for every layer, what TwoNN fits: −log(1−F) against log μ, and the line of slope d.

    With r1 and r2 the distances to the two nearest neighbours, μ = r2/r1 has F(μ) = 1 − μ^(−d)
    (Facco et al. 2017, equation 5), so the points lie on a line through the origin.
    """
    figure = panels(
        short_names(profile),
        partial(_draw_fit, profile=profile),
        height=1.4,
        sharey=True,
        constant=profile.constant_layers,
    )
    figure.supxlabel("log μ, each panel to its own scale", fontsize=9, color=MUTED)
    figure.supylabel("−log(1 − F)", fontsize=9, color=MUTED)
    return figure


def _draw_fit(axes: Axes, layer: int, *, profile: DimensionProfile) -> None:
    log_mu = np.array(profile.log_mu_quantiles[layer])
    fractions = (np.arange(log_mu.size) + 0.5) / log_mu.size
    height = -np.log1p(-fractions)
    dimension, top = profile.series["twonn_linfit"].dimensions[layer], 1.05 * height[-1]
    # A long tail, which the fit discards anyway, must not squeeze the part that it uses.
    width = min(1.05 * log_mu[-1], 1.6 * top / dimension)
    if profile.settings.discard_fraction > 0:
        axes.axhspan(
            -math.log(profile.settings.discard_fraction), top, color=MUTED, alpha=0.12, linewidth=0
        )
    axes.plot(log_mu, height, color=INK, linestyle="none", marker=".", markersize=3)
    axes.plot([0, top / dimension], [0, top], color=BLUE, linewidth=1.2)
    axes.text(0.05, 0.93, f"d = {dimension:.2f}", transform=axes.transAxes, va="top", color=BLUE)
    axes.set(xlim=(0, width), ylim=(0, top), yticks=(0, 2, 4))
