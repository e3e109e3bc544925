"""Find the head of an adapter's model from the adapter's own files."""

from pathlib import Path
from typing import Any

from peft import TaskType

from gelora.errors import ArtifactError
from gelora.exports.saved import read_adapter
from gelora.hidden_states.task_head import TASK_TYPES


def adapter_head(folder: Path) -> dict[str, Any]:
    """Return the head that an adapter's files name, as `load_model` takes it.

    Args:
        folder: Of the adapter.

    Returns:
        "task", and for classes and numbers "num_labels".

    Raises:
        ArtifactError: There is no adapter in the folder, or its files name no head.
    """
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
