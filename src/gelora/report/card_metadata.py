"""The head of a model card: what the Hub reads to list, filter and compare models.

Values in, values out.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from gelora.report.result_wording import metric_name, second_set

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
_TAGS = ("gelora", "lora")


def card_metadata(
    metrics: Mapping[str, Any],
    *,
    data: Mapping[str, Any],
    model: str,
    found: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the metadata of a run's card.

    Args:
        metrics: What metrics.json holds.
        data: Where the texts of each split came from, as environment.json says it.
        model: The model without adapter; named only if it can be on the Hub, which refuses a card
            that names a folder.
        found: What PEFT wrote, or an earlier card: kept, but for what is said anew here.
    """
    is_public = is_on_hub(model)
    tags = [
        tag for tag in found.get("tags") or () if is_public or not tag.startswith("base_model:")
    ]
    dataset = (data.get("train") or {}).get("dataset") or ""
    metadata: dict[str, Any] = {
        "base_model": model if is_public else None,
        "library_name": "peft",
        "pipeline_tag": _PIPELINES[metrics["problem"]],
        "tags": sorted({*tags, *_TAGS}),
        "datasets": [dataset] if is_on_hub(dataset) else None,
        "metrics": sorted({*filter(None, map(metric_type, metrics["metrics"]))}) or None,
        "model-index": _index(metrics, model, data) if metrics["metrics"] else None,
    }
    kept = {key: value for key, value in found.items() if key not in metadata}
    return {key: value for key, value in {**metadata, **kept}.items() if value is not None}


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


def _index(metrics: Mapping[str, Any], model: str, data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the metrics by validation set, as the Hub's index of models has them."""
    by_set: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, metric in sorted(metrics["metrics"].items()):
        if kind := metric_type(name):
            by_set[second_set(name)[1] or "validation"].append(
                {"type": kind, "value": metric["value"], "name": metric_name(name)}
            )
    results = [
        {
            "task": {"type": _PIPELINES[metrics["problem"]]},
            "dataset": _dataset(metrics["task"], data.get(split) or {}, split),
            "metrics": values,
        }
        for split, values in sorted(by_set.items(), reverse=True)
    ]
    return [{"name": f"{Path(model).name} on {metrics['task']}", "results": results}]


def _dataset(task: str, origin: Mapping[str, Any], split: str) -> dict[str, Any]:
    """Return what metrics were taken on; a file is no data set of the Hub's, whatever the task."""
    dataset = {
        "name": task,
        "type": origin.get("dataset") or "local",
        "config": origin.get("config"),
        "split": origin.get("split") or split,
    }
    return {key: value for key, value in dataset.items() if value is not None}
