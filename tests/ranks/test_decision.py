"""Which ranks to use in words: the ranks, the growth, the certainty, and the learning rates."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from example_profiles import make_profile
from gelora.dimension.profile import DecimatedDimensions
from gelora.ranks import plan_ranks
from gelora.ranks.decision import (
    BOUND_CLAIM,
    SEARCHED_RATES,
    learning_rate_advice,
    rank_decision,
)

ROOT = Path(__file__).parents[2]
FLAT = (14.62, 14.68, 14.52, 14.24, 14.15, 13.91, 10.87)
"""The dimensions of the quick start."""


def quick_start():
    profile = make_profile(FLAT)
    line = replace(
        profile.series["twonn_linfit"],
        standard_errors=(0.32, 0.32, 0.31, 0.31, 0.31, 0.30, 0.23),
        increment_standard_errors=(0.21, 0.19, 0.21, 0.19, 0.21, 0.30),
    )
    return replace(profile, series={"twonn_linfit": line, "twonn_mle": line})


@pytest.mark.parametrize(
    ("dimensions", "arguments", "use"),
    [
        (FLAT, {}, "rank 1 in all 6 blocks.*plain LoRA of rank 1"),
        (FLAT, {"min_rank": 2}, "rank 2 in all 6 blocks.*plain LoRA of rank 2"),
        (FLAT, {"budget": "r=8"}, "rank 8 in all 6 blocks.*uniform LoRA of rank 8"),
        ((1, 4, 1, 4), {}, r"ranks of 1 to 4 in all 3 blocks \(3.0 .*4 in layer.0 and layer.2"),
        ((1, 4, 1), {"max_rank": 1}, "All ranks come out equal"),
        ((5, 5, 5), {"target_modules": ["layer.0.query"]}, "^Use rank 1 in layer.0.$"),
    ],
)
def test_rank_decision_names_the_ranks_to_use(dimensions, arguments, use):
    profile = make_profile(dimensions)
    first, *_ = rank_decision(plan_ranks(profile, **arguments), profile)
    assert re.search(use, first), first


def test_rank_decision_calls_growth_by_its_error():
    """+0.06 ± 0.21 is no growth, and -3.04 ± 0.30 is a fall."""
    profile = quick_start()
    _, growth, _ = rank_decision(plan_ranks(profile), profile)
    assert "grows in none" in growth
    assert "falls in layer.5 (-3.04 ± 0.30)" in growth
    assert "0.06" not in growth
    _, growth, _ = rank_decision(plan_ranks(make_profile((5, 8, 8))), make_profile((5, 8, 8)))
    assert "grows in layer.0 (+3.00 ± 0.05) by" in growth


@pytest.mark.parametrize(("increment", "within"), [(0.55, True), (0.65, False)])
def test_rank_decision_says_that_unequal_ranks_are_within_the_errors(increment, within):
    """A rounding that turns +0.55 ± 0.30 into a rank more is no reason for that rank."""
    profile = make_profile((5.3, 5.3 + increment, 5.0))
    line = replace(profile.series["twonn_linfit"], increment_standard_errors=(0.3, 0.3))
    profile = replace(profile, series={**profile.series, "twonn_linfit": line})
    plan = plan_ranks(profile)
    assert plan.ranks == (2, 1)
    assert (
        "within the errors, and equal ranks" in " ".join(rank_decision(plan, profile))
    ) == within


def test_rank_decision_counts_changes_where_there_are_many():
    profile = make_profile((5, 8, 11, 14, 12))
    _, growth, _ = rank_decision(plan_ranks(profile), profile)
    assert "Of 4 adapted blocks, the dimension grows in 3 and falls in layer.3 (-2.00" in growth


@pytest.mark.parametrize("arguments", [{}, {"rank_rule": "confident"}, {"budget": "r=8"}])
def test_rank_decision_says_how_sure_the_ranks_are(arguments):
    profile = replace(
        quick_start(), biased_layers=(1, 2), verdicts=("noisy", *("stable",) * (len(FLAT) - 1))
    )
    plan = plan_ranks(profile, **arguments)
    *_, sure = rank_decision(plan, profile)
    expected = "8 to 11 in layer.0" if plan.budget else f"{min(plan.certainties):.2f}, the least in"
    assert expected in sure
    assert "doubtful at 1 and bias may matter at 2 of 7 layers" in sure
    assert rank_decision(plan)[-1] == sure.partition(" That covers")[0]


def test_rank_decision_counts_layers_that_drift():
    profile = quick_start()
    whole = DecimatedDimensions(4000, FLAT, profile.standard_errors)
    part = DecimatedDimensions(250, (*FLAT[:-1], 14.0), profile.standard_errors)
    profile = replace(profile, decimation=(whole, part))
    assert (
        "drifts with the number of texts at 1 of 7"
        in rank_decision(plan_ranks(profile), profile)[-1]
    )


def test_no_decision_claims_that_rank_one_is_enough():
    profile = quick_start()
    for arguments in ({}, {"rank_rule": "confident"}, {"max_rank": 1}):
        text = " ".join(rank_decision(plan_ranks(profile, **arguments), profile))
        assert not re.search("enough|suffices? for the task", text)


def test_searched_rates_are_those_of_the_experiment():
    lines = (ROOT / "experiments/minilm-glue/trials.jsonl").read_text().splitlines()
    trials = [trial for trial in map(json.loads, lines) if trial["task"] == "sst2"]
    methods = {1: ("lora-r1", "r=2"), 2: ("lora-r2", "r=2"), 8: ("lora", "r=8")}
    for rank, (method, budget) in methods.items():
        scores = {
            trial["learning_rate"]: trial["value"]
            for trial in trials
            if (trial["method"], trial["budget"]) == (method, budget)
        }
        assert scores == pytest.approx(SEARCHED_RATES[rank])


@pytest.mark.parametrize(("budget", "advice"), [("r=1", "0.003, too"), ("r=8", "0.001 and 0.003")])
def test_learning_rate_advice_depends_on_the_ranks(budget, advice):
    text = learning_rate_advice(plan_ranks(make_profile(FLAT), budget=budget))
    assert "default is --learning_rate 0.001" in text
    assert advice in text


def test_one_wording_of_what_growth_says_of_ranks():
    """A bound on parameters is no bound on the rank of an update, wherever it is stated."""
    assert BOUND_CLAIM in (ROOT / "docs/method.md").read_text()
    paths = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "src").rglob("*.py")]
    paths += (ROOT / "src").rglob("*.jinja")
    wrong = re.compile(r"needs?\s+a\s+(LoRA|rank)[^.]*at\s+least|rank\s+1[^.]*is enough for this")
    assert not [path for path in paths if wrong.search(path.read_text())]


def test_rank_decision_names_modules_whose_matrices_are_smaller():
    profile = make_profile((1, 9, 17), key_width=4)
    first, *_ = rank_decision(plan_ranks(profile), profile)
    assert first == "Use rank 9 in all 2 blocks, and less in modules whose matrices are smaller."


def test_rank_decision_is_silent_on_growth_from_a_constant_layer():
    profile = replace(make_profile((0, 9)), constant_layers=(0,))
    sentences = rank_decision(plan_ranks(profile), profile)
    assert not any("dimension grows" in sentence for sentence in sentences)


def test_rank_decision_on_a_budget_whose_ranks_never_move():
    profile = make_profile((5, 8, 8))
    exact = replace(
        profile.series["twonn_linfit"],
        standard_errors=(0.0,) * 3,
        increment_standard_errors=(0.0,) * 2,
    )
    profile = replace(profile, series={"twonn_linfit": exact})
    *_, certainty = rank_decision(plan_ranks(profile, budget="r=8"), profile)
    assert "nine times in ten each rank stays as it is" in certainty
