"""What the frozen model already knows: a linear model on its pooled final hidden states.

An adapter that does not beat this has learned nothing that the model did not hold. The model is
only read; a regularised linear model is fitted on the training texts alone.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.errors import DataError
from gelora.hidden_states.activations import hidden_states
from gelora.hidden_states.architectures import find_architecture
from gelora.tasks.classification.evaluation import length_sorted_batches
from gelora.tasks.metrics import Labels, Metric, Scores, compute_metrics, metric_values
from gelora.tasks.task_data import TaskData, labelled_validation

if TYPE_CHECKING:
    from datasets import Dataset

# Inverse strengths of the L2 penalty; on standardised states 1.0 is weak, 1e-4 all but the mean.
INVERSE_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
RIDGE_PENALTIES = tuple(10.0**power for power in range(-1, 6))
FOLDS = 5


def frozen_encoder_baseline(
    model: PreTrainedModel,
    data: TaskData,
    tokenizer: PreTrainedTokenizerBase,
    *,
    batch_size: int = 64,
    max_length: int | None = None,
    seed: int = 0,
) -> dict[str, Metric]:
    """Return the metrics of a linear model on the frozen model's final block.

    The states are pooled as for measuring (the mean over tokens, or the last token of a causal
    model) and standardised. Classes: logistic regression, its L2 penalty from five values by
    five-fold cross-validation on the training texts, for the task's headline metric. Numbers:
    ridge regression, its penalty from seven values by leave-one-out.

    Args:
        model: With or without a head, which is not used; it leaves as it came.
        data: Fitted on `train`, scored on `validation`.
        tokenizer: Of the model.
        batch_size: Texts in one forward pass.
        max_length: Tokens after which a text is cut; the tokenizer's and the model's limits hold.
        seed: Of the folds.

    Raises:
        DataError: There is no labelled validation split, or the training labels are all the same.
    """
    validation = labelled_validation(data)
    labels = np.asarray(validation["label"])
    labels_train = np.asarray(data.train["label"])
    if len(np.unique(labels_train)) < 2:
        raise DataError(
            f"All {len(labels_train)} training labels of {data.name} are {labels_train[0]}: there "
            "is nothing to learn."
        )
    states, states_validation = (
        _final_states(model, tokenizer, split, batch_size, max_length)
        for split in (data.train, validation)
    )
    if data.problem == "regression":
        fitted = Pipeline([("scale", StandardScaler()), ("ridge", RidgeCV(RIDGE_PENALTIES))])
        scores = fitted.fit(states, labels_train).predict(states_validation)
    else:
        num_labels = int(max(labels_train.max(), labels.max())) + 1
        classifier = _fit_classifier(states, labels_train, num_labels, data.headline_metric, seed)
        scores = _class_scores(classifier, states_validation, num_labels)
    return compute_metrics(scores, labels, metrics=data.metrics)


def _final_states(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    split: "Dataset",
    batch_size: int,
    max_length: int | None,
) -> Float[np.ndarray, "samples width"]:
    pooling = "last" if find_architecture(model).is_causal else "mean"
    order, batches = length_sorted_batches(model, split, tokenizer, batch_size, max_length)
    states = hidden_states(model, batches, pooling=pooling)[-1]
    return states.numpy().astype(np.float64)[np.argsort(order)]


def _fit_classifier(
    states: Float[np.ndarray, "samples width"],
    labels: Labels,
    num_labels: int,
    headline_metric: str,
    seed: int,
) -> Any:
    def score(candidate: Any, held_out: np.ndarray, held_out_labels: Labels) -> float:
        scores = _class_scores(candidate, held_out, num_labels)
        return metric_values(scores, held_out_labels, metrics=[headline_metric])[headline_metric]

    logistic = LogisticRegression(C=INVERSE_PENALTIES[2], max_iter=1000)
    pipeline = Pipeline([("scale", StandardScaler()), ("logistic", logistic)])
    folds = min(FOLDS, int(np.unique(labels, return_counts=True)[1].min()))
    if folds < 2:  # a class with a single text cannot be both fitted and held out
        return pipeline.fit(states, labels)
    grid: Mapping[str, Any] = {"logistic__C": INVERSE_PENALTIES}
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return GridSearchCV(pipeline, grid, scoring=score, cv=splits).fit(states, labels)


def _class_scores(
    classifier: Any, states: Float[np.ndarray, "samples width"], num_labels: int
) -> Scores:
    """Return probabilities with a column for every label, also those not seen in training."""
    scores = np.zeros((len(states), num_labels))
    scores[:, classifier.classes_] = classifier.predict_proba(states)
    return scores
