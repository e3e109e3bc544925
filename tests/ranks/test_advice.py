"""What a plan's reader is told: each sentence where it holds, and nowhere else."""

import re
from dataclasses import replace
from typing import get_args

import pytest

from example_profiles import make_profile
from gelora.dimension.diagnostics import DOUBTFUL, REMEDIES
from gelora.dimension.profile import NOT_LINEAR, LeftOut, Verdict
from gelora.ranks import plan_ranks
from gelora.ranks.advice import certainty, likely_range, measurement_advice, plan_advice
from gelora.settings import MeasurementSettings, RankSettings

GROWING = (1, 4, 7, 10)
UNSURE = (5.48, 8.5, 8.5)  # rounded 5, 9 and 9, though growth by 4 is the least likely


@pytest.mark.parametrize(
    ("dimensions", "arguments", "said"),
    [
        (
            (5, 5, 5, 5, 5),
            {},
            "less than one in 4 of 4 blocks.*uniform LoRA.*--rank_rule budget --budget r=8",
        ),
        ((5, 9, 9, 9, 9), {}, "less than one in 3 of 4 blocks.*the same growth"),
        (
            (1, 11, 1, 8, 8),
            {"budget": "r=3"},
            "give 2 of 4 blocks a rank below .*rank 6 for a growth by 10",
        ),
        (
            (1, 11, 12),
            {"max_rank": 8},
            "give 1 of 2 blocks a rank below .*layer.0 with rank 8 for a growth by 10",
        ),
        ((5, 5, 5), {"budget": 100_000}, "83,616 of the budget's 100,000 parameters are not spent"),
    ],
)
def test_what_is_said(dimensions, arguments, said):
    profile = make_profile(dimensions)
    (sentence,) = plan_advice(plan_ranks(profile, **arguments), profile)
    assert re.search(said, sentence), sentence


@pytest.mark.parametrize(
    ("dimensions", "arguments"),
    [
        (GROWING, {}),
        (GROWING, {"budget": "r=8"}),
        (GROWING, {"budget": 256 * 24 + 255}),
        ((5, 5, 5), {"budget": "r=1"}),
        ((5, 5, 5), {"min_rank": 2}),
        ((5, 9, 13), {"max_rank": 4}),
    ],
)
def test_nothing_is_said_of_what_is_expected(dimensions, arguments):
    profile = make_profile(dimensions)
    assert plan_advice(plan_ranks(profile, **arguments), profile) == ()


def test_a_rank_of_one_by_the_users_own_limit_is_not_laid_to_the_dimension():
    profile = make_profile((5, 9, 13, 17, 17))
    (sentence,) = plan_advice(plan_ranks(profile, max_rank=1), profile)
    assert sentence.startswith("The limits set give 3 of 4 blocks a rank below")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"verdicts": ("stable", "noisy", "stable", "too few samples")},
            r"3 of 3 ranks rest .*: noisy at layer.0 \(.* gride_8\); too few samples at layer.2 ",
        ),
        (
            {"verdicts": ("duplicated", "stable", "stable", "stable")},
            r"1 of 3 ranks rest on .*: duplicated at embeddings \(give texts .* source\)",
        ),
    ],
)
def test_what_is_said_of_doubtful_layers(changes, said):
    profile = replace(make_profile(GROWING), **changes)
    (sentence,) = plan_advice(plan_ranks(profile), profile)
    assert re.search(said, sentence), sentence


def test_every_verdict_has_a_meaning_and_all_but_the_best_a_remedy():
    assert set(REMEDIES) == set(get_args(Verdict))
    assert [verdict for verdict, remedy in REMEDIES.items() if not remedy.advice] == ["stable"]
    assert set(DOUBTFUL) == set(REMEDIES) - {"stable", "constant"}


BIASED = {"biased_layers": (2, 3)}
OUTLIERS = {"top_variance_shares": (0.1, 0.6, 0.9, 0.5)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (BIASED, "At layer.1 and layer.2 the dimension is so high .*docs/accuracy.md"),
        (OUTLIERS, "up to 90 % of the variance at layer.0 and layer.1, .* --states normalized"),
    ],
)
def test_what_is_said_of_the_measurement_is_no_part_of_the_plans(changes, said):
    profile = replace(make_profile(GROWING), **changes)
    (sentence,) = measurement_advice(profile)
    assert re.search(said, sentence), sentence
    (numbered,) = measurement_advice(profile, listed=str)
    assert re.search(r"[\[(][0-9], [0-9][\])]", numbered), numbered
    assert plan_advice(plan_ranks(profile), profile) == ()


def test_a_verdict_counts_only_where_a_rank_rests_on_it():
    """Not in a block that no growth is counted in, nor beyond the blocks that are adapted."""
    profile = replace(
        make_profile((0, 4, 7, 10)),
        constant_layers=(0,),
        verdicts=("constant", "noisy", "stable", "noisy"),
    )
    doubtful, _ = plan_advice(plan_ranks(profile), profile)
    assert doubtful.startswith("2 of 3 ranks rest on doubtful dimensions")
    first_block = plan_ranks(profile, target_modules=["layer.0.query"], min_rank=2)
    (sentence,) = plan_advice(first_block, profile)
    assert "begins from" in sentence


@pytest.mark.parametrize(("estimator", "advised"), [("twonn_linfit", True), ("gride_8", False)])
def test_the_estimator_that_was_used_is_not_advised(estimator, advised):
    profile = replace(make_profile(GROWING), verdicts=("noisy",) * len(GROWING))
    line = profile.series["twonn_linfit"]
    profile = replace(
        profile,
        settings=MeasurementSettings(estimator=estimator, pooling="mean"),
        series={**profile.series, "gride_8": line},
    )
    (sentence,) = plan_advice(plan_ranks(profile), profile)
    assert ("--estimator gride_8" in sentence) == advised


def test_outlier_coordinates_are_no_news_behind_a_norm():
    shares = (0.9,) * len(GROWING)
    profile = replace(
        make_profile(GROWING),
        top_variance_shares=shares,
        settings=MeasurementSettings(states="normalized", pooling="mean"),
    )
    assert measurement_advice(profile) == ()


def test_a_rank_that_is_more_likely_wrong_than_right_is_named():
    profile = make_profile(UNSURE)
    (sentence,) = plan_advice(plan_ranks(profile), profile)
    expected = "^1 of 2 ranks are more likely .*that of layer.0 with probability 0.1.*confident"
    assert re.search(expected, sentence), sentence


def test_shares_of_a_budget_may_be_unsure():
    series = make_profile(GROWING).series["twonn_linfit"]
    wide = replace(series, standard_errors=(1.0,) * 4, increment_standard_errors=(1.0,) * 3)
    profile = replace(make_profile(GROWING), series={"twonn_linfit": wide})
    plan = plan_ranks(profile, budget="r=8")
    assert max(plan.certainties) < 0.5
    assert plan_advice(plan, profile) == ()


def test_rule_confident_too_is_told_of_a_budget():
    profile = make_profile((5, 5, 5))
    (sentence,) = plan_advice(plan_ranks(profile, rank_rule="confident"), profile)
    assert "in 2 of 2 blocks, so rule confident gives them rank 1" in sentence


def test_halves_are_called_so_and_growth_without_an_adapter_is_said():
    profile = make_profile((5, 5, 7, 7, 9), granularity="sublayer")
    ones, idle = plan_advice(plan_ranks(profile), profile)
    assert "in 2 of 2 half blocks" in ones
    assert "grows in layer.0/mlp and layer.1/mlp, where no module is adapted" in idle
    assert plan_advice(plan_ranks(profile, target_modules="all-linear"), profile) == ()


def test_a_constant_layer_is_named_by_the_block_after_it():
    profile = replace(
        make_profile([0, 9, 12, 15]),
        constant_layers=(0,),
        settings=MeasurementSettings(pooling="last"),
    )
    (sentence,) = plan_advice(plan_ranks(profile), profile)
    assert sentence.startswith("What layer.0 begins from takes few values with last pooling")


def test_a_certainty_is_a_probability_or_with_a_budget_nine_tenths_of_it():
    profile = make_profile((5, 8, 8))
    shares = ({10: 0.04, 11: 0.02, 12: 0.9, 14: 0.04}, {1: 0.06, 4: 0.94})
    plan = replace(plan_ranks(profile, budget="r=8"), rank_probabilities=shares, ranks=(12, 0))
    assert likely_range(plan, 0) == (11, 12)
    assert [certainty(plan, sublayer) for sublayer in (0, 1)] == ["11–12", ""]
    for rule, expected in (("paper", "0.90"), ("confident", "0.96")):
        assert certainty(replace(plan, settings=RankSettings(rank_rule=rule)), 0) == expected


def test_plan_advice_counts_the_weights_without_adapter():
    """2 blocks of 4 x 32² in attention and 2 x 32² above, and half as many weights of experts."""
    profile = make_profile((1, 4, 7))
    experts = LeftOut("mlp.experts.up", NOT_LINEAR, 6 * 32**2)
    profile = replace(profile, left_out=(experts,))
    assert plan_advice(plan_ranks(profile), profile) == ()
    (sentence,) = plan_advice(plan_ranks(profile, target_modules="all-linear"), profile)
    assert sentence.startswith("33 % of the blocks' weights get no adapter: mlp.experts.up (not a")
    assert "--target_parameters mlp.experts.up adapts the experts, too." in sentence


def test_plan_advice_names_modules_that_share_a_weight():
    tied = LeftOut("mlp.down", "shared between blocks", 32**2)
    profile = replace(make_profile((1, 4, 7)), left_out=(tied,))
    (sentence,) = plan_advice(plan_ranks(profile), profile)
    assert (
        sentence == "8 % of the blocks' weights get no adapter: mlp.down (shared between blocks)."
    )
