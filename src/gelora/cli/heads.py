"""Find the head of an exported model in its run, the flags or the adapter's files."""

from pathlib import Path
from typing import Any

from gelora.cli.config import Config
from gelora.cli.record import trained_metrics
from gelora.errors import ConfigError
from gelora.exports.heads import adapter_head
from gelora.tasks.known import TASKS


def planned_head(config: Config) -> dict[str, Any]:
    """Return the head that the plan is for, as arguments of `load_model`.

    Raises:
        ConfigError: Neither a finished run nor the flags name it.
    """
    task = TASKS.get(config.data.task_name or "")
    problem = config.data.task_type or (task.problem if task else None)
    trained = _run_head(config)
    if trained is not None and problem in (None, trained["task"]):
        return trained
    if task is not None and task.num_labels:
        return {"task": problem, "num_labels": task.num_labels, "label_names": task.label_names}
    if problem in (None, "classification"):
        raise ConfigError(
            f"{config.folder} does not say yet what the model is to do, or with how many labels: "
            "train first, or for a language model add --task_type instruction_tuning."
        )
    return {"task": problem}


def trained_head(config: Config, folder: Path) -> dict[str, Any]:
    """Return the head of the adapter's model, as arguments of `load_model`.

    Raises:
        ArtifactError: There is no adapter in the folder, or nothing says which head it has.
    """
    trained = _run_head(config)
    return adapter_head(folder) if trained is None else trained


def _run_head(config: Config) -> dict[str, Any] | None:
    """Return the head that the run trained, or None before training."""
    metrics = trained_metrics(config.folder)
    if not metrics:
        return None
    labels = {name: metrics[name] for name in ("num_labels", "label_names") if metrics.get(name)}
    return {"task": metrics["problem"], **labels}
