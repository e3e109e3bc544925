"""What `gelora cut` left of an adapter: a decision, a table and two figures.

The page, the card and the terminal show them.
"""

from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gelora.artifacts import CUT_FILE, CUT_FOLDER
from gelora.cutting.record import AdapterCut
from gelora.report.drawing import WIDTH
from gelora.report.page import Section, svg
from gelora.report.run_files import RunFiles
from gelora.report.tables import Rows, html_table
from gelora.report.templating import sentence, template
from gelora.report.theme import BLUE, GREEN, INK, MUTED, PURPLE, themed

NEARLY_ALL = 0.8
"""Share of its parameters above which an adapter that is cut by tolerance was too small."""


def cut_section(folder: Path, run: RunFiles) -> Section | None:
    """Return the section on the cut adapter of a run, or None before `gelora cut`.

    Raises:
        ArtifactError: cut.json cannot be read.
    """
    del run
    path = folder / CUT_FOLDER / CUT_FILE
    if not path.is_file():
        return None
    record = AdapterCut.from_pretrained(path)
    page = template("cut.html.jinja", functions={"table": html_table, "svg": svg}).render(
        record=record,
        decision=cut_decision(record),
        rows=block_rows(record),
        figures={
            "ranks": ranks_figure(record) if record.blocks else None,
            "losses": losses_figure(record) if record.curve else None,
        },
    )
    # Markup: the template has escaped every name.
    return Section("cut", "What training used", record.content_hash(), Markup(page))


def cut_decision(record: AdapterCut) -> str:
    """Return what was kept, what it costs, and whether the bound was reached, in sentences."""
    functions = {"used_nearly_all": used_nearly_all}
    return sentence("decision", record, source=template("cut_sentences.jinja", functions=functions))


def used_nearly_all(record: AdapterCut) -> bool:
    """Return whether an adapter that was cut by tolerance needs nearly all of its parameters."""
    is_by_tolerance = record.settings.tolerance is not None
    return is_by_tolerance and record.parameters > NEARLY_ALL * record.parameters_before


def block_rows(record: AdapterCut) -> Rows:
    """Return a row for every block: rank kept, rank trained and bound; and a sum."""
    rows: Rows = []
    for number, block in enumerate(record.by_block(), 1):
        bound = {} if block.bound is None else {"lower bound": str(block.bound)}
        kept = sum(rank > 0 for rank in block.ranks)
        rows.append(
            {
                "block": str(number),
                "rank kept": str(block.rank),
                "rank trained": str(block.rank_before),
                **bound,
                "modules": f"{kept} of {len(block.ranks)}",
                "parameters": f"{block.parameters:,}",
            }
        )
    kept, whole = len(record.ranks), len(record.modules)
    total = {
        "block": "total",
        "modules": f"{kept} of {whole}",
        "parameters": f"{record.parameters:,}",
    }
    headings = rows[0] if rows else total
    return [*rows, {heading: total.get(heading, "") for heading in headings}]


@themed
def ranks_figure(record: AdapterCut) -> Figure:
    """Draw the rank trained and the largest rank kept of every block, and its lower bound."""
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    axes = figure.subplots()
    blocks = record.by_block()
    for position, block in enumerate(blocks, 1):
        axes.bar(position, block.rank_before, width=0.62, color=MUTED, alpha=0.25)
        axes.bar(position, block.rank, width=0.62, color=GREEN, alpha=0.75)
        if block.bound:
            axes.hlines(block.bound, position - 0.4, position + 0.4, color=INK, linewidth=1.2)
    has_bounds = any(record.bounds)
    axes.set_title(f"Rank trained and kept{'; the dash is the lower bound' if has_bounds else ''}")
    axes.set_xlabel("block")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    return figure


@themed
def losses_figure(record: AdapterCut) -> Figure:
    """Draw the validation loss by the adapter's size, and mark the size that was kept."""
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    axes = figure.subplots()
    sizes = [point.parameters for point in record.curve]
    losses = [point.loss for point in record.curve]
    errors = [point.standard_error for point in record.curve]
    axes.errorbar(sizes, losses, yerr=errors, color=BLUE, marker="o", markersize=3.5, linewidth=1.2)
    if record.point is not None:
        axes.plot(
            record.parameters, record.point.loss, "o", color=PURPLE, markersize=9, fillstyle="none"
        )
    axes.set_xscale("log")
    axes.set_title("Validation loss; the ring is the adapter that was kept")
    axes.set_xlabel("parameters")
    return figure
