"""The figures of a comparison: quality by cost with its Pareto front, and differences.

Pure functions: summaries in, a `Figure` out.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from gelora.lab.comparison.results import REFERENCE_METHOD
from gelora.lab.comparison.statistics import Difference, Summary, pareto_front
from gelora.report.drawing import LINE, WIDTH
from gelora.report.theme import BLUE, GREEN, INK, MUTED, VERMILION, themed

PLOT_HEIGHT = 3.4  # inches of the axes, about
Cost = Callable[[Summary], float]
"""What a summary is drawn over."""

MARKERS = ("o", "s", "^", "D", "v")
_OUTCOME_COLOURS = {"win": GREEN, "tie": MUTED, "loss": VERMILION}


def adapter_parameters(summary: Summary) -> float:
    """Return the parameters beside the head, the mean over seeds."""
    return sum(row.parameters["adapter"] for row in summary.rows) / len(summary.rows)


def total_seconds(summary: Summary) -> float:
    """Return the time of choosing ranks and training, the median over seeds each."""
    return summary.median("selection_seconds") + summary.median("training_seconds")


COSTS: Mapping[str, Cost] = {"parameters": adapter_parameters, "seconds": total_seconds}


@themed
def quality_figure(summaries: Sequence[Summary], cost: str, *, metric_label: str) -> Figure:
    """Draw a task's quality by a cost of `COSTS`, all budgets together."""
    figure, axes = _quality(summaries, COSTS[cost], metric_label)
    if cost == "seconds":
        axes.set_xlim(left=0)
        axes.set_xlabel("seconds of choosing ranks and training")
        return figure
    counts = [count for summary in summaries if (count := adapter_parameters(summary)) > 0]
    if counts:  # the head alone has none, and a logarithm has no 0
        axes.set_xscale("symlog", linthresh=min(counts), linscale=0.4)
        axes.set_xlim(left=-min(counts) / 2 if len(counts) < len(summaries) else min(counts) / 2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    axes.set_xlabel("parameters beside the head")
    return figure


def front(summaries: Sequence[Summary], cost: Cost) -> list[Summary]:
    """Return the summaries that no other beats, from the cheapest to the best."""
    indices = pareto_front([cost(one) for one in summaries], [one.quality for one in summaries])
    return [summaries[index] for index in indices]


def _quality(summaries: Sequence[Summary], cost: Cost, metric_label: str) -> tuple[Figure, Axes]:
    """Draw mean ± standard deviation by a cost; the front is a line with its methods' names."""
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.subplots()
    best = front(summaries, cost)
    budgets = list(dict.fromkeys(one.budget for one in summaries))
    for place, budget in enumerate(budgets):
        marker = MARKERS[place % len(MARKERS)]
        for one in summaries:
            if one.budget != budget:
                continue
            is_reference = one.method == REFERENCE_METHOD
            axes.errorbar(
                cost(one), one.mean, yerr=one.standard_deviation or 0,
                color=_colour(one), marker=marker, markersize=7 if is_reference else 4.5,
                elinewidth=0.8, alpha=1 if is_reference or one in best else 0.6,
            )  # fmt: skip
        # For the legend, whatever is drawn first.
        axes.plot([], [], color=MUTED, marker=marker, linestyle="", label=budget)
    axes.plot(
        [cost(one) for one in best], [one.mean for one in best], color=INK, linewidth=1, zorder=0
    )
    if len(budgets) > 1:
        axes.legend(title="budget", frameon=False, fontsize=8, title_fontsize=8)
    axes.margins(x=0.12, y=0.15)
    axes.set_title(metric_label)
    _name_points(axes, summaries, best, cost)
    return figure, axes


@themed
def differences_figure(summaries: Sequence[Summary], *, metric_label: str) -> Figure:
    """Draw each method's difference from `gelora` with its interval, a panel for each budget.

    Args:
        summaries: Of a task; at least one has a difference.
        metric_label: The headline metric in words.
    """
    panels: dict[str, list[tuple[Summary, Difference]]] = {one.budget: [] for one in summaries}
    for one in sorted(summaries, key=lambda one: one.quality):
        if one.difference is not None:
            panels[one.budget].append((one, one.difference))
    height = 0.9 + 0.2 * max(len(found) for found in panels.values())
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    grid = figure.subplots(1, len(panels), sharex=True, squeeze=False)[0]
    for axes, (budget, found) in zip(grid, panels.items(), strict=True):
        for place, (_, difference) in enumerate(found):
            colour = _OUTCOME_COLOURS[difference.outcome]
            axes.hlines(place, difference.low, difference.high, color=colour, linewidth=1.4)
            axes.plot(difference.value, place, color=colour, marker="o", markersize=4)
        axes.set_yticks(range(len(found)), [one.method for one, _ in found])
        axes.axvline(0, color=BLUE, linewidth=1)
        axes.grid(visible=False)
        axes.margins(y=0.5 / max(1, len(found)))
        axes.set_title(budget)
        axes.set_xlabel(f"{metric_label} less {REFERENCE_METHOD}'s")
    return figure


def _name_points(
    axes: Axes, summaries: Sequence[Summary], best: Sequence[Summary], cost: Cost
) -> None:
    """Name the front, and `gelora` wherever it is.

    No point lies to the upper left of the front, so the front's names stand there. `gelora` off the
    front is named to the lower right. Names keep a line's distance where points are close.
    """
    low, high = axes.get_ylim()
    several = len({summary.budget for summary in summaries}) > 1
    others = [one for one in summaries if one not in best and one.method == REFERENCE_METHOD]
    for named, side in ((best, 1), (sorted(others, key=lambda one: -one.mean), -1)):
        free = -math.inf
        for one in named:
            height = side * 72 * PLOT_HEIGHT * (one.mean - low) / (high - low)
            shift = max(4.0, free - height)
            free = height + shift + LINE
            axes.annotate(
                f"{one.method} ({one.budget})" if several else one.method,
                (cost(one), one.mean), (-5 * side, shift * side), textcoords="offset points",
                fontsize=8, color=_colour(one), ha="right" if side > 0 else "left",
                va="bottom" if side > 0 else "top",
            )  # fmt: skip


def _colour(summary: Summary) -> str:
    return BLUE if summary.method.startswith(REFERENCE_METHOD) else MUTED
