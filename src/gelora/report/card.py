"""`write_card`: the model card of a run's adapter, from the files of the run.

The card replaces the empty one that PEFT writes, and keeps its metadata. No path of the machine
goes into it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard

from gelora.artifacts import ADAPTER_FOLDER, METRICS_FILE, PROFILE_FILE, write_text
from gelora.dimension.profile import DimensionProfile
from gelora.errors import ArtifactError
from gelora.ranks import RankPlan
from gelora.ranks.advice import measurement_advice
from gelora.ranks.decision import BOUND_CLAIM, rank_decision
from gelora.report.card_metadata import card_metadata, is_on_hub
from gelora.report.decision import result_decision
from gelora.report.figures import dimension_figure
from gelora.report.loading_code import loading_code
from gelora.report.run_files import read_config, read_environment, read_metrics
from gelora.report.stacks import list_layers
from gelora.report.tables import markdown_table, metric_table, rank_table
from gelora.report.templating import sentence, template
from gelora.report.theme import standalone, to_svg

CARD_FILE = "README.md"
FIGURE_FILE = "ranks.svg"
_LEFT_OUT = ("lower bound", "modules", "name")
"""Columns of the table of ranks that the card leaves out."""
_UNFILLED = "[More Information Needed]"
"""Placeholder in the card that PEFT makes from huggingface_hub's form."""
_TEXTS = frozenset(
    {"dtype", "attn_implementation", "config_overrides", "pooling", "states", "granularity"}
    | {"estimator", "target_modules", "rank_rule", "budget", "rounding", "init_lora_weights"}
    | {"modules_to_save", "eval_strategy", "save_strategy", "lr_scheduler_type", "optim"}
)
"""Flags that are shown if their value is a text. Any other text could be a path or a token."""
_QUESTION_ANSWERING = frozenset(
    {"version_2_with_negative", "doc_stride", "n_best_size", "max_answer_length"}
    | {"null_score_diff_threshold"}
)
_PACKAGES = {
    "gelora": "gelora",
    "peft": "PEFT",
    "transformers": "Transformers",
    "trl": "TRL",
    "torch": "PyTorch",
    "datasets": "Datasets",
    "bitsandbytes": "bitsandbytes",
}


def write_card(folder: str | Path) -> Path:
    """Write `adapter/README.md` of a run, and the figure it shows, and return its path.

    Args:
        folder: Folder of the run, after training. Without the `dimension_profile.json` that the
            plan was made from, the card has the ranks alone.

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
        figure = dimension_figure(profile, plan)
        svg = to_svg(figure, description=sentence("plan_in_words", profile, plan))
        write_text(adapter / FIGURE_FILE, standalone(svg))
    path = adapter / CARD_FILE
    existing = ModelCard.load(path).data.to_dict() if path.is_file() else {}
    write_text(path, _render(folder, plan, profile, metrics, existing))
    return path


def has_card(folder: str | Path) -> bool:
    """Say whether a run's adapter has a card other than PEFT's empty form."""
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
    existing: Mapping[str, Any],
) -> str:
    _, config = read_config(folder)
    recorded = read_environment(folder)
    data = recorded.get("data", {})
    model = str(metrics["model"])
    public = is_on_hub(model)
    ranks = [
        {heading: plain(cell) for heading, cell in row.items() if heading not in _LEFT_OUT}
        for row in rank_table(plan, profile)
    ]
    return template("model_card.md.jinja", functions={"plain": plain}).render(
        metadata=card_metadata(metrics, data=data, model=model, existing=existing).to_yaml(),
        model=model if public else Path(model).name,
        metrics=metrics,
        config=config,
        plan=plan,
        profile=profile,
        result=result_decision(metrics),
        ranks_decision=rank_decision(plan, profile),
        results=markdown_table(metric_table(metrics, own="this adapter")),
        loading=loading_code(
            metrics,
            model=model if public else f"FOLDER OF {Path(model).name}",
            adapter=str(config.get("hub_model_id") or "FOLDER OR HUB ID OF THIS ADAPTER"),
            config=config,
            data=data,
        ),
        figure=FIGURE_FILE,
        ranks=markdown_table(ranks),
        device=recorded.get("device"),
        settings=yaml.safe_dump(settings(config, metrics["problem"]), sort_keys=False),
        versions=framework_versions(recorded),
        bound_claim=BOUND_CLAIM,
        measured=_measured(profile),
    )


def plain(text: str) -> str:
    r"""Return text as Markdown that shows it letter by letter.

    >>> print(plain("a|b <c>"))
    a\|b \<c\>
    """
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text)


def _measured(profile: DimensionProfile | None) -> tuple[str, ...]:
    """Return advice on the measurement, with the layers in words."""
    if profile is None:
        return ()
    return measurement_advice(profile, listed=lambda layers: list_layers(profile, layers))


def settings(config: Mapping[str, Any], problem: str) -> dict[str, Any]:
    """Return the flags of a run that its card shows, in their order.

    Switches that are off are left out.

    >>> flags = {"seed": 42, "bf16": "true", "use_dora": False, "hub_token": "x", "doc_stride": 128}
    >>> settings(flags, "classification")
    {'seed': 42, 'bf16': True}
    """
    read = {name: _read(value) for name, value in config.items()}
    return {
        name: value
        for name, value in read.items()
        if (isinstance(value, bool | int | float) or name in _TEXTS)
        and value is not False
        and (problem == "question_answering" or name not in _QUESTION_ANSWERING)
    }


def framework_versions(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the packages that the result depends on most, with their versions.

    The line of PEFT is the one that PEFT looks for before it adds its own.
    """
    packages: Mapping[str, str] = environment.get("packages", {})
    return [(words, packages[name]) for name, words in _PACKAGES.items() if name in packages]


def _read(value: Any) -> Any:
    """Return a flag's value; those that are passed on are kept as they were typed."""
    if not isinstance(value, str):
        return value
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value
