"""The metadata of a model card, by which the Hub lists, filters and compares models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from gelora.report.text import metric_name, second_set

_PIPELINES = {
    "classification": "text-classification",
    "regression": "text-classification",
    "question_answering": "question-answering",
    "instruction_tuning": "text-generation",
}
_METRIC_TYPES = {
    "accuracy": "accuracy",
    "exact_match": "exact_match",
    "f1": "f1",
    "matthews_correlation": "matthews_correlation",
    "pearson": "pearsonr",
    "perplexity": "perplexity",
    "spearman": "spearmanr",
}
"""The Hub's names of the metrics that it knows."""


def card_metadata(
    metrics: Mapping[str, Any],
    *,
    data: Mapping[str, Any],
    model: str,
    existing: Mapping[str, Any],
) -> ModelCardData:
    """Return the metadata of a run's card.

    Args:
        metrics: What metrics.json holds.
        data: Origin of each split, from environment.json.
        model: The model without adapter; named only if it can be on the Hub, which refuses a card
            that names a folder.
        existing: Metadata of PEFT's card or an earlier one; keys that are not set here are kept.
    """
    is_public = is_on_hub(model)
    tags = [
        tag for tag in existing.get("tags") or () if is_public or not tag.startswith("base_model:")
    ]
    dataset = (data.get("train") or {}).get("dataset") or ""
    known: dict[str, Any] = {
        "base_model": model if is_public else None,
        "library_name": "peft",
        "pipeline_tag": _PIPELINES[metrics["problem"]],
        "tags": sorted({*tags, "gelora", "lora"}),
        "datasets": [dataset] if is_on_hub(dataset) else None,
        "metrics": sorted({*filter(None, map(metric_type, metrics["metrics"]))}) or None,
        "model_name": f"{Path(model).name} on {metrics['task']}",
        "eval_results": _results(metrics, data) or None,
    }
    kept = {key: value for key, value in existing.items() if key not in {*known, "model-index"}}
    card = ModelCardData(**{**kept, **known})
    if not card.eval_results:
        card.pop("model_name")  # which the Hub knows in its index of results alone
    return card


def is_on_hub(name: str) -> bool:
    """Return whether a name can be a repository's and is no local folder's."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return not Path(name).exists()


def metric_type(name: str) -> str | None:
    """Return the Hub's name of a metric, or None if it has none.

    >>> metric_type("pearson"), metric_type("accuracy_mismatched"), metric_type("best_f1_thresh")
    ('pearsonr', 'accuracy', None)
    """
    return _METRIC_TYPES.get(second_set(name)[0])


def _results(metrics: Mapping[str, Any], data: Mapping[str, Any]) -> list[EvalResult]:
    """Return the metrics that the Hub knows, by validation set."""
    results: list[EvalResult] = []
    for name, metric in sorted(metrics["metrics"].items()):
        split = second_set(name)[1] or "validation"
        origin = data.get(split) or {}
        if kind := metric_type(name):
            results.append(
                EvalResult(
                    task_type=_PIPELINES[metrics["problem"]],
                    # A file is no data set of the Hub, whatever the task.
                    dataset_type=origin.get("dataset") or "local",
                    dataset_name=metrics["task"],
                    dataset_config=origin.get("config"),
                    dataset_split=origin.get("split") or split,
                    metric_type=kind,
                    metric_name=metric_name(name),
                    metric_value=metric["value"],
                )
            )
    return results
