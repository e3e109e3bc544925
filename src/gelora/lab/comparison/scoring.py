"""A model's metrics together with what it predicted of every item, from one pass over the data."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_softmax
from transformers import PreTrainedTokenizerBase

from gelora.lab.comparison.results import Reference
from gelora.problems import Problem
from gelora.tasks import TaskData, labelled_validation
from gelora.tasks.classification.evaluation import predict
from gelora.tasks.instruction_tuning.evaluation import perplexity, validation_losses
from gelora.tasks.metrics import Metric, compute_metrics
from gelora.tasks.question_answering.evaluation import answer_questions, metrics_of, settings_of
from gelora.tasks.question_answering.scoring import score_questions


class Scored(NamedTuple):
    """How good a model is.

    Attributes:
        metrics: Of every validation split.
        predictions: Of every item of the first, as in `Predictions`.
        loss: The mean of what training lowers, over the same items: cross-entropy in nats, or the
            squared error. None for question answering, and where the metric is a loss itself.
    """

    metrics: dict[str, Metric]
    predictions: dict[str, list[Any]]
    loss: float | None = None


def score(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    batch_size: int,
    max_length: int | None,
) -> Scored:
    """Return the metrics of every validation split, and the predictions and loss of the first.

    Raises:
        DataError: As `evaluate`.
    """
    scored: list[Scored] = []

    def score_split(data: TaskData) -> dict[str, Metric]:
        result: Scored = _SCORERS[data.problem](
            model, tokenizer, data, batch_size=batch_size, max_length=max_length
        )
        scored.append(result)
        return result.metrics

    metrics = data.score_splits(score_split)
    return scored[0]._replace(metrics=metrics)


def reference(data: TaskData, *, sha256: str) -> Reference:
    """Return what the predictions of a task are scored by."""
    has_labels = data.problem in ("classification", "regression")
    return Reference(
        problem=data.problem,
        metrics=list(data.metrics),
        num_labels=data.num_labels,
        labels=list(labelled_validation(data)["label"]) if has_labels else [],
        sha256=sha256,
    )


def _labels(model: Any, tokenizer: Any, data: TaskData, **options: Any) -> Scored:
    validation = labelled_validation(data)
    scores = predict(model, tokenizer, validation, **options, named=f"{data.name}, validation")
    labels = np.asarray(validation["label"])
    metrics = compute_metrics(scores, labels, metrics=data.metrics)
    if scores.ndim == 1:
        loss = float(np.mean((scores - labels) ** 2))
        return Scored(metrics, {"number": scores.astype(float).tolist()}, loss)
    logs = log_softmax(scores.astype(float), axis=1)[np.arange(len(labels)), labels]
    return Scored(metrics, {"label": scores.argmax(axis=1).tolist()}, -float(logs.mean()))


def _answers(model: Any, tokenizer: Any, data: TaskData, **options: Any) -> Scored:
    validation, settings = labelled_validation(data), settings_of(data)
    answers = answer_questions(model, tokenizer, data, **options)
    exact, f1 = score_questions(
        [answer.text for answer in answers],
        [gold["text"] for gold in validation["answers"]],
        version_2=bool(settings.version_2_with_negative),
    )
    values = {"f1": f1.tolist(), "exact_match": exact.tolist()}
    return Scored(metrics_of(answers, validation, settings), values)


def _completions(model: Any, tokenizer: Any, data: TaskData, **options: Any) -> Scored:
    losses, tokens = validation_losses(model, tokenizer, data, **options)
    values = {"loss": losses.tolist(), "tokens": tokens.tolist()}
    return Scored({"perplexity": perplexity(losses, tokens)}, values)


_SCORERS: Mapping[Problem, Any] = {
    "classification": _labels,
    "regression": _labels,
    "question_answering": _answers,
    "instruction_tuning": _completions,
}
