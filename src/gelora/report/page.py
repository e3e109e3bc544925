"""`write_report`: one self-contained HTML page from the files of a run.

Gathers what the template shows: figures come from `figures`, `trust_figures` and `course`,
sentences from `decision`, `wording`, `result_wording` and `trust_wording`, rows from `tables`.
Further sections are functions that the caller passes. Nothing on the page is loaded from a network,
and the same files give the same bytes.
"""

import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from gelora.artifacts import ADAPTER_FOLDER, REPORT_FILE, THEORY_FILE, write_text
from gelora.errors import ArtifactError
from gelora.ranks.advice import CERTAINTY_HEADINGS, asks_for_rank_one, certainty, plan_advice
from gelora.ranks.decision import BOUND_CLAIM, learning_rate_advice, rank_decision
from gelora.report import figures, result_wording, tables, trust_figures, trust_wording, wording
from gelora.report.course import Course, course_figure, course_sentence, dimension_course
from gelora.report.decision import result_decision
from gelora.report.drawing import panel_step
from gelora.report.loading_code import loading_code
from gelora.report.run_files import RunFiles, read_run
from gelora.report.templating import template
from gelora.report.theme import to_svg

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Section:
    """A further section of a report.

    Attributes:
        name: Of the file that it was made from, in a word.
        content_hash: Of that file.
        html: The section as it stands on the page.
    """

    name: str
    content_hash: str
    html: Markup


MakeSection = Callable[[Path, RunFiles], Section | None]
"""Makes a section from a run's folder and its files; None where the run has nothing for it."""


def write_report(run_folder: str | Path, *, sections: Sequence[MakeSection] = ()) -> Path:
    """Write `report.html` from the files of a run, in one step, and return its path.

    Args:
        run_folder: Folder with `dimension_profile.json` and `rank_plan.json`. `metrics.json`,
            `environment.json` and `config.yaml` are used if they are there: a run that has only
            been measured and planned gets a page without a training part.
        sections: What makes further sections, as `gelora.lab.pages.theory_section.theory_section`.

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
    write_text(path, _render(run, more, folder_name=str(folder)))
    return path


def _render(run: RunFiles, sections: Sequence[Section], *, folder_name: str) -> str:
    profile, plan = run.profile, run.plan
    return template("report.html.jinja").render(
        run=run,
        profile=profile,
        plan=plan,
        lead=_lead(run),
        summary=_summary(run),
        bound_claim=BOUND_CLAIM,
        learning_rate="" if run.metrics else learning_rate_advice(plan),
        sublayer_rows=tables.sublayer_rows(profile, plan),
        modules_note=tables.modules_note(run),
        advice=plan_advice(plan, profile),
        certainty_heading=CERTAINTY_HEADINGS[plan.settings.rule],
        offers_budget=asks_for_rank_one(plan),
        trust=trust_wording,
        layer_rows=tables.layer_rows(run),
        estimators=[trust_figures.estimator_label(name) for name in tables.estimators(run)],
        figures=_figures(run),
        course=course_sentence(profile, moved) if (moved := _course(run)) else "",
        shown_note=_shown_note(panel_step(len(profile.layers))),
        baseline_name=result_wording.baseline_name,
        metric_name=result_wording.metric_name,
        metric_value=result_wording.metric_value,
        facts=tables.facts(run, {one.name: one.content_hash for one in sections}),
        command=shlex.join(run.environment.get("command") or []),
        result=None if run.metrics is None else _result(run, run.metrics, folder_name),
        sections=[section.html for section in sections],
        folder=folder_name,
        budget_command=_budget_command(folder_name),
    )


def _lead(run: RunFiles) -> list[str]:
    """Return the decision: whether the adapter is worth using, and which ranks to use."""
    ranks, *_ = rank_decision(run.plan, run.profile)
    return [ranks] if run.metrics is None else [*result_decision(run.metrics), ranks]


def _summary(run: RunFiles) -> list[str]:
    """Return why, how sure that is, and the figures behind it."""
    profile, metrics = run.profile, run.metrics
    _, *why = rank_decision(run.plan, profile)
    geometry = [wording.rank_sentence(run.plan, profile), wording.dimension_sentence(profile)]
    sentences = [*why, *geometry, trust_wording.verdict_sentence(profile)]
    if metrics is None:
        return sentences
    result = [result_wording.result_sentence(metrics)] if metrics["metrics"] else []
    return [*result, *sentences, result_wording.time_sentence(metrics["seconds"])]


def _shown_note(step: int) -> str:
    """Say which layers have a panel, where not all have one."""
    return f" One of every {step} layers is shown." if step > 1 else ""


def _result(run: RunFiles, metrics: Mapping[str, Any], folder_name: str) -> dict[str, Any]:
    """Return the order of the metrics, what to know of them, and how to load the adapter."""
    adapter = f"{folder_name}/{ADAPTER_FOLDER}"
    return {
        "samples": result_wording.samples_word(metrics["problem"]),
        "names": result_wording.in_order(metrics),
        "note": result_wording.result_note(metrics, run.config),
        "loading": loading_code(
            metrics,
            model=run.model,
            adapter=adapter,
            config=run.config,
            data=run.environment.get("data", {}),
        ),
    }


def _budget_command(folder_name: str) -> str:
    """Return the command that plans by a budget from the same profile, in a folder of its own."""
    folders = ["--profile", folder_name, "--output_dir", f"{folder_name}-r8"]
    return shlex.join(["gelora", "plan", "--rank_rule", "budget", "--budget", "r=8", *folders])


def _figures(run: RunFiles) -> dict[str, Markup]:
    profile, plan = run.profile, run.plan
    described = wording.describe_layers(profile, profile.dimensions)
    sure = [certainty(plan, step) for step, rank in enumerate(plan.ranks) if rank > 0]
    found = {
        "dimension": to_svg(
            figures.dimension_figure(profile, plan),
            description=wording.describe_plan(profile, plan),
        ),
        "chances": to_svg(
            trust_figures.chances_figure(profile, plan),
            description="Probability of every rank; "
            f"{CERTAINTY_HEADINGS[plan.settings.rule]} of the planned ones, in order: "
            f"{', '.join(sure)}.",
        ),
        "estimators": to_svg(
            trust_figures.estimators_figure(profile),
            description=" ".join(
                f"By {trust_figures.estimator_label(name)}: "
                f"{wording.describe_layers(profile, profile.series[name].dimensions)}."
                for name in tables.estimators(run)
            ),
        ),
        "fit": to_svg(
            trust_figures.fit_figure(profile),
            description="For every layer, the points that TwoNN fits by a line through the "
            f"origin, whose slope is the dimension: {described}.",
        ),
    }
    if len(profile.decimation) > 1:
        found["decimation"] = to_svg(
            trust_figures.decimation_figure(profile),
            description=" ".join(
                f"By {part.num_samples:,} samples: "
                f"{wording.describe_layers(profile, part.dimensions)}."
                for part in profile.decimation
            ),
        )
    if run.metrics is not None and any("loss" in entry for entry in run.metrics["history"]):
        found["training"] = _training_figure(run.metrics)
    if moved := _course(run):
        found["course"] = to_svg(
            course_figure(profile, moved),
            description=" ".join(
                f"At step {step}: {wording.describe_layers(profile, dimensions)}."
                for step, dimensions in (moved[0], moved[-1])
            ),
        )
    # Markup: our own SVG, in which `to_svg` and matplotlib have escaped every name.
    return {name: Markup(svg) for name, svg in found.items()}


def _course(run: RunFiles) -> Course:
    """Return the dimensions that were measured again in training."""
    return [] if run.metrics is None else dimension_course(run.profile, run.metrics["history"])


def _training_figure(metrics: Mapping[str, Any]) -> str:
    headline, history = metrics["headline_metric"], metrics["history"]
    references = {
        result_wording.baseline_name(name, metrics["problem"]): values[headline]["value"]
        for name, values in sorted(metrics["baselines"].items())
        if headline in values
    }
    losses = [entry["loss"] for entry in history if "loss" in entry]
    name = result_wording.metric_name(headline)
    figure = figures.training_figure(
        history,
        metric=headline,
        metric_label=f"{name} on the validation {result_wording.samples_word(metrics['problem'])}",
        references=references,
    )
    return to_svg(
        figure,
        description=f"Training loss by step, from {losses[0]:.3f} to {losses[-1]:.3f}, and the "
        f"validation loss and {name} where they were evaluated in training.",
    )
