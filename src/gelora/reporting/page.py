"""`write_report`: one self-contained HTML page from the files of a run.

Gathers what the template shows; figures come from `figures`, sentences from `wording`. Nothing on
the page is loaded from a network, and the same files give the same bytes.
"""

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gelora.advice import asks_for_rank_one, plan_advice
from gelora.artifacts import ADAPTER_FOLDER, REPORT_FILE, write_text
from gelora.errors import ArtifactError
from gelora.reporting import figures, wording
from gelora.reporting.run_files import RunFiles, read_run
from gelora.reporting.stacks import stack_layouts
from gelora.reporting.theme import to_svg


@dataclass(frozen=True)
class BlockRow:
    """One row of the table of blocks, as text."""

    number: str
    path: str
    dimension: str
    increment: str
    bound: int
    rank: int
    modules: int
    parameters: str


def write_report(run_folder: str | Path) -> Path:
    """Write `report.html` from the files of a run, in one step, and return its path.

    Args:
        run_folder: Folder with `dimension_profile.json` and `rank_plan.json`. `metrics.json`,
            `environment.json` and `config.yaml` are used if they are there: a run that has only
            been measured and planned gets a page without a training part.

    Raises:
        ArtifactError: The folder or a file is missing, cannot be read, or two files are of
            different runs.
    """
    folder = Path(run_folder)
    if not folder.is_dir():
        raise ArtifactError(f"There is no run folder {folder}: give the output_dir of a run.")
    path = folder / REPORT_FILE
    write_text(path, _render(read_run(folder), folder_name=str(folder)))
    return path


def _render(run: RunFiles, *, folder_name: str) -> str:
    environment = Environment(
        loader=PackageLoader("gelora.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    profile, plan = run.profile, run.plan
    return environment.get_template("report.html.jinja").render(
        run=run,
        profile=profile,
        plan=plan,
        headline=wording.headline(run),
        rows=_block_rows(run),
        modules_note=_modules_note(run),
        advice=plan_advice(plan, profile),
        offers_budget=asks_for_rank_one(plan),
        samples=wording.samples_sentence(profile),
        constant=wording.constant_sentence(profile),
        agreement=wording.agreement_sentence(profile),
        straightness=wording.fit_sentence(profile),
        figures=_figures(run),
        panel_step=figures.panel_step(profile),
        baseline_name=wording.baseline_name,
        metric_name=wording.metric_name,
        metric_value=wording.metric_value,
        facts=_facts(run),
        command=shlex.join(run.environment.get("command", [])),
        adapter=f"{folder_name}/{ADAPTER_FOLDER}",
        head=_head_arguments(run.metrics),
        folder=folder_name,
        budget_command=_budget_command(folder_name),
    )


def _head_arguments(metrics: Mapping[str, Any] | None) -> list[str]:
    """Return, as lines of code, what gives a loaded model the head that was trained."""
    if metrics is None:
        return []
    if metrics["problem"] == "regression":
        return ["num_labels=1,"]
    if "num_labels" not in metrics:  # of a run by an earlier gelora
        return ["num_labels=2,  # as many as the task has"]
    names = metrics.get("label_names")
    named = [f"id2label={dict(enumerate(names))},"] if names else []
    return [f"num_labels={metrics['num_labels']},", *named]


def _budget_command(folder_name: str) -> str:
    """Return the command that plans by a budget from the same profile, in a folder of its own."""
    folders = ["--profile", folder_name, "--output_dir", f"{folder_name}-r8"]
    return shlex.join(["gelora", "plan", "--rank_rule", "budget", "--budget", "r=8", *folders])


def _figures(run: RunFiles) -> dict[str, Markup]:
    profile, plan = run.profile, run.plan
    described = wording.describe_levels(profile, profile.dimensions)
    ranks = ", ".join(map(str, plan.ranks))
    found = {
        "dimension": to_svg(
            figures.dimension_figure(profile, plan),
            description=f"Dimension by level: {described}. Ranks of the blocks in order: {ranks}.",
        ),
        "fit": to_svg(
            figures.fit_figure(profile),
            description="For every level, the points that TwoNN fits by a line through the "
            f"origin, whose slope is the dimension: {described}.",
        ),
        "estimators": to_svg(
            figures.estimators_figure(profile),
            description=" ".join(
                f"By {figures.estimator_label(name)}: "
                f"{wording.describe_levels(profile, profile.series[name].dimensions)}."
                for name in sorted(profile.series)
            ),
        ),
    }
    if run.metrics is not None and any("loss" in entry for entry in run.metrics["history"]):
        found["training"] = _training_figure(run.metrics)
    # Markup: our own SVG, in which `to_svg` and matplotlib have escaped every name.
    return {name: Markup(svg) for name, svg in found.items()}


def _training_figure(metrics: Mapping[str, Any]) -> str:
    headline, history = metrics["headline_metric"], metrics["history"]
    references = {
        wording.baseline_name(name, metrics["problem"]): values[headline]["value"]
        for name, values in sorted(metrics["baselines"].items())
        if headline in values
    }
    losses = [entry["loss"] for entry in history if "loss" in entry]
    name = wording.metric_name(headline)
    figure = figures.training_figure(
        history,
        metric=headline,
        metric_label=name,
        references=references,
    )
    return to_svg(
        figure,
        description=f"Training loss by step, from {losses[0]:.3f} to {losses[-1]:.3f}, and the "
        f"validation loss and {name} where they were evaluated in training.",
    )


def _block_rows(run: RunFiles) -> list[BlockRow]:
    profile, plan = run.profile, run.plan
    block_of = {module.name: module.block for module in profile.modules}
    modules = Counter(block_of[name] for name in plan.modules)
    rows: list[BlockRow] = []
    for layout in stack_layouts(profile):
        for label, block in zip(layout.labels()[1:], layout.blocks, strict=True):
            level = profile.level_of(block)
            rows.append(
                BlockRow(
                    number=label.replace("block ", ""),
                    path=profile.blocks[block],
                    dimension=wording.with_error(
                        profile.dimensions[level], profile.standard_errors[level], decimals=2
                    ),
                    increment=wording.with_error(
                        profile.increments[block],
                        profile.increment_standard_errors[block],
                        decimals=2,
                        sign=True,
                    ),
                    bound=plan.bounds[block],
                    rank=plan.ranks[block],
                    modules=modules[block],
                    parameters=f"{plan.parameters[block]:,}",
                )
            )
    return rows


def _modules_note(run: RunFiles) -> str:
    """Say which modules are adapted, by their parts in a block."""
    roles = dict.fromkeys(m.role for m in run.profile.modules if m.name in run.plan.modules)
    names = [role.replace("query_key_value", "fused query-key-value") for role in roles]
    return f"Adapted in each block: {', '.join(names)}."


def _facts(run: RunFiles) -> list[tuple[str, str]]:
    """Return how the run was made, as pairs of a heading and its text."""
    profile, environment = run.profile, run.environment
    facts = [
        ("Model", run.model),
        ("Model revision", environment.get("model_revision")),
        ("Data", _flatten(environment.get("data"), ": ", "; ")),
        ("Measured", f"{profile.num_used:,} samples, {profile.forward_tokens:,} tokens"),
        (
            "Estimator",
            f"{profile.estimator}, largest {100 * profile.discard_fraction:g} % discarded",
        ),
        ("Rule", f"{run.plan.rule}, dimensions rounded {run.plan.rounding}"),
        ("Scale alpha/r", f"{run.plan.alpha_per_rank:g} in every module"),
        ("Seed", f"{profile.seed} for measuring"),
    ]
    if run.metrics is not None:
        trainable = run.metrics["trainable_parameters"]
        seconds = run.metrics["seconds"]
        peak = run.metrics.get("peak_memory_bytes")
        facts += [
            ("Seed", f"{run.metrics['seed']} for training"),
            ("Parameters", ", ".join(f"{part} {n:,}" for part, n in sorted(trainable.items()))),
            ("Time", ", ".join(f"{k} {wording.duration(seconds[k])}" for k in sorted(seconds))),
            ("Peak memory", f"{peak / 1e9:.2f} GB" if peak else None),
        ]
    processors = environment.get("processor_count")
    facts += [
        ("Device", environment.get("device")),
        ("Processors", str(processors) if processors else None),
        ("Platform", environment.get("platform")),
        ("Python", environment.get("python")),
        ("Packages", _flatten(environment.get("packages"))),
        ("Git commit", environment.get("git_commit")),
        ("Hashes", " → ".join(f"{name} {h[:16]}" for name, h in run.hashes().items())),
    ]
    return [(heading, str(text)) for heading, text in facts if text]


def _flatten(value: object, colon: str = " ", comma: str = ", ") -> str:
    """Return a JSON value on one line, in words rather than brackets."""
    if isinstance(value, Mapping):
        known = {key: one for key, one in sorted(value.items()) if one is not None}
        return comma.join(f"{key}{colon}{_flatten(one)}" for key, one in known.items())
    if isinstance(value, list | tuple):
        return " ".join(map(_flatten, value))
    return "" if value is None else str(value)
