"""What is said of a comparison, by differences that are given."""

from dataclasses import replace

import pytest

from gelora.lab.comparison.sensitivity import variations
from gelora.lab.comparison.statistics import Difference, Summary
from gelora.lab.pages.comparison_page import comparison_sentence as say
from gelora.lab.pages.comparison_page import search
from lab.comparison.results_examples import example_results
from lab.comparison.test_sensitivity import ranks, varied_results

WIN = Difference(-0.05, -0.08, -0.02, 0.001, 0.01, is_better=False)
TIE = Difference(0.02, -0.01, 0.05, 0.2, 0.4, is_better=True)
LOSS = Difference(0.05, 0.02, 0.08, 0.001, 0.01, is_better=True)
ROWS = example_results({"gelora": 0.8}, seeds=[0]).rows


def summaries(**differences):
    return [
        Summary("cola", "r=2", name.replace("_", "-"), ROWS, difference)
        for name, difference in {"gelora": None, **differences}.items()
    ]


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (WIN, "−0.050 [−0.080, −0.020], corrected p 0.010, so it matters that they stand"),
        (TIE, "+0.020 [−0.010, 0.050], corrected p 0.400, so nothing here shows that it matters"),
        (LOSS, "+0.050 [0.020, 0.080], corrected p 0.010, so their places by the dimension do"),
    ],
)
def test_a_control_says_what_it_means_for_the_places_of_ranks(difference, verdict):
    _, *tested = summaries(gelora_shuffled=difference, lora=difference)
    sentence = say("controls", tested, "classification")
    assert sentence.startswith("With the same ranks in random places (gelora-shuffled)")
    assert verdict in sentence


def test_few_that_it_ties_with_are_named_and_many_are_counted():
    few = {f"lora_r{rank}": TIE for rank in range(1, 6)}
    named = say("place", summaries(**few), "classification")
    assert named.endswith(
        ". It cannot be told from lora-r1, lora-r2, lora-r3, lora-r4 and lora-r5."
    )
    counted = say("place", summaries(**few, lora=TIE, full=LOSS), "classification")
    assert counted.endswith(". It is worse than full. It cannot be told from the other 6.")


def test_the_mark_of_a_variation_off_its_budget_is_explained():
    results = varied_results(({"pooling": "mean"}, ranks(1, 2, 2), 0.8))
    meets = variations(results)
    assert "†" not in say("sensitivity_note", meets)
    rows = [replace(row, meets_budget=False, budget_parameters=1536) for row in results.rows]
    missed = say("sensitivity_note", variations(replace(results, rows=rows)))
    assert missed.startswith(say("sensitivity_note", meets))
    assert "† misses the budget of 1,536 parameters" in missed


def test_one_place_needs_no_list_of_places():
    _, *tested = summaries(lora=WIN)
    assert say("headline", tested) == "gelora wins 1, ties 0 and loses 0 in one comparison."
    assert say("by_place", tested) == ""
    both = [*tested, *(replace(s, budget="r=8") for s in summaries(lora=LOSS)[1:])]
    assert say("headline", both) == "gelora wins 1, ties 0 and loses 1 in 2 comparisons."
    assert say("by_place", both) == (
        "On cola at r=2 it wins 1, ties 0 and loses 0. "
        "On cola at r=8 it wins 0, ties 0 and loses 1."
    )


def test_what_is_won_at_equal_budgets_is_told_from_what_is_won_at_any():
    off = [replace(row, meets_budget=False) for row in ROWS]
    both = [summaries(lora=LOSS)[1], replace(summaries(linear_probe=WIN)[1], rows=off)]
    assert say("headline", both) == "gelora wins 1, ties 0 and loses 1 in 2 comparisons."
    assert say("by_place", both) == (
        "Against those that meet the budget it wins 0, ties 0 and loses 1 in one comparison."
    )


def trials_note(results):
    return say("trials_note", search(results))


def test_methods_that_tried_fewer_rates_are_counted():
    results = example_results({"gelora": 0.8, "lora": 0.8}, seeds=[0])
    assert "fewer rates" not in trials_note(results)
    failed = [one for one in results.trials if (one.method, one.value) != ("lora", None)]
    assert "1 of 2 choices are among fewer rates, for a trial failed" in trials_note(
        replace(results, trials=failed)
    )


def test_rates_that_did_equally_well_are_told():
    results = example_results({"gelora": 0.8, "lora": 0.8}, seeds=[0])
    assert "equally well" not in trials_note(results)
    same = [replace(one, value=0.5) if one.method == "lora" else one for one in results.trials]
    assert "1 of 2 choices are between rates that did equally well" in trials_note(
        replace(results, trials=same)
    )


def test_every_value_of_a_varied_setting_is_a_choice_of_its_own():
    results = example_results({"gelora-paper": 0.8}, seeds=[0])
    rows, trials = (
        [replace(one, varied={"rounding": way}) for one in records for way in ("up", "down")]
        for records in (results.rows, results.trials)
    )
    assert "2 of 2 choices are the smallest" in trials_note(
        replace(results, rows=rows, trials=trials)
    )


@pytest.mark.parametrize(("rate", "is_edge"), [(1e-4, True), (5e-4, False), (1e-3, True)])
def test_a_rate_at_either_edge_of_the_grid_is_told(rate, is_edge):
    results = example_results(
        {"gelora": 0.8}, seeds=[0], changes={"gelora": {"learning_rate": rate}}
    )
    lowest = replace(results.trials[0], learning_rate=1e-4)
    note = trials_note(replace(results, trials=[*results.trials, lowest]))
    assert ("1 of 1 choices are the smallest or the largest" in note) == is_edge


def test_a_single_rate_is_no_search():
    results = example_results({"gelora": 0.8}, seeds=[0])
    assert "were not searched" in trials_note(replace(results, trials=[]))
