"""Values agree with scikit-learn and scipy, errors with resampling and with repeated sampling."""

import re
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from gelora.errors import DataError
from gelora.tasks.metrics import JACKKNIFE_GROUPS, Metric, compute_metrics, metric_values

CLASS_METRICS = ("accuracy", "f1", "matthews_correlation")
NUMBER_METRICS = ("pearson", "spearman")


def one_hot(predictions, num_labels=2):
    return np.eye(num_labels)[np.asarray(predictions)]


def classes(seed, num_samples=80, positive=0.6, correct=0.8):
    generator = np.random.default_rng(seed)
    labels = (generator.random(num_samples) < positive).astype(int)
    predictions = np.where(generator.random(num_samples) < correct, labels, 1 - labels)
    return one_hot(predictions), labels


def numbers(seed, num_samples=80, correlation=0.7):
    generator = np.random.default_rng(seed)
    labels = generator.standard_normal(num_samples)
    noise = generator.standard_normal(num_samples)
    return correlation * labels + np.sqrt(1 - correlation**2) * noise, labels


def sample(seed, name, **kwargs):
    return (numbers if name in NUMBER_METRICS else classes)(seed, **kwargs)


@given(
    st.integers(2, 4).flatmap(
        lambda k: st.tuples(
            st.just(k),
            st.lists(
                st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)), min_size=2, max_size=40
            ),
        )
    )
)
def test_class_metrics_are_those_of_scikit_learn(drawn):
    num_labels, pairs = drawn
    labels, predictions = np.array(pairs).T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns where one label is all there is
        expected = {
            "accuracy": sklearn_metrics.accuracy_score(labels, predictions),
            "f1": sklearn_metrics.f1_score(
                labels,
                predictions,
                labels=None if num_labels > 2 else [0, 1],
                average="macro" if num_labels > 2 else "binary",
                zero_division=0.0,
            ),
            "matthews_correlation": sklearn_metrics.matthews_corrcoef(labels, predictions),
        }
    values = metric_values(one_hot(predictions, num_labels), labels, metrics=CLASS_METRICS)
    assert values == pytest.approx(expected, abs=1e-12)


def test_correlations_are_those_of_scipy(seed):
    scores, labels = numbers(seed)
    labels = np.round(labels, 1)  # ties, as people's ratings have
    values = metric_values(scores, labels, metrics=NUMBER_METRICS)
    assert values["pearson"] == pytest.approx(stats.pearsonr(scores, labels).statistic)
    assert values["spearman"] == pytest.approx(stats.spearmanr(scores, labels).statistic)


def test_values_by_hand():
    # 3 true positives, 1 false positive, 2 false negatives, 4 true negatives.
    labels = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0])
    predictions = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    values = metric_values(one_hot(predictions), labels, metrics=CLASS_METRICS)
    assert values["accuracy"] == pytest.approx(7 / 10)
    assert values["f1"] == pytest.approx(6 / 9)
    assert values["matthews_correlation"] == pytest.approx((3 * 4 - 1 * 2) / np.sqrt(4 * 5 * 5 * 6))


def test_accuracy_error_is_binomial():
    metric = compute_metrics(one_hot([1, 1, 0, 1]), np.array([1, 1, 1, 1]), metrics=["accuracy"])
    assert metric == {"accuracy": Metric(0.75, np.sqrt(0.75 * 0.25 / 4), 4)}


@pytest.mark.parametrize("name", ["f1", "matthews_correlation", "pearson", "spearman"])
def test_errors_are_the_textbook_jackknife(name):
    scores, labels = sample(0, name, num_samples=20)
    left_out = [
        metric_values(np.delete(scores, i, axis=0), np.delete(labels, i), metrics=[name])[name]
        for i in range(20)
    ]
    variance = 19 / 20 * np.sum((left_out - np.mean(left_out)) ** 2)
    error = compute_metrics(scores, labels, metrics=[name])[name].standard_error
    assert error == pytest.approx(np.sqrt(variance))


@pytest.mark.parametrize("name", CLASS_METRICS + NUMBER_METRICS)
def test_errors_agree_with_a_large_bootstrap(name):
    scores, labels = sample(3, name, num_samples=300)
    generator = np.random.default_rng(0)
    resampled = [
        metric_values(scores[rows], labels[rows], metrics=[name])[name]
        for rows in generator.integers(0, len(labels), (2000, len(labels)))
    ]
    error = compute_metrics(scores, labels, metrics=[name])[name].standard_error
    assert error == pytest.approx(np.std(resampled), rel=0.08)


@pytest.mark.parametrize("name", CLASS_METRICS + NUMBER_METRICS)
def test_errors_are_the_spread_over_repeated_samples(name):
    metrics = [
        compute_metrics(*sample(s, name, num_samples=50), metrics=[name])[name] for s in range(400)
    ]
    values, errors = np.array([[m.value, m.standard_error] for m in metrics]).T
    assert np.mean(errors) == pytest.approx(values.std(), rel=0.12)
    covered = np.abs(values - values.mean()) < 1.96 * errors
    assert 0.90 < covered.mean() < 0.98


@pytest.mark.parametrize("name", ["f1", "spearman"])
def test_errors_of_groups_agree_with_those_of_single_samples(name, monkeypatch):
    scores, labels = sample(1, name, num_samples=3 * JACKKNIFE_GROUPS)
    by_label = np.argsort(labels, kind="stable")  # a sorted file must not fool the groups
    scores, labels = scores[by_label], labels[by_label]
    grouped = compute_metrics(scores, labels, metrics=[name])[name]
    monkeypatch.setattr("gelora.tasks.metrics.JACKKNIFE_GROUPS", len(labels))
    single = compute_metrics(scores, labels, metrics=[name])[name]
    assert grouped.value == single.value
    assert grouped.standard_error == pytest.approx(single.standard_error, rel=0.1)


@pytest.mark.parametrize("name", CLASS_METRICS + NUMBER_METRICS)
def test_the_order_of_samples_does_not_matter(name, seed):
    scores, labels = sample(seed, name)
    order = np.random.default_rng(seed).permutation(len(labels))
    before = compute_metrics(scores, labels, metrics=[name])[name]
    after = compute_metrics(scores[order], labels[order], metrics=[name])[name]
    assert (after.value, after.standard_error) == pytest.approx(
        (before.value, before.standard_error)
    )


def test_perfect_predictions_score_one_without_error(seed):
    _, labels = classes(seed)
    metrics = compute_metrics(one_hot(labels), labels, metrics=CLASS_METRICS)
    assert metrics == dict.fromkeys(CLASS_METRICS, Metric(1.0, 0.0, len(labels)))
    _, labels = numbers(seed)
    for metric in compute_metrics(3 * labels + 1, labels, metrics=NUMBER_METRICS).values():
        assert (metric.value, metric.standard_error) == pytest.approx((1.0, 0.0), abs=1e-7)


@pytest.mark.parametrize("label", [0, 1])
def test_constant_class_predictions_are_finite(label):
    labels = np.array([0, 1, 0, 1, 1])
    metrics = compute_metrics(one_hot([label] * 5), labels, metrics=CLASS_METRICS)
    assert metrics["matthews_correlation"] == Metric(0.0, 0.0, 5)
    assert metrics["f1"].value == pytest.approx(2 * 3 / (2 * 3 + 2) if label else 0.0)


def test_a_single_class_in_the_data_is_finite():
    labels = np.zeros(3, dtype=int)
    metrics = compute_metrics(one_hot([0, 0, 0]), labels, metrics=CLASS_METRICS)
    assert metrics == {
        "accuracy": Metric(1.0, 0.0, 3),
        "f1": Metric(0.0, 0.0, 3),
        "matthews_correlation": Metric(0.0, 0.0, 3),
    }


@pytest.mark.parametrize("constant", [2.5, 0.1, 1e-9, 0.0])  # the mean of 0.1s is not 0.1
def test_constant_numbers_have_no_correlation(constant):
    metrics = compute_metrics(np.full(7, constant), np.arange(7.0), metrics=NUMBER_METRICS)
    assert metrics == dict.fromkeys(NUMBER_METRICS, Metric(0.0, 0.0, 7))


@pytest.mark.parametrize("scale", [1e-12, 1e9])
def test_correlations_do_not_depend_on_the_scale(scale, seed):
    scores, labels = numbers(seed)
    expected = metric_values(scores, labels, metrics=NUMBER_METRICS)
    scaled = metric_values(scale * scores, scale * labels, metrics=NUMBER_METRICS)
    assert scaled == pytest.approx(expected)


@pytest.mark.parametrize(
    ("scores", "labels", "metrics", "message"),
    [
        (np.zeros((0, 2)), [], ["accuracy"], "at least 2 labelled samples, got 0"),
        (np.zeros((1, 2)), [1], ["accuracy"], "at least 2 labelled samples, got 1"),
        (np.array([[np.nan, 1.0], [0.0, np.inf]]), [0, 1], ["f1"], "2 of 4 scores are NaN"),
        (np.zeros((2, 2)), [0, 5], ["f1"], "scores labels 0 to 1, the data has 0 to 5"),
        (np.zeros((2, 2)), [-1, 1], ["f1"], "scores labels 0 to 1, the data has -1 to 1"),
        (np.zeros((2, 3)), [0, 1], ["pearson"], "no metric 'pearson' for scores of shape (2, 3)"),
        (np.zeros(2), [0.0, 1.0], ["bleu"], "no metric 'bleu' for scores of shape (2,)"),
    ],
)
def test_what_cannot_be_scored_says_why(scores, labels, metrics, message):
    with pytest.raises(DataError, match=re.escape(message)):
        compute_metrics(scores, np.array(labels), metrics=metrics)
