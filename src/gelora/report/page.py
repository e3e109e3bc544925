"""`write_report`: one self-contained HTML page from the files of a run.

The sentences stand in `templates/`. Nothing on the page is loaded from a network, and the same
files give the same bytes.
"""

import json
import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup
from matplotlib.figure import Figure

from gelora.artifacts import ADAPTER_FOLDER, REPORT_FILE, THEORY_FILE, write_text
from gelora.dimension.profile import DimensionProfile
from gelora.errors import ArtifactError
from gelora.ranks import RankPlan
from gelora.ranks.advice import asks_for_rank_one, measurement_advice, plan_advice
from gelora.ranks.decision import BOUND_CLAIM, learning_rate_advice, rank_decision
from gelora.report import diagnostic_figures, figures, tables, text
from gelora.report.decision import result_decision
from gelora.report.dimension_history import History, history_figure, largest_move, read_history
from gelora.report.drawing import panel_step
from gelora.report.loading_code import loading_code
from gelora.report.run_files import RunFiles, read_run
from gelora.report.stacks import list_layers
from gelora.report.templating import template
from gelora.report.theme import to_svg

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Section:
    """A further section of a report.

    Attributes:
        name: One word for the file that the section was made from; also its anchor.
        heading: Title in the list of contents.
        content_hash: Hash of that file.
        html: The section as it stands on the page.
    """

    name: str
    heading: str
    content_hash: str
    html: Markup


MakeSection = Callable[[Path, RunFiles], Section | None]
"""Makes a section from a run's folder and its files; None where the run has nothing for it."""


def write_report(
    run_folder: str | Path,
    *,
    sections: Sequence[MakeSection] = (),
    defaults: Mapping[str, Any] | None = None,
) -> Path:
    """Write `report.html` from the files of a run, in one step, and return its path.

    Args:
        run_folder: Folder with `dimension_profile.json` and `rank_plan.json`. `metrics.json`,
            `environment.json` and `config.yaml` are used if they exist: a run that was only
            measured and planned gets a page without a training part.
        sections: Functions that make further sections, for example
            `gelora.lab.pages.theory_section.theory_section`.
        defaults: Default values of the flags. The page shows the flags that differ from them, and
            folds all others. Without defaults it folds all flags.

    Raises:
        ArtifactError: The folder or a file is missing, cannot be read, or two files are of
            different runs.
    """
    folder = Path(run_folder)
    if not folder.is_dir():
        raise ArtifactError(f"There is no run folder {folder}: give the output_dir of a run.")
    path = folder / REPORT_FILE
    run = read_run(folder)
    more = [section for make in sections if (section := make(folder, run)) is not None]
    if (folder / THEORY_FILE).is_file() and not more:
        logger.info("The report is without %s, which gelora report shows.", THEORY_FILE)
    page = _render(run, more, folder_name=str(folder), defaults=defaults)
    write_text(path, text.keep_together(page))
    return path


def _render(
    run: RunFiles,
    sections: Sequence[Section],
    *,
    folder_name: str,
    defaults: Mapping[str, Any] | None,
) -> str:
    profile, plan, metrics = run.profile, run.plan, run.metrics
    history = read_history(profile, metrics["history"] if metrics else [])
    functions = {"svg": svg, "table": tables.html_table, "estimators": tables.estimators}
    return template("report.html.jinja", functions=functions).render(
        run=run,
        profile=profile,
        plan=plan,
        metrics=metrics,
        folder=folder_name,
        result=result_decision(metrics) if metrics else (),
        certainties=rank_decision(plan, profile)[1:],
        bound_claim=BOUND_CLAIM,
        learning_rate=learning_rate_advice(plan),
        ranks=_rank_rows(plan, profile),
        roles=list(dict.fromkeys(m.role for m in profile.modules if m.name in plan.modules)),
        advice=plan_advice(plan, profile),
        budget_command=_budget_command(folder_name) if asks_for_rank_one(plan) else "",
        measurement_advice=measurement_advice(profile, listed=partial(list_layers, profile)),
        layers=_layer_rows(profile),
        scores=tables.metric_table(metrics) if metrics and metrics["metrics"] else None,
        loading=_loading(run, metrics, folder_name) if metrics else "",
        figures=_figures(run, history),
        moved=largest_move(history) if history else None,
        history=history,
        panel_step=panel_step(len(profile.layers)),
        sections=sections,
        command=shlex.join(run.environment.get("command") or []),
        changed=_changed(run.config, defaults),
    )


def svg(figure: Figure, description: str) -> Markup:
    """Return a figure for a page, with its description in words on one line."""
    # Markup: our own SVG, in which `to_svg` and matplotlib have escaped every name.
    return Markup(to_svg(figure, description=text.one_line(str(Markup(description).unescape()))))


def _rank_rows(plan: RankPlan, profile: DimensionProfile) -> tables.Rows:
    """Return the table of ranks, with paths as code."""
    *rows, total = tables.rank_table(plan, profile)
    return [*({**row, "name": tables.code(row["name"])} for row in rows), total]


def _layer_rows(profile: DimensionProfile) -> tables.Rows:
    """Return the table of layers, with doubtful verdicts marked; increments stand at the ranks."""
    rows = tables.layer_table(profile)
    for row in rows:
        del row["increment"]
        if not row["verdict"].startswith("stable"):
            row["verdict"] = Markup('<span class="doubt">{}</span>').format(row["verdict"])
    return rows


def _changed(config: Mapping[str, Any], defaults: Mapping[str, Any] | None) -> str:
    """Return the flags that differ from the defaults, as YAML; "" if there are none."""
    if defaults is None:
        return ""
    plain = json.loads(json.dumps(dict(defaults)))  # tuples become lists, as in YAML
    changed = {name: value for name, value in config.items() if value != plain.get(name)}
    return yaml.safe_dump(changed, sort_keys=False, allow_unicode=True) if changed else ""


def _loading(run: RunFiles, metrics: Mapping[str, Any], folder_name: str) -> str:
    return loading_code(
        metrics,
        model=run.model,
        adapter=f"{folder_name}/{ADAPTER_FOLDER}",
        config=run.config,
        data=run.environment.get("data", {}),
    )


def _budget_command(folder_name: str) -> str:
    """Return the command that plans by a budget from the same profile, in another folder."""
    folders = ["--profile", folder_name, "--output_dir", f"{folder_name}-r8"]
    return shlex.join(["gelora", "plan", "--rank_rule", "budget", "--budget", "r=8", *folders])


def _figures(run: RunFiles, history: History) -> dict[str, Figure]:
    profile, plan = run.profile, run.plan
    drawn = {
        "dimension": figures.dimension_figure(profile, plan),
        "chances": diagnostic_figures.chances_figure(profile, plan),
        "estimators": diagnostic_figures.estimators_figure(profile),
        "fit": diagnostic_figures.fit_figure(profile),
    }
    if len(profile.decimation) > 1:
        drawn["decimation"] = diagnostic_figures.decimation_figure(profile)
    if history:
        drawn["history"] = history_figure(profile, history)
    if run.metrics is not None and any("loss" in entry for entry in run.metrics["history"]):
        drawn["training"] = _training_figure(run.metrics)
    return drawn


def _training_figure(metrics: Mapping[str, Any]) -> Figure:
    headline, problem = metrics["headline_metric"], metrics["problem"]
    samples = text.samples_word(problem)
    return figures.training_figure(
        metrics["history"],
        metric=headline,
        metric_label=f"{text.metric_name(headline)} on the validation {samples}",
        references={
            text.baseline_name(name, problem): values[headline]["value"]
            for name, values in sorted(metrics["baselines"].items())
            if headline in values
        },
    )
