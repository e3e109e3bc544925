"""The figures of the theory: spectra, ranks by tolerance, Fisher information, ranks used."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gelora.dimension.profile import DimensionProfile
from gelora.lab.pages.theory_tables import (
    block_names,
    block_positions,
    fishers_of,
    inequalities,
)
from gelora.lab.theory.record import FisherOf, JacobianOf, Stage, TheoryRecord
from gelora.lab.theory.spectra import TOLERANCES, Spectrum
from gelora.lab.theory.theorem import Statement
from gelora.lab.theory.usage import ModuleUse
from gelora.ranks import RankPlan
from gelora.report.drawing import WIDTH, label_ends, label_layers, panels
from gelora.report.stacks import stack_layouts
from gelora.report.theme import BLUE, GREEN, INK, MUTED, PURPLE, VERMILION, themed

SMALLEST_SHARE = 1e-5
"""Of the largest singular value: what a panel of spectra ends at."""
MAX_POINTS = 12
"""Of a curve, evenly spaced on its log axis."""
JACOBIAN_COLOURS: dict[JacobianOf, str] = {"input": BLUE, "parameters": GREEN}
FISHER_STYLES: dict[tuple[FisherOf, Stage], tuple[str, str]] = {
    ("weights", "before"): (BLUE, ":"),
    ("weights", "after"): (BLUE, "-"),
    ("lora", "before"): (PURPLE, ":"),
    ("lora", "after"): (PURPLE, "-"),
}
STATEMENTS: Sequence[Statement] = ("dimension", "increment")
_RANK_HEIGHT = 1.9


@themed
def spectra_figure(profile: DimensionProfile, theory: TheoryRecord) -> Figure:
    """Draw both Jacobians' singular values in every block: the samples' median and their spread.

    A line down marks the dimension after the block, a line across the tolerance.
    """
    dimensions = inequalities(profile, theory, "dimension")
    spectra = {(one.block, one.by): one.spectra for one in theory.jacobians}

    def draw(panel: Axes, index: int) -> None:
        for by, colour in JACOBIAN_COLOURS.items():
            _draw_spread(panel, spectra[profile.blocks[index], by], colour)
        panel.axvline(dimensions[index].left, color=INK, linewidth=0.8)
        _draw_tolerance(panel, theory.tolerance)

    figure = panels(block_names(profile), draw, height=1.6, sharey=True)
    return _name_axes(figure, "number of the singular value", "of largest")


@themed
def ranks_figure(profile: DimensionProfile, theory: TheoryRecord) -> Figure:
    """Draw every block's ranks at each tolerance, above what the theorem asks of them.

    A triangle is a rank that is only known to be at least so much.
    """
    figure = Figure(figsize=(WIDTH, 2 * _RANK_HEIGHT + 1.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    rows: tuple[tuple[Axes, Statement, str], ...] = (
        (upper, "dimension", "dimension"),
        (lower, "increment", "growth"),
    )
    for axes, statement, name in rows:
        _draw_ranks(axes, profile, theory, statement, name)
    upper.spines.bottom.set_visible(False)
    upper.set_title("Rank of the Jacobian by the input at four tolerances, and the dimension")
    lower.set_title("Rank by the weights to adapt, and the growth of the dimension")
    label_layers(lower, stack_layouts(profile))
    return figure


@themed
def fisher_figure(profile: DimensionProfile, theory: TheoryRecord) -> Figure:
    """Draw the Fisher information's eigenvalues in every block, before and after training."""
    measured = {kind: fishers_of(theory, *kind) for kind in FISHER_STYLES}

    def draw(panel: Axes, index: int) -> None:
        for kind, fishers in measured.items():
            if profile.blocks[index] in fishers:
                colour, line = FISHER_STYLES[kind]
                order, shares = _thinned([fishers[profile.blocks[index]].spectrum])
                panel.plot(order, shares[0], color=colour, linestyle=line, linewidth=1.3)
        _draw_tolerance(panel, theory.tolerance)

    figure = panels(block_names(profile), draw, height=1.6, sharey=True)
    return _name_axes(figure, "number of the eigenvalue", "of largest")


@themed
def use_figure(plan: RankPlan, uses: Sequence[ModuleUse]) -> Figure:
    """Draw the rank given to every module, the lower bound, and the two ranks of its update."""
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(uses))
    given = [use.planned_rank for use in uses]
    axes.bar(places, given, width=0.8, color=GREEN, alpha=0.3)
    axes.plot(places, [use.bound for use in uses], "_", color=INK, markersize=5)
    axes.plot(places, [use.numerical_rank for use in uses], "o", color=GREEN, markersize=3.5)
    axes.plot(places, [use.stable_rank for use in uses], "x", color=VERMILION, markersize=4)
    axes.set_title("Rank of every module: given (bar), used (circle), stable (cross), bound (dash)")
    blocks = [use.block for use in uses]
    starts = [
        place for place in range(len(uses)) if blocks[place - 1] != blocks[place] or not place
    ]
    every = -(-len(starts) // 24)
    numbers = {block: str(number) for number, block in enumerate(plan.blocks, start=1)}
    axes.set_xticks(starts[::every], [numbers[blocks[place]] for place in starts[::every]])
    axes.set_xlabel("block; its modules from left to right")
    axes.set_ylim(bottom=0)
    return figure


def _draw_spread(panel: Axes, spectra: Sequence[Spectrum], colour: str) -> None:
    order, shares = _thinned(spectra)
    if order.size:
        low, high = shares.min(axis=0), shares.max(axis=0)
        panel.fill_between(order, low, high, color=colour, alpha=0.25, linewidth=0)
        panel.plot(order, np.median(shares, axis=0), color=colour, linewidth=1.3)


def _thinned(spectra: Sequence[Spectrum]) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of some singular values that all have, and their shares of the largest."""
    length = min(len(spectrum.singular_values) for spectrum in spectra)
    if length == 0 or not all(spectrum.largest for spectrum in spectra):
        return np.array([]), np.empty((len(spectra), 0))
    order = np.unique(np.geomspace(1, length, MAX_POINTS).round().astype(int))
    values = np.array([spectrum.singular_values[:length] for spectrum in spectra])
    shares = values / values[:, :1]
    return order, np.maximum(shares[:, order - 1], SMALLEST_SHARE / 10)  # out of sight, not at 0


def _draw_tolerance(panel: Axes, tolerance: float) -> None:
    panel.axhline(tolerance, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    panel.set(xscale="log", yscale="log", ylim=(SMALLEST_SHARE, 1.6))
    right = panel.get_xlim()[1]
    numbers = [number for number in (1, 10, 100, 1000) if number <= right]
    panel.set_xticks(numbers, list(map(str, numbers)))
    panel.set_yticks([1e-4, 1e-2, 1], ["0.0001", "0.01", "1"])
    panel.minorticks_off()
    panel.set_xlim(0.9, right)


def _draw_ranks(
    axes: Axes,
    profile: DimensionProfile,
    theory: TheoryRecord,
    statement: Statement,
    name: str,
) -> None:
    positions = np.array(block_positions(profile))
    ends: list[tuple[float, float, str, str]] = []
    for tolerance in TOLERANCES:
        found = inequalities(profile, theory, statement, tolerance)
        ranks = np.array([one.rank.value for one in found])
        exact = np.array([one.rank.is_exact for one in found])
        axes.plot(positions, ranks, color=MUTED, linewidth=1)
        for shape, which in (("o", exact), ("^", ~exact)):
            axes.plot(positions[which], ranks[which], shape, color=MUTED, markersize=3.5)
        ends.append((positions[-1], ranks[-1], f"{tolerance:g}", MUTED))
    found = inequalities(profile, theory, statement)
    left, errors = [one.left for one in found], [one.standard_error for one in found]
    axes.errorbar(positions, left, yerr=errors, color=BLUE, marker="o", markersize=3.5)
    axes.set_yscale("symlog", linthresh=1, linscale=0.5)
    axes.set_ylim(bottom=-0.2)
    axes.margins(x=0.1)
    top = axes.get_ylim()[1]
    ticks = [tick for tick in (0, 1, 3, 10, 30, 100, 300, 1000, 3000) if tick <= top]
    axes.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    ends.append((positions[-1], left[-1], name, BLUE))
    label_ends(axes, ends, height=_RANK_HEIGHT)


def _name_axes(figure: Figure, x: str, y: str) -> Figure:
    figure.supxlabel(x, fontsize=9, color=MUTED)
    figure.supylabel(y, fontsize=9, color=MUTED)
    return figure
