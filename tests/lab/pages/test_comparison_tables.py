"""The tables of a comparison by their cells."""

import csv
import io

import pytest

from gelora.lab.comparison.results import Failure
from gelora.lab.comparison.sensitivity import variations
from gelora.lab.comparison.statistics import mean_ranks, summarise
from gelora.lab.pages.comparison_tables import (
    failure_table,
    method_table,
    rank_table,
    sensitivity_table,
    to_csv,
    trial_table,
)
from gelora.report.tables import markdown_table
from lab.comparison.results_examples import example_results
from lab.comparison.test_sensitivity import ranks, varied_results

METHODS = {"gelora": 0.8, "lora": 0.8, "full": 0.95, "linear-probe": 0.6}
CHANGES = {
    "gelora": {"selection_seconds": 12.0},
    "full": {"meets_budget": False, "parameters": {"adapter": 10**7, "head": 770, "trained": 1}},
}


@pytest.fixture(scope="module")
def results():
    return example_results(METHODS, changes=CHANGES)


@pytest.fixture(scope="module")
def summaries(results):
    return summarise(results)


def cells(table, name):
    (row,) = [row for row in table.to_dict("records") if row[table.columns[0]] == name]
    return row


def test_methods_stand_with_their_cost_and_difference_the_best_first(summaries):
    table = method_table(summaries, "classification")
    assert list(table["method"])[::3] == ["full", "linear-probe"]
    own, full = cells(table, "gelora"), cells(table, "full")
    assert own["parameters"] == "20,000"
    assert own["choosing ranks"] == "12.0 s"
    assert own["training"] == "1 min 0 s"
    assert own["corrected p"] == own["gelora"] == "–"
    assert full["parameters"] == "10,000,000 †"
    assert full["choosing ranks"] == "–"
    assert (full["gelora"], full["seeds"]) == ("loses", "5")
    summary = next(one for one in summaries if one.method == "full")
    assert full["accuracy"] == f"{summary.mean:.3f} ± {summary.standard_deviation:.3f}"
    difference = summary.difference
    assert full["p"] == f"{difference.p_value:.3f}" != full["corrected p"]
    assert full["corrected p"] == f"{difference.corrected_p:.3f}"
    expected = f"+{difference.value:.3f} [{difference.low:.3f}, {difference.high:.3f}]"
    assert full["less gelora [95 %]"] == expected
    assert cells(table, "linear-probe")["gelora"] == "wins"


def test_the_chosen_rate_is_in_brackets_and_diverged_is_said(results):
    table = trial_table(results.trials, results.rows, "classification")
    assert list(table.columns) == ["method", "0.0005", "0.001"]
    assert cells(table, "lora") == {"method": "lora", "0.0005": "[0.710]", "0.001": "diverged"}


def test_a_trial_that_is_not_there_yet_is_a_dash(results):
    trials = [t for t in results.trials if (t.method, t.learning_rate) != ("lora", 1e-3)]
    assert cells(trial_table(trials, results.rows, "classification"), "lora")["0.001"] == "–"


def test_mean_ranks_have_a_column_for_each_budget():
    ranks_found = mean_ranks(summarise(example_results(METHODS, budgets=("r=2", "r=8"))))
    table = rank_table(ranks_found)
    assert list(table.columns) == ["method", "r=2", "r=8"]
    assert list(table.iloc[0]) == ["full", "1.00", "1.00"]
    assert list(table.iloc[-1]) == ["linear-probe", "4.00", "4.00"]


def test_how_ranks_and_result_move():
    results = varied_results(({}, ranks(1, 2, 2), 0.7), ({"pooling": "last"}, ranks(1, 3, 2), 0.9))
    table = sensitivity_table(variations(results), "classification")
    first, moved = cells(table, "as it is"), cells(table, "pooling last")
    assert (first["mean rank"], first["ranks by block"]) == ("1.67", "1 2 2")
    assert (first["modules moved"], first["p"]) == ("–", "–")
    assert (moved["mean rank"], moved["ranks by block"]) == ("2.00", "1 3 2")
    assert moved["modules moved"] == "2 of 6"
    assert 0 < float(moved["p"]) < 0.05


def test_failures_say_where_and_why():
    failure = Failure("run", "rte", "sora", {"pooling": "last"}, "r=2", 3, 1e-3, "Error: no")
    nowhere = Failure("ranks", "cola", "", {}, "", None, None, "Error: at all")
    assert failure_table([failure, nowhere]).to_numpy().tolist() == [
        ["rte pooling=last", "sora", "run", "r=2", "3", "0.001", "Error: no"],
        ["cola", "–", "ranks", "–", "–", "–", "Error: at all"],
    ]


def test_markdown_keeps_its_columns_whatever_is_in_the_cells():
    failure = Failure("run", "a|b", "sora", {}, "r=2", 0, 1e-3, "line\nline | more")
    lines = markdown_table(failure_table([failure])).splitlines()
    assert len(lines) == 3
    assert lines[2] == r"| a\|b | sora | run | r=2 | 0 | 0.001 | line line \| more |"


def test_csv_has_full_precision_and_nothing_where_nothing_is_known(summaries):
    found = variations(varied_results(({"pooling": "last"}, ranks(1, 3, 2), 0.9)))
    lines = list(csv.DictReader(io.StringIO(to_csv(summaries, found))))
    assert len(lines) == 5
    own, *_, varied = lines
    assert (own["method"], own["difference"], own["outcome_of_gelora"]) == ("gelora", "", "")
    assert float(own["mean"]) == summaries[0].mean
    assert float(lines[2]["p_value"]) == summaries[2].difference.p_value
    assert lines[2]["meets_budget"] == "False"
    assert varied["varied"] == "pooling=last"
    assert to_csv([], []) == ""
