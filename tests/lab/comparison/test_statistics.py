"""The statistics of a comparison: by hand, against closed forms, and where nothing is to find."""

import numpy as np
import pytest
from scipy import stats

from gelora.lab.comparison.results import Reference
from gelora.lab.comparison.statistics import holm, mean_ranks, paired_difference, summarise
from lab.comparison.results_examples import example_results

METHODS = {"gelora": 0.8, "lora": 0.8, "full": 0.95, "linear-probe": 0.6}


def by_method(results, **options):
    return {one.method: one for one in summarise(results, **options)}


def test_holm_by_hand():
    # 4 · 0.005, 3 · 0.01, 2 · 0.03, 1 · 0.04, none smaller than the one before
    np.testing.assert_allclose(holm([0.03, 0.01, 0.04, 0.005]), [0.06, 0.03, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_holm_never_lowers_a_p_value_and_keeps_their_order(seed):
    p_values = np.random.default_rng(seed).random(20)
    corrected = np.array(holm(p_values.tolist()))
    assert (corrected >= p_values).all()
    assert (np.diff(corrected[np.argsort(p_values)]) >= 0).all()


def test_without_an_effect_of_items_it_is_the_paired_t_test(seed):
    generator = np.random.default_rng(seed)
    values = generator.normal(0.1, 1, 6)
    resampled = np.tile(values, (50, 1))  # nothing depends on which items are drawn
    mean, low, high, p_value = paired_difference(values, resampled)
    expected = stats.ttest_1samp(values, 0)
    interval = expected.confidence_interval()
    np.testing.assert_allclose(p_value, expected.pvalue)
    np.testing.assert_allclose((mean, low, high), (values.mean(), interval.low, interval.high))


def test_where_seeds_agree_it_is_the_bootstrap_over_items(seed):
    draws = np.random.default_rng(seed).normal(0.02, 0.01, 4000)
    values, resampled = np.full(5, 0.02), np.tile(draws[:, None], (1, 5))
    _, low, high, p_value = paired_difference(values, resampled)
    error = draws.std(ddof=1)
    np.testing.assert_allclose((low, high), 0.02 + error * stats.norm.ppf([0.025, 0.975]))
    np.testing.assert_allclose(p_value, 2 * stats.norm.sf(0.02 / error))


def test_what_seeds_and_what_items_add_are_summed(seed):
    generator = np.random.default_rng(seed)
    values, shared = generator.normal(0.1, 0.02, 4), generator.normal(0, 0.03, 4000)
    resampled = values + shared[:, None]  # what an item does, it does at all seeds
    _, low, high, p_value = paired_difference(values, resampled)
    by_seeds, by_items = values.var(ddof=1) / 4, shared.var(ddof=1)
    error = (by_seeds + by_items) ** 0.5
    freedom = 3 * ((by_seeds + by_items) / by_seeds) ** 2
    np.testing.assert_allclose(high - low, 2 * error * stats.t.ppf(0.975, freedom))
    np.testing.assert_allclose(p_value, 2 * stats.t.sf(abs(values.mean()) / error, freedom))


def test_seeds_that_agree_by_chance_count_no_less_than_items_do(seed):
    # Each seed makes its own of an item, and the seeds' differences happen to be the same.
    resampled = 0.02 + np.random.default_rng(seed).normal(0, 0.01, (4000, 5))
    _, low, high, _ = paired_difference(np.full(5, 0.02), resampled)
    error = resampled.mean(axis=1).std(ddof=1)
    np.testing.assert_allclose(high - low, 2 * error * stats.norm.ppf(0.975))


def test_seeds_that_err_on_opposite_items_are_not_surer_than_the_paired_t_test(seed):
    # As where a run that has learnt nothing gives all items the one class or the other.
    generator = np.random.default_rng(seed)
    values, opposite = generator.normal(0, 1, 6), generator.normal(0, 0.9, (4000, 1))
    resampled = values + opposite * [1, -1, 1, -1, 1, -1]
    _, low, high, p_value = paired_difference(values, resampled)
    expected = stats.ttest_1samp(values, 0)
    interval = expected.confidence_interval()
    np.testing.assert_allclose((low, high), (interval.low, interval.high))
    np.testing.assert_allclose(p_value, expected.pvalue)


def test_methods_that_never_differ_are_equal_for_sure():
    assert paired_difference(np.zeros(3), np.zeros((9, 3))) == (0, 0, 0, 1)
    assert paired_difference(np.ones(3), np.ones((9, 3))) == (1, 1, 1, 0)


def test_a_method_is_found_better_or_worse_where_it_is():
    found = by_method(example_results(METHODS))
    assert {name: one.difference and one.difference.outcome for name, one in found.items()} == {
        "gelora": None, "lora": "tie", "full": "loss", "linear-probe": "win",
    }  # fmt: skip
    full = found["full"].difference
    assert full.low < full.value < full.high
    assert full.low > 0
    np.testing.assert_allclose(full.value, found["full"].mean - found["gelora"].mean)
    assert full.corrected_p >= full.p_value


def test_means_and_deviations_are_over_seeds():
    results = example_results(METHODS)
    summary = by_method(results)["lora"]
    values = [row.value for row in results.rows if row.method == "lora"]
    assert len(values) == 5
    np.testing.assert_allclose(summary.mean, np.mean(values))
    np.testing.assert_allclose(summary.standard_deviation, np.std(values, ddof=1))


def test_one_seed_is_tested_by_nothing():
    found = by_method(example_results(METHODS, seeds=[7]))
    assert found["full"].difference is None
    assert found["full"].standard_deviation is None


def test_only_seeds_that_both_have_are_paired():
    results = example_results(METHODS)
    rows = [row for row in results.rows if row.method != "gelora" or row.seed in (1, 3)]
    predictions = dict(results.predictions)
    del predictions["cola-full-r=2-3-{}"]
    lacking = type(results)(**{**vars(results), "rows": rows, "predictions": predictions})
    found = by_method(lacking)
    kept = {(row.method, row.seed): row.value for row in rows}
    expected = np.mean([kept["lora", seed] - kept["gelora", seed] for seed in (1, 3)])
    np.testing.assert_allclose(found["lora"].difference.value, expected)
    assert found["full"].difference is None


def test_less_perplexity_is_better():
    results = example_results({"gelora": 0.8, "lora": 0.8}, seeds=range(3))
    generator = np.random.default_rng(0)
    rows, predictions = [], {}
    for row in results.rows:
        loss = generator.normal(2.0 if row.method == "gelora" else 1.0, 0.1, 100)
        value = float(np.exp(loss.mean()))
        metrics = {"perplexity": {"value": value, "standard_error": 0.1, "num_samples": 100}}
        rows.append(type(row)(**{**vars(row), "metrics": metrics, "headline_metric": "perplexity"}))
        values = {"loss": loss.tolist(), "tokens": [1] * 100}
        predictions[row.hash] = type(results.predictions[row.hash])(row.hash, values)
    reference = Reference("instruction_tuning", ("perplexity",), 0, (), "0" * 64)
    changed = {"rows": rows, "predictions": predictions, "references": {"cola": reference}}
    summaries = summarise(type(results)(**{**vars(results), **changed}))
    assert summaries[1].difference.outcome == "loss"
    assert mean_ranks(summaries) == {"r=2": {"gelora": 2.0, "lora": 1.0}}


def test_ranks_are_means_over_tasks_of_methods_that_all_tasks_have():
    results = example_results(METHODS, tasks=("cola", "rte"))
    rows = [row for row in results.rows if (row.task, row.method) != ("rte", "lora")]
    ranks = mean_ranks(summarise(type(results)(**{**vars(results), "rows": rows})))
    assert ranks == {"r=2": {"full": 1.0, "gelora": 2.0, "linear-probe": 3.0}}


def test_varied_runs_are_compared_with_nothing():
    results = example_results(METHODS)
    rows = [type(row)(**{**vars(row), "varied": {"pooling": "last"}}) for row in results.rows]
    assert summarise(type(results)(**{**vars(results), "rows": rows})) == []


def test_the_same_results_give_the_same_numbers():
    assert summarise(example_results(METHODS)) == summarise(example_results(METHODS))


@pytest.mark.parametrize("spread", [0.0, 0.05], ids=["items", "seeds"])
@pytest.mark.slow
def test_between_equals_small_p_values_are_no_more_than_chance_allows(spread, seed):
    generator = np.random.default_rng(seed)
    p_values = []
    for _ in range(300):
        seeds = generator.integers(2**32, size=5).tolist()
        results = example_results(
            {"gelora": 0.8, "lora": 0.8}, seeds=seeds, spread=spread, num_items=200
        )
        p_values.append(summarise(results, draws=300)[1].difference.p_value)
    above_uniform = stats.kstest(p_values, "uniform", alternative="greater").statistic
    assert above_uniform < 0.14  # 300 uniform values exceed it once in 100,000 times
    assert np.mean(np.array(p_values) < 0.05) < 0.11
