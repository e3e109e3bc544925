"""Which head an exported model has: by its run, by the flags, or by the adapter's own files."""

from pathlib import Path
from typing import Any

from peft import TaskType

from gelora.artifacts import ENVIRONMENT_FILE, METRICS_FILE, read_json
from gelora.cli.config import Config
from gelora.errors import ArtifactError, ConfigError
from gelora.exports.saved import read_adapter
from gelora.hidden_states.task_head import TASK_TYPES
from gelora.tasks.known import TASKS


def planned_head(config: Config) -> dict[str, Any]:
    """Return which head the plan is for, as `load_model` takes it.

    Raises:
        ConfigError: Neither a finished run nor the flags, with those that a run left, say so.
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
    """Return which head the adapter's model has, as `load_model` takes it.

    Raises:
        ArtifactError: There is no adapter in the folder, or nothing says which head it has.
    """
    trained = _run_head(config)
    return _own_head(folder) if trained is None else trained


def _run_head(config: Config) -> dict[str, Any] | None:
    """Return what the run says of its head, if it was trained."""
    path = config.folder / METRICS_FILE
    if not path.is_file() or not (config.folder / ENVIRONMENT_FILE).is_file():
        return None
    metrics = read_json(path, kind="metrics")
    labels = {name: metrics[name] for name in ("num_labels", "label_names") if metrics.get(name)}
    return {"task": metrics["problem"], **labels}


def _own_head(folder: Path) -> dict[str, Any]:
    """Return what the adapter's files alone say of its head."""
    adapter = read_adapter(folder)
    named = adapter.config.get("task_type")
    base_class = (adapter.config.get("auto_mapping") or {}).get("base_model_class", "")
    if base_class.endswith("ForQuestionAnswering"):  # PEFT names it where there is no task type
        return {"task": "question_answering"}
    problem = next((name for name, kind in TASK_TYPES.items() if kind == named), None)
    if named is None or problem is None:
        raise ArtifactError(
            f"The adapter names the 'task_type' {named}, by which its model's head is unknown: "
            "merge it with peft's merge_and_unload."
        )
    if named != TaskType.SEQ_CLS:
        return {"task": problem}
    sides = [len(t) for name, t in adapter.tensors.items() if ".lora_" not in name and t.ndim == 2]
    if not sides:
        raise ArtifactError(
            f"The adapter in {folder} is for labels ({named}) and saves no head for them: merged, "
            "it would label at random. Save it with modules_to_save."
        )
    num_labels = min(sides)
    return {
        "task": "regression" if num_labels == 1 else "classification",
        "num_labels": num_labels,
    }
