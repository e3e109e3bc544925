"""`write_comparison`: the tables, the plots and one self-contained page of a comparison's folder.

The sentences stand in `templates/`. Nothing on the page is loaded from a network, and the same
results give the same bytes.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import yaml
from jinja2 import Template
from markupsafe import Markup

from gelora.artifacts import REPORT_FILE, write_text
from gelora.lab.comparison.results import (
    REFERENCE_METHOD,
    Results,
    RunResult,
    Trial,
    read_results,
    task_label,
)
from gelora.lab.comparison.search import is_tied
from gelora.lab.comparison.sensitivity import Variation, variations
from gelora.lab.comparison.statistics import SIGNIFICANT, Summary, mean_ranks, summarise
from gelora.lab.pages import comparison_figures as figures
from gelora.lab.pages import comparison_tables as tables
from gelora.report.tables import html_table, markdown_table
from gelora.report.templating import sentence, template
from gelora.report.text import keep_together, metric_name, samples_word
from gelora.report.theme import standalone, to_svg

TABLE_FILE = "table.md"
CSV_FILE = "table.csv"
PLOTS_FOLDER = "plots"

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Search:
    """How many learning rates were chosen, and how many of these choices are doubtful.

    Attributes:
        choices: Number of choices.
        fewer: Choices among fewer rates than the others.
        tied: Choices between rates that did equally well.
        at_edge: Choices of the smallest or largest rate of the grid.
    """

    choices: int
    fewer: int
    tied: int
    at_edge: int


def write_comparison(folder: str | Path) -> Path:
    """Write `table.md`, `table.csv`, `report.html` and `plots/` of a comparison.

    Args:
        folder: The comparison's `output_dir`, finished or not.

    Returns:
        The path of `report.html`.

    Raises:
        ArtifactError: There is no comparison, or a file of it cannot be read.
    """
    folder = Path(folder)
    results = read_results(folder)
    summaries, varied = summarise(results), variations(results)
    content = _content(results, summaries, varied)
    for task, drawn in content["figures"].items():
        for name, svg in drawn.items():
            path = folder / PLOTS_FOLDER / f"{_file_name(task)}-{name}.svg"
            path.parent.mkdir(exist_ok=True)
            write_text(path, standalone(svg))
    write_text(folder / CSV_FILE, tables.to_csv(summaries, varied))
    markdown = comparison_template("comparison.md.jinja", table=_plain_table).render(content)
    write_text(folder / TABLE_FILE, markdown)
    page = comparison_template("comparison.html.jinja", table=_page_table).render(content)
    write_text(folder / REPORT_FILE, keep_together(page))
    return folder / REPORT_FILE


def comparison_template(name: str, **functions: Any) -> Template:
    """Return a template that knows the functions of comparisons, and those that are passed."""
    known = {
        "REFERENCE_METHOD": REFERENCE_METHOD,
        "SIGNIFICANT": SIGNIFICANT,
        "OFF_BUDGET": tables.OFF_BUDGET,
        "groups": groups,
        "interval": tables.interval,
        "mean_and_deviation": tables.mean_and_deviation,
        "method_table": tables.method_table,
        "p_text": tables.p_text,
        "within_budget": within_budget,
    }
    return template(name, package="gelora.lab.pages", functions={**known, **functions})


def comparison_sentence(name: str, *values: object) -> str:
    """Return a sentence of `comparison_sentences.jinja` on one line."""
    return sentence(name, *values, source=comparison_template("comparison_sentences.jinja"))


def groups(items: Iterable[_Item], *names: str) -> dict[Any, list[_Item]]:
    """Return the items by attributes, in the order in which each group first comes."""
    key, found = attrgetter(*names), dict[Any, list[_Item]]()
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def within_budget(summaries: Sequence[Summary]) -> list[Summary]:
    """Return the methods whose every run meets the budget."""
    return [summary for summary in summaries if all(row.meets_budget for row in summary.rows)]


def _content(
    results: Results, summaries: Sequence[Summary], varied: Sequence[Variation]
) -> dict[str, Any]:
    """Return the values that the page and the Markdown file show."""
    problems = {name: reference.problem for name, reference in results.references.items()}
    by_task, settings = groups(summaries, "task"), results.settings
    rows, trials = groups(results.rows, "task", "budget"), groups(results.trials, "task", "budget")
    by_setting = groups(varied, "summary.method", "summary.task", "summary.budget")
    axes = ("seeds", "tasks", "methods", "budgets")
    return {
        "results": results,
        "summaries": summaries,
        "varied": varied,
        "problems": problems,
        "tested": [summary for summary in summaries if summary.difference is not None],
        "names": list(dict.fromkeys(task["name"] for task in settings["tasks"])),
        "models": list(dict.fromkeys(task["model"]["name_or_path"] for task in settings["tasks"])),
        "asked": math.prod(len(settings[axis]) for axis in axes),
        "figures": {task: _figures(here, problems[task]) for task, here in by_task.items()},
        "ranks": tables.rank_table(mean_ranks(summaries)) if len(by_task) > 1 else None,
        "sensitivity": {
            f"{method} on {task} at {budget}, varied": tables.sensitivity_table(
                here, problems[task]
            )
            for (method, task, budget), here in by_setting.items()
        },
        "search": search(results),
        "trials": {
            f"Learning rates tried on {task} at {budget}": tables.trial_table(
                here, rows.get((task, budget), []), problems[task]
            )
            for (task, budget), here in trials.items()
        },
        "failures": tables.failure_table(results.failures),
        "settings": yaml.safe_dump(dict(settings), sort_keys=False),
    }


def search(results: Results) -> Search | None:
    """Return how learning rates were chosen; None if they were not searched."""
    if not results.trials:
        return None
    rates = sorted({trial.learning_rate for trial in results.trials})
    tried: dict[tuple[str, str, str], list[Trial]] = {}
    for trial in results.trials:
        tried.setdefault(_place(trial), []).append(trial)
    chosen = {_place(row): row.learning_rate for row in results.rows if _place(row) in tried}
    asked = len(results.settings["learning_rates"])
    at_edge = sum(rate in (rates[0], rates[-1]) for rate in chosen.values())
    return Search(
        choices=len(chosen),
        fewer=sum(len(tried[place]) < asked for place in chosen),
        tied=sum(is_tied(tried[place]) for place in chosen),
        at_edge=at_edge if len(rates) > 1 else 0,
    )


def _place(record: RunResult | Trial) -> tuple[str, str, str]:
    """Return what has one learning rate: a method on a task, varied or not, at a budget."""
    return task_label(record.task, record.varied), record.budget, record.method


def _figures(summaries: Sequence[Summary], problem: str) -> dict[str, Markup]:
    metric = metric_name(summaries[0].rows[0].headline_metric)
    label = f"{metric} on the validation {samples_word(problem)}"
    drawn: dict[str, str] = {}
    for cost, measure in figures.COSTS.items():
        front = comparison_sentence("front", figures.front(summaries, measure), cost, problem)
        figure = figures.quality_figure(summaries, cost, metric_label=label)
        drawn[cost] = to_svg(figure, description=front)
    tested = [summary for summary in summaries if summary.difference is not None]
    if tested:
        drawn["differences"] = to_svg(
            figures.differences_figure(tested, metric_label=metric),
            description=comparison_sentence("differences", tested, problem),
        )
    # Markup: our own SVG, in which `to_svg` and matplotlib have escaped every name.
    return {name: Markup(svg) for name, svg in drawn.items()}


def _plain_table(frame: pd.DataFrame) -> str:
    return markdown_table(frame, rule="---")


def _page_table(frame: pd.DataFrame, label: str, classes: str = "") -> Markup:
    """Return a table for the page, with the row of `gelora` in bold."""
    own = f'<th scope="row">{REFERENCE_METHOD}</th>'
    html = html_table(frame, label, classes)
    return Markup(str(html).replace(f"<tr>{own}", f'<tr class="own">{own}'))


def _file_name(task: str) -> str:
    """Return a task's name as a file name: a task may be named by a path."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in task)
