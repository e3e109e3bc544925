"""`write_card`: the model card of a run's adapter, from the files of the run.

PEFT leaves a card with nothing but metadata beside each adapter it saves; this one takes its place,
keeps what it says, and has the result, the ranks, how to load the adapter and how it was made. No
path of the machine it was made on goes into it.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard

from gelora.artifacts import ADAPTER_FOLDER, METRICS_FILE, PROFILE_FILE, write_text
from gelora.dimension.profile import DimensionProfile
from gelora.errors import ArtifactError
from gelora.ranks import RankPlan
from gelora.ranks.advice import CERTAINTY_HEADINGS
from gelora.ranks.decision import BOUND_CLAIM, rank_decision
from gelora.report import result_wording, tables, trust_wording, wording
from gelora.report.card_metadata import card_metadata, is_on_hub
from gelora.report.card_settings import framework_versions, settings
from gelora.report.decision import result_decision
from gelora.report.figures import dimension_figure
from gelora.report.loading_code import loading_code
from gelora.report.run_files import read_config, read_environment, read_metrics
from gelora.report.templating import template
from gelora.report.theme import standalone, to_svg

CARD_FILE = "README.md"
FIGURE_FILE = "ranks.svg"
_UNFILLED = "[More Information Needed]"  # which PEFT's form, huggingface_hub's, is full of


def write_card(folder: str | Path) -> Path:
    """Write `adapter/README.md` of a run, and the figure it shows, and return its path.

    Args:
        folder: The run's, after training. Without a `dimension_profile.json`, as where a plan came
            from elsewhere, the card has the ranks alone.

    Raises:
        ArtifactError: There is no trained adapter, or a file cannot be read.
    """
    folder = Path(folder)
    plan = RankPlan.from_pretrained(folder)
    metrics = read_metrics(folder, plan)
    adapter = folder / ADAPTER_FOLDER
    if metrics is None or not adapter.is_dir():
        raise ArtifactError(
            f"{folder} holds no {METRICS_FILE} with an {ADAPTER_FOLDER} folder beside it: run "
            "`gelora train` first."
        )
    profile = _profile_of(plan, folder)
    if profile is not None:
        svg = to_svg(
            dimension_figure(profile, plan), description=wording.describe_plan(profile, plan)
        )
        write_text(adapter / FIGURE_FILE, standalone(svg))
    path = adapter / CARD_FILE
    found = ModelCard.load(path).data.to_dict() if path.is_file() else {}
    write_text(path, _render(folder, plan, profile, metrics, found))
    return path


def has_card(folder: str | Path) -> bool:
    """Say whether a run's adapter has a card, be it by other hands, and not PEFT's empty form."""
    path = Path(folder) / ADAPTER_FOLDER / CARD_FILE
    return path.is_file() and _UNFILLED not in path.read_text(encoding="utf-8")


def _profile_of(plan: RankPlan, folder: Path) -> DimensionProfile | None:
    """Return the profile that the plan was made from, if it is in the run's folder."""
    if not (folder / PROFILE_FILE).is_file():
        return None
    profile = DimensionProfile.from_pretrained(folder)
    return profile if profile.content_hash() == plan.profile_hash else None


def _render(
    folder: Path,
    plan: RankPlan,
    profile: DimensionProfile | None,
    metrics: Mapping[str, Any],
    found: Mapping[str, Any],
) -> str:
    _, config = read_config(folder)
    recorded = read_environment(folder)
    data = recorded.get("data", {})
    model = str(metrics["model"])
    metadata = card_metadata(metrics, data=data, model=model, found=found)
    sublayer = "block" if plan.granularity == "block" else "half block"
    return template(
        "model_card.md.jinja",
        filters={"plain": plain},  # names are escaped one by one
    ).render(
        metadata=yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True),
        model=model if is_on_hub(model) else Path(model).name,
        task=metrics["task"],
        headline=_headline(plan, profile, metrics),
        results=_results(metrics, config),
        loading=_loading(metrics, config, data, model),
        profile=profile,
        dimensions="" if profile is None else wording.dimension_sentence(profile),
        figure=FIGURE_FILE,
        figure_words=f"Dimension and LoRA rank of every {sublayer}",
        sublayer=sublayer,
        ranks=_ranks(plan, profile),
        measured="" if profile is None else _measured(plan, profile),
        cost=_cost(metrics, recorded),
        settings=yaml.safe_dump(settings(config, metrics["problem"]), sort_keys=False),
        versions=framework_versions(recorded),
        limits=_limits(metrics, profile),
    )


def plain(text: str) -> str:
    r"""Return text as Markdown that shows it letter by letter.

    >>> print(plain("a|b <c>"))
    a\|b \<c\>
    """
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text)


def _headline(plan: RankPlan, profile: DimensionProfile | None, metrics: Mapping[str, Any]) -> str:
    result = [result_wording.result_sentence(metrics)] if metrics["metrics"] else []
    decision = [*result_decision(metrics), *rank_decision(plan, profile)]
    return " ".join([*result, *decision, wording.rank_sentence(plan, profile)])


def _results(metrics: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    if not metrics["metrics"]:
        return "There were no validation texts to evaluate on."
    problem, baselines = metrics["problem"], metrics["baselines"]
    columns = [metrics["metrics"], *baselines.values()]
    names = [result_wording.baseline_name(name, problem) for name in baselines]
    rows = [
        [
            result_wording.metric_name(name),
            *(result_wording.metric_value(values.get(name), problem) for values in columns),
            f"{metrics['metrics'][name]['num_samples']:,}",
        ]
        for name in result_wording.in_order(metrics)
    ]
    headings = ["metric", "this adapter", *names, result_wording.samples_word(problem)]
    return f"{_table(headings, rows)}\n\n{result_wording.result_note(metrics, config)}"


def _loading(
    metrics: Mapping[str, Any], config: Mapping[str, Any], data: Mapping[str, Any], model: str
) -> str:
    adapter = config.get("hub_model_id") or "FOLDER OR HUB ID OF THIS ADAPTER"
    base = model if is_on_hub(model) else f"FOLDER OF {Path(model).name}"
    return loading_code(metrics, model=base, adapter=str(adapter), config=config, data=data)


def _ranks(plan: RankPlan, profile: DimensionProfile | None) -> str:
    if profile is None:
        bare = zip(plan.sublayers, plan.ranks, plan.parameters, strict=True)
        rows = [[plain(sublayer), str(rank), f"{count:,}"] for sublayer, rank, count in bare]
        return _table(["block", "rank", "parameters"], rows)
    headings = ["block", "dimension", "increment", "rank", CERTAINTY_HEADINGS[plan.settings.rule]]
    return _table(
        [*headings, "parameters"],
        [
            [row.number, row.dimension, row.increment, str(row.rank), row.certainty, row.parameters]
            for row in tables.sublayer_rows(profile, plan)
        ],
    )


def _measured(plan: RankPlan, profile: DimensionProfile) -> str:
    return " ".join([
        trust_wording.stop_sentence(profile),
        trust_wording.samples_sentence(profile),
        f"The estimator is {tables.estimator_words(profile)}, and ± is one standard error.",
        trust_wording.verdict_sentence(profile),
        trust_wording.certainty_note(plan),
    ])  # fmt: skip


def _cost(metrics: Mapping[str, Any], recorded: Mapping[str, Any]) -> str:
    trainable = metrics["trainable_parameters"]
    head = f" and {trainable['head']:,} of the head" if trainable["head"] else ""
    device = f" on {recorded['device']}" if "device" in recorded else ""
    return (
        f"Trained were {trainable['adapter']:,} parameters of the adapter{head}, in "
        f"{wording.duration(metrics['seconds']['train'])}{device}."
    )


def _limits(metrics: Mapping[str, Any], profile: DimensionProfile | None) -> list[str]:
    samples = result_wording.samples_word(metrics["problem"])
    chance = (
        f"One run, with seed {metrics['seed']}: the standard errors are over the validation "
        f"{samples} and do not say how much another seed would change."
    )
    measured = () if profile is None else trust_wording.measurement_sentences(profile)
    inherited = "Whatever limits and biases the model without adapter has, this one has, too."
    return [chance, BOUND_CLAIM, *measured, inherited]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, the others to the right."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
