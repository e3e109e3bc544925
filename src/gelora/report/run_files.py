"""Read the files of a run for its report, and check that they belong together."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gelora.artifacts import (
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    METRICS_FILE,
    PLAN_FILE,
    PROFILE_FILE,
    content_hash,
    read_json,
)
from gelora.dimension.profile import DimensionProfile
from gelora.errors import ArtifactError
from gelora.ranks import RankPlan

_METRICS_KEYS = (
    "task", "model", "problem", "num_labels", "label_names", "headline_metric", "metrics",
    "baselines", "trainable_parameters", "seconds", "seed", "history", "plan_hash",
)  # fmt: skip


@dataclass(frozen=True)
class RunFiles:
    """What a run has left so far.

    Attributes:
        profile: The dimensions.
        plan: The ranks, made from that profile.
        metrics: What training gave, or None before it.
        environment: Where and by which command it ran; empty if that was not recorded.
        config_text: The resolved flags as YAML, "" if they were not written.
        config: The same, read.
    """

    profile: DimensionProfile
    plan: RankPlan
    metrics: Mapping[str, Any] | None
    environment: Mapping[str, Any]
    config_text: str
    config: Mapping[str, Any]

    @property
    def model(self) -> str:
        """The model's name or path, as far as the files tell."""
        if self.metrics is not None:
            return str(self.metrics["model"])
        name = self.config.get("model_name_or_path") or self.profile.fingerprint.get("model_type")
        return str(name or "the model")

    @property
    def task(self) -> str:
        """What the texts are, as far as the files tell."""
        if self.metrics is not None:
            return str(self.metrics["task"])
        keys = ("task_name", "dataset_config", "dataset_name", "train_file")
        return str(next((self.config[key] for key in keys if self.config.get(key)), "your texts"))

    def hashes(self) -> dict[str, str]:
        """Return the content hash of every file that has one, in the order they were made."""
        hashes = {"profile": self.profile.content_hash(), "plan": self.plan.content_hash()}
        if self.metrics is not None:
            hashes["metrics"] = content_hash(self.metrics)
        return hashes


def read_run(folder: Path) -> RunFiles:
    """Read the files of the run in `folder`; only the profile and the plan must be there.

    Raises:
        ArtifactError: A file is missing, cannot be read, or does not come from the others.
    """
    for name, verb in ((PROFILE_FILE, "measure"), (PLAN_FILE, "plan")):
        if not (folder / name).is_file():
            raise ArtifactError(
                f"{folder} holds no {name}, which a report needs: run `gelora {verb}` first."
            )
    profile = DimensionProfile.from_dict(read_json(folder / PROFILE_FILE, kind="dimension_profile"))
    plan = RankPlan.from_dict(read_json(folder / PLAN_FILE, kind="rank_plan"))
    check_origin(folder / PLAN_FILE, plan.profile_hash, PROFILE_FILE, profile.content_hash())
    metrics = read_metrics(folder, plan)
    config_text, config = read_config(folder)
    return RunFiles(
        profile=profile,
        plan=plan,
        metrics=metrics,
        environment=read_environment(folder),
        config_text=config_text,
        config=config,
    )


def read_metrics(folder: Path, plan: RankPlan) -> dict[str, Any] | None:
    """Read what training gave, or None before it.

    Raises:
        ArtifactError: The file cannot be read, lacks fields, or is of another plan.
    """
    path = folder / METRICS_FILE
    if not path.is_file():
        return None
    metrics = read_json(path, kind="metrics")
    missing = [key for key in _METRICS_KEYS if key not in metrics]
    if missing:
        raise ArtifactError(f"{path} lacks {', '.join(missing)}: train again to make it anew.")
    if metrics["metrics"] and metrics["headline_metric"] not in metrics["metrics"]:
        raise ArtifactError(
            f"{path} names {metrics['headline_metric']!r} as its headline metric but holds "
            f"{', '.join(metrics['metrics'])}: train again to make it anew."
        )
    check_origin(path, metrics["plan_hash"], PLAN_FILE, plan.content_hash())
    return metrics


def read_environment(folder: Path) -> dict[str, Any]:
    """Read where and by which command a run was made; empty if that was not recorded.

    Raises:
        ArtifactError: The file cannot be read.
    """
    path = folder / ENVIRONMENT_FILE
    return read_json(path, kind="environment") if path.is_file() else {}


def read_config(folder: Path) -> tuple[str, dict[str, Any]]:
    """Read the resolved flags of a run, as text and as values; both empty if there are none.

    Raises:
        ArtifactError: The file is no YAML of flags.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        return "", {}
    text = path.read_text(encoding="utf-8")
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ArtifactError(f"{path} is not readable YAML: {error}") from error
    if not isinstance(config, dict):
        raise ArtifactError(f"{path} holds no flags: each line must be `name: value`.")
    return text, config


def check_origin(path: Path, named: str, source: str, actual: str) -> None:
    """Check that a file of a run was made from the one beside it.

    Args:
        path: The file.
        named: The hash in it.
        source: Name of the file beside it that it was made from.
        actual: The hash of `source`.

    Raises:
        ArtifactError: The hashes differ.
    """
    if named != actual:
        raise ArtifactError(
            f"{path} was made from a {source} with hash {named[:12]}, but the one beside it has "
            f"{actual[:12]}: the files are of different runs; make the later one again."
        )
