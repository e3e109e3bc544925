"""`write_comparison`: the tables, the plots and one self-contained page of a comparison's folder.

Gathers what the template shows; numbers come from `comparison.statistics`, sentences from
`comparison_wording`. Nothing on the page is loaded from a network, and the same results give the
same bytes.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from markupsafe import Markup

from gelora.artifacts import REPORT_FILE, write_text
from gelora.lab.comparison.results import REFERENCE_METHOD, Results, read_results
from gelora.lab.comparison.sensitivity import Variation, variations
from gelora.lab.comparison.statistics import Summary, mean_ranks, summarise
from gelora.lab.pages import comparison_figures as figures
from gelora.lab.pages import comparison_tables as tables
from gelora.lab.pages import comparison_wording as wording
from gelora.lab.pages.comparison_tables import Table, to_markdown
from gelora.report.result_wording import metric_name, samples_word
from gelora.report.templating import template
from gelora.report.theme import standalone, to_svg

TABLE_FILE = "table.md"
CSV_FILE = "table.csv"
PLOTS_FOLDER = "plots"

_Item = TypeVar("_Item")
_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True)
class TaskFigure:
    """A figure of a task, as it stands on the page and as a file of its own."""

    name: str
    svg: Markup
    caption: str


@dataclass(frozen=True)
class Place:
    """A task at a budget: its table, and what is said of it."""

    budget: str
    parameters: str
    sentences: Sequence[str]
    table: Table
    note: str


@dataclass(frozen=True)
class TaskPart:
    """All that the page has of a task."""

    name: str
    figures: Sequence[TaskFigure]
    places: Sequence[Place]


@dataclass(frozen=True)
class Content:
    """All that the page and the Markdown file have, in their order."""

    headline: Sequence[str]
    progress: str
    tasks: Sequence[TaskPart]
    ranks: Table | None
    sensitivity_note: str
    sensitivity: Sequence[Table]
    trials_note: str
    trials: Sequence[Table]
    failures: Table


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
    for task in content.tasks:
        for figure in task.figures:
            path = folder / PLOTS_FOLDER / f"{_file_name(task.name)}-{figure.name}.svg"
            path.parent.mkdir(exist_ok=True)
            write_text(path, standalone(figure.svg))
    write_text(folder / CSV_FILE, tables.to_csv(summaries, varied))
    write_text(folder / TABLE_FILE, _markdown(content))
    write_text(folder / REPORT_FILE, _page(content, results))
    return folder / REPORT_FILE


def _content(
    results: Results, summaries: Sequence[Summary], varied: Sequence[Variation]
) -> Content:
    problems = {name: reference.problem for name, reference in results.references.items()}
    ranks = mean_ranks(summaries) if len({one.task for one in summaries}) > 1 else {}
    by_setting = _grouped(varied, lambda v: (v.summary.task, v.summary.budget, v.summary.method))
    trials = _grouped(results.trials, lambda trial: (trial.task, trial.budget))
    rows = _grouped(results.rows, lambda row: (row.task, row.budget))
    return Content(
        headline=wording.headline(summaries) if summaries else [],
        progress=wording.progress(results),
        tasks=[
            _task(task, found, problems[task])
            for task, found in _grouped(summaries, lambda one: one.task).items()
        ],
        ranks=tables.rank_table(ranks) if ranks else None,
        sensitivity_note=wording.sensitivity_note(varied) if varied else "",
        sensitivity=[
            tables.sensitivity_table(found, problems[setting[0]])
            for setting, found in by_setting.items()
        ],
        trials_note=wording.trials_note(results),
        trials=[
            tables.trial_table(found, rows.get(place, []), problems[place[0]])
            for place, found in trials.items()
        ],
        failures=tables.failure_table(results.failures),
    )


def _grouped(items: Iterable[_Item], key: Callable[[_Item], _Key]) -> dict[_Key, list[_Item]]:
    """Return the items by a key, in the order in which each first comes."""
    groups: dict[_Key, list[_Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _task(name: str, summaries: Sequence[Summary], problem: str) -> TaskPart:
    places = [
        Place(
            budget=budget,
            parameters=f"{here[0].rows[0].budget_parameters:,}",
            sentences=wording.place_sentences(here, problem),
            table=tables.method_table(here, problem),
            note=wording.place_note(here, problem),
        )
        for budget, here in _grouped(summaries, lambda one: one.budget).items()
    ]
    return TaskPart(name, _figures(summaries, problem), places)


def _figures(summaries: Sequence[Summary], problem: str) -> list[TaskFigure]:
    metric = metric_name(summaries[0].rows[0].headline_metric)
    label = f"{metric} on the validation {samples_word(problem)}"
    found: list[TaskFigure] = []
    for name, draw, cost, words in (
        ("parameters", figures.parameters_figure, figures.adapter_parameters, "parameters"),
        ("seconds", figures.seconds_figure, figures.total_seconds, "seconds"),
    ):
        best = wording.describe(figures.front(summaries, cost), problem)
        found.append(
            TaskFigure(
                name,
                Markup(
                    to_svg(
                        draw(summaries, metric_label=label),
                        description=f"Quality by {words}; the Pareto front is {best}.",
                    )
                ),
                "Mean ± standard deviation over seeds, gelora and its kin in blue. The line is the "
                f"Pareto front: no other method is as good with fewer {words}.",
            )
        )
    tested = [one for one in summaries if one.difference is not None]
    if tested:
        found.append(
            TaskFigure(
                "differences",
                Markup(
                    to_svg(
                        figures.differences_figure(tested, metric_label=metric),
                        description="Differences from gelora with their intervals: "
                        + ", ".join(
                            f"{one.method} at {one.budget} "
                            f"{tables.interval(one.difference, problem)}"
                            for one in tested
                        ),
                    )
                ),
                "Each method less gelora, with its 95 % interval before correction. By the "
                "corrected p gelora wins against those in green, loses against those in red, and "
                "ties with the others.",
            )
        )
    return found


def _markdown(content: Content) -> str:
    parts = ["# Comparison", *content.headline[:1], " ".join(content.headline[1:])]
    parts.append(content.progress)
    if content.headline:
        parts.append(f"{wording.OUTCOME_NOTE} {wording.TEST_NOTE}")
    for task in content.tasks:
        for place in task.places:
            parts += [
                f"## {task.name}, budget {place.budget} ({place.parameters} parameters)",
                " ".join(place.sentences),
                to_markdown(place.table).rstrip(),
                place.note,
            ]
    if content.ranks is not None:
        parts += ["## Mean rank over tasks", to_markdown(content.ranks).rstrip()]
    parts.append(content.sensitivity_note)
    for table in content.sensitivity:
        parts += [f"## {table.label}", to_markdown(table).rstrip()]
    parts += ["## Learning rates", content.trials_note]
    for table in content.trials:
        parts += [f"### {table.label}", to_markdown(table).rstrip()]
    if content.failures.rows:
        parts += ["## What failed", to_markdown(content.failures).rstrip()]
    return "\n\n".join(part for part in parts if part) + "\n"


def _page(content: Content, results: Results) -> str:
    settings: Mapping[str, Any] = results.settings
    tasks = settings["tasks"]
    return template("comparison.html.jinja", package="gelora.lab.pages").render(
        vars(content),
        reference=REFERENCE_METHOD,
        names=list(dict.fromkeys(task["name"] for task in tasks)),
        models=list(dict.fromkeys(task["model"]["name_or_path"] for task in tasks)),
        outcome_note=wording.OUTCOME_NOTE,
        test_note=wording.TEST_NOTE,
        settings=yaml.safe_dump(dict(settings), sort_keys=False),
    )


def _file_name(task: str) -> str:
    """Return a task's name as that of a file: it may be one, with folders."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in task)
