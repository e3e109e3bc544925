"""Weighted metrics are the metrics of items repeated as often as they weigh."""

import numpy as np
import pytest

from gelora.errors import ArtifactError
from gelora.lab.comparison.resampling import draw_items, weighted_metric
from gelora.lab.comparison.results import Reference
from gelora.tasks.metrics import metric_values
from gelora.tasks.question_answering.scoring import answer_metrics


def reference_of(problem, labels, *, num_labels=0):
    return Reference(problem, (), num_labels, list(labels), "0" * 64)


@pytest.mark.parametrize("num_labels", [2, 3, 5])
@pytest.mark.parametrize("metric", ["accuracy", "f1", "matthews_correlation"])
def test_classes(metric, num_labels, seed):
    generator = np.random.default_rng(seed)
    labels, guesses = generator.integers(0, num_labels, (2, 60))
    predicted = np.where(generator.random(60) < 0.6, labels, guesses)
    weights = np.concatenate(list(draw_items(60, draws=7, seed=seed)))
    values = weighted_metric(
        metric,
        {"label": predicted.tolist()},
        reference_of("classification", labels.tolist(), num_labels=num_labels),
        weights,
    )
    for value, drawn in zip(values, weights.astype(int), strict=True):
        scores = np.eye(num_labels)[np.repeat(predicted, drawn)]
        expected = metric_values(scores, np.repeat(labels, drawn), metrics=[metric])
        np.testing.assert_allclose(value, expected[metric], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("metric", ["f1", "matthews_correlation"])
def test_one_class_predicted_of_all_divides_by_no_zero(metric):
    labels, predicted = np.array([0, 0, 1, 0]), np.zeros(4, int)
    reference = reference_of("classification", labels.tolist(), num_labels=2)
    values = weighted_metric(metric, {"label": predicted}, reference, np.ones((1, 4)))
    expected = metric_values(np.eye(2)[predicted], labels, metrics=[metric])
    assert values.tolist() == [expected[metric]] == [0.0]


def test_f1_is_the_mean_over_the_classes_that_a_draw_has():
    labels, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
    reference = reference_of("classification", labels.tolist(), num_labels=4)
    weights = np.array([[1.0, 1.0, 2.0, 0.0], [0.0, 1.0, 1.0, 2.0]])
    values = weighted_metric("f1", {"label": predicted}, reference, weights)
    np.testing.assert_allclose(values, [(2 / 3 + 4 / 5) / 2, (0 + 2 / 3 + 1) / 3])


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_numbers_far_from_zero(metric, seed):
    generator = np.random.default_rng(seed)
    labels = 1e4 + generator.normal(size=50).round(1)
    predicted = labels + generator.normal(size=50)
    weights = np.concatenate(list(draw_items(50, draws=7, seed=seed)))
    values = weighted_metric(
        metric, {"number": predicted.tolist()}, reference_of("regression", labels), weights
    )
    for value, drawn in zip(values, weights.astype(int), strict=True):
        expected = metric_values(
            np.repeat(predicted, drawn), np.repeat(labels, drawn), metrics=[metric]
        )
        np.testing.assert_allclose(value, expected[metric], rtol=1e-9)


def test_questions_are_in_percent():
    answers, golds = ["Paris", "in May", "a cat", "no"], [["Paris."], ["May"], ["cat"], ["yes"]]
    values = {"f1": [1, 2 / 3, 1, 0], "exact_match": [1, 0, 1, 0]}
    expected = answer_metrics(answers, golds, version_2=False)
    for metric in values:
        (found,) = weighted_metric(
            metric, values, reference_of("question_answering", ()), np.ones((1, 4))
        )
        np.testing.assert_allclose(found, expected[metric].value)


def test_perplexity_is_of_all_tokens_together():
    weights = np.array([[1.0, 1.0], [2.0, 0.0]])
    values = {"loss": [6.0, 3.0], "tokens": [3, 6]}
    found = weighted_metric("perplexity", values, reference_of("instruction_tuning", ()), weights)
    np.testing.assert_allclose(found, np.exp([9 / 9, 12 / 6]))


def test_draws_are_of_as_many_items_and_the_same_for_a_seed():
    first, again = (np.concatenate(list(draw_items(40, draws=5, seed=3))) for _ in range(2))
    assert first.shape == (5, 40)
    assert (first.sum(axis=1) == 40).all()
    np.testing.assert_array_equal(first, again)


def test_many_items_come_some_draws_at_a_time():
    chunks = [len(weights) for weights in draw_items(1_500_000, draws=5, seed=0)]
    assert chunks == [2, 2, 1]


def test_predictions_of_other_data_are_refused():
    reference = reference_of("classification", [0, 1, 1], num_labels=2)
    with pytest.raises(ArtifactError, match=r"\[2, 3\] items where 2 are resampled"):
        weighted_metric("accuracy", {"label": [0, 1]}, reference, np.ones((1, 2)))


def test_an_unknown_metric_is_refused():
    with pytest.raises(ArtifactError, match="'accuracy' of regression cannot be.*known are pears"):
        weighted_metric(
            "accuracy", {"number": [0, 1]}, reference_of("regression", [0, 1]), np.ones((1, 2))
        )
