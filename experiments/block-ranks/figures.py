"""The figures of the sweep: scores by rank for each block, and what was foretold by what was seen.

Pure functions of what stands in `analysis.json`.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from one_run import TRAINED

from gelora.report.drawing import WIDTH
from gelora.report.theme import BLUE, GREEN, INK, MUTED, VERMILION, themed

COLOURS = (BLUE, VERMILION, GREEN, INK)


@themed
def scores_figure(found: Mapping[str, Any]) -> Figure:
    """Draw a row for each task and a panel for each block: the mean score at every rank.

    Bars are one standard error over seeds, the ring is the best rank and the line gelora's.
    """
    tasks = found["tasks"]
    figure = Figure(figsize=(WIDTH, 2.3 * len(tasks)), layout="constrained")
    columns = max(len(task["blocks"]) for task in tasks.values())
    grid = figure.subplots(len(tasks), columns, sharey="row", squeeze=False)
    for row, (name, task), colour in zip(grid, tasks.items(), COLOURS, strict=False):
        error = task["error of a run by its seed"] / len(task["seeds"]) ** 0.5
        places = range(len(task["ranks"]))
        for at, means in enumerate(task["means"]):
            axes = row[at]
            best = task["ranks"].index(task["best rank"][at])
            axes.errorbar(places, means, yerr=error, color=colour, marker="o", markersize=3)
            axes.plot(best, means[best], "o", color=INK, markersize=8, fillstyle="none")
            axes.axvline(_place(task["ranks"], task[f"rank, {TRAINED}"][at]), color=MUTED)
            axes.set_xticks(places, [str(rank) for rank in task["ranks"]])
            axes.set_title(f"{name}, block {at + 1}")
        row[0].set_ylabel(task["measure"].replace("_", " "))
    figure.supxlabel("rank of the block, all others at 2", fontsize=9, color=MUTED)
    return figure


@themed
def scatter_figure(found: Mapping[str, Any]) -> Figure:
    """Draw gelora's rank by the best one, and the increment by the gain, a point for each block."""
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    ranks, gains = figure.subplots(1, 2)
    taken: Counter[tuple[float, float]] = Counter()
    for (name, task), colour in zip(found["tasks"].items(), COLOURS, strict=False):
        for at in range(len(task["blocks"])):
            best = task["ranks"].index(task["best rank"][at])
            place = task[f"rank, {TRAINED}"][at], best
            shift = 12 * taken[place]  # blocks that fall together stand side by side
            taken[place] += 1
            _number(ranks, *place, at, colour, shift=shift)
        increments, errors = task[f"increment, {TRAINED}"], task[f"increment error, {TRAINED}"]
        gain, gain_error = zip(*task["gains"]["per doubling"], strict=True)
        gains.errorbar(
            increments, gain, xerr=errors, yerr=gain_error,
            color=colour, linestyle="", elinewidth=0.8, label=name,
        )  # fmt: skip
        for at, point in enumerate(zip(increments, gain, strict=True)):
            _number(gains, *point, at, colour, shift=4)
    every = next(iter(found["tasks"].values()))["ranks"]
    ranks.set_yticks(range(len(every)), [str(rank) for rank in every])
    ranks.set_ylim(-0.5, len(every) - 0.5)
    ranks.margins(x=0.15)
    ranks.set_xlabel("rank by the paper's rule")
    ranks.set_title("best rank")
    gains.set_xlabel("increment of the dimension")
    gains.set_title("gain per doubling of the rank")
    gains.axhline(0, color=MUTED, linewidth=0.8)
    gains.legend(frameon=False, fontsize=8)
    return figure


def _number(axes: Axes, x: float, y: float, block: int, colour: str, *, shift: float) -> None:
    """Mark a point with its block's number."""
    axes.plot(x, y, "o", color=colour, markersize=3)
    axes.annotate(str(block + 1), (x, y), (4 + shift, 4), textcoords="offset points", color=colour)


def _place(ranks: list[int], rank: float) -> float:
    """Return where a rank stands among those that are swept; between two of them, between these.

    >>> _place([0, 1, 2, 4, 8, 16], 3), _place([0, 1, 2, 4, 8, 16], 40)
    (2.5, 5.0)
    """
    below = max(at for at, one in enumerate(ranks) if one <= rank)
    if below == len(ranks) - 1:
        return float(below)
    return below + (rank - ranks[below]) / (ranks[below + 1] - ranks[below])
