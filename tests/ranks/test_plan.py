"""The rules: what they must satisfy for any profile, then the paper's arithmetic by hand."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from example_profiles import make_profile
from gelora.dimension.profile import DimensionProfile
from gelora.errors import ArtifactError, ConfigError, RankError
from gelora.ranks import RankPlan, plan_ranks

dimension_lists = st.lists(st.floats(0, 30), min_size=2, max_size=8)
roundings = st.sampled_from(["nearest", "up", "down"])


@given(dimension_lists, roundings)
def test_paper_rank_is_the_lower_bound_plus_one(dimensions, rounding):
    plan = plan_ranks(make_profile(dimensions), rounding=rounding)
    assert plan.ranks == tuple(bound + 1 for bound in plan.bounds)
    assert plan.trainable_parameters == sum(rank * 4 * (32 + 32) for rank in plan.ranks)


def test_paper_rule_by_hand():
    profile = make_profile([5.2, 7.5, 6.0, 6.4, 6.5])  # rounded 5, 8, 6, 6, 7
    assert plan_ranks(profile).ranks == (4, 1, 1, 2)
    assert plan_ranks(profile, rounding="up").ranks == (3, 1, 2, 1)  # 6, 8, 6, 7, 7
    assert plan_ranks(profile, rounding="down").ranks == (3, 1, 1, 1)  # 5, 7, 6, 6, 6


@pytest.mark.parametrize(
    ("dimensions", "paper", "confident"),
    [
        ((5.48, 8.50), 5, 5),  # at most 4 with probability 0.88
        ((5.50, 8.45), 3, 4),  # at most 3 with probability 0.20
        ((5.499, 8.501), 5, 4),  # at most 4 with probability 0.92
    ],
)
def test_confident_rule_by_hand(dimensions, paper, confident):
    profile = make_profile(dimensions)  # errors 0.10, of the increment 0.05
    assert plan_ranks(profile).ranks == (paper,)
    assert plan_ranks(profile, rule="confident").ranks == (confident,)


@pytest.mark.parametrize("budget", [None, "r=4"])
def test_growth_out_of_a_constant_level_is_not_counted(budget):
    flat = make_profile([12.0, 12.0, 12.0, 15.0])
    constant = replace(make_profile([0.0, 12.0, 12.0, 15.0]), constant_levels=(0,))
    assert plan_ranks(constant, budget=budget).ranks == plan_ranks(flat, budget=budget).ranks


@given(dimension_lists, st.integers(1, 32))
def test_uniform_growth_spends_a_uniform_budget_evenly(dimensions, rank):
    level = make_profile([dimensions[0]] * len(dimensions))
    plan = plan_ranks(level, budget=f"r={rank}")
    assert plan.ranks == (rank,) * len(plan.blocks)
    assert plan.trainable_parameters == plan.budget


@given(dimension_lists, st.integers(1, 30))
def test_budget_is_spent_to_within_one_step(dimensions, rank):
    plan = plan_ranks(make_profile(dimensions), budget=f"r={rank}")
    left = plan.budget - plan.trainable_parameters
    step = 4 * (32 + 32)
    assert left >= 0
    assert left < step or all(r == 32 for r in plan.ranks)


@given(dimension_lists, st.integers(1, 30))
@example([0.0, 2.0, 12.0], 6)  # in proportion to 3 and 11 it would be 3 and 9
def test_budget_keeps_the_lower_bounds_it_can_pay_for(dimensions, rank):
    plan = plan_ranks(make_profile(dimensions), budget=f"r={rank}")
    affordable = sum(max(bound, 1) for bound in plan.bounds) <= rank * len(plan.blocks)
    if affordable:
        assert all(r >= bound for r, bound in zip(plan.ranks, plan.bounds, strict=True))


@given(dimension_lists, st.integers(1, 30))
def test_budget_ranks_grow_with_the_increments(dimensions, rank):
    profile = make_profile(dimensions)
    plan = plan_ranks(profile, budget=f"r={rank}")
    growth = [max(increment, 0) + 1 for increment in profile.increments]
    order = sorted(zip(growth, plan.bounds, plan.ranks, strict=True))
    for (low, low_bound, low_rank), (high, _, high_rank) in pairwise(order):
        if high > low and low_rank > max(low_bound, 1):  # a bound by rounding may stand above
            assert high_rank >= low_rank


@given(dimension_lists, st.integers(1, 6), st.integers(6, 32), st.sampled_from([None, "r=6"]))
def test_limits_hold(dimensions, low, high, budget):
    plan = plan_ranks(make_profile(dimensions), min_rank=low, max_rank=high, budget=budget)
    assert all(low <= rank <= high for rank in plan.ranks)


def test_a_limit_makes_no_rank_more_likely_to_suffice():
    profile = make_profile([5, 12, 12])
    plan = plan_ranks(profile, rule="confident", max_rank=2)
    assert plan.ranks == (2, 1)
    assert plan.certainties == (0, 1)
    free = plan_ranks(profile, rule="confident")
    assert plan.rank_probabilities == free.rank_probabilities


def test_no_module_gets_more_than_its_smaller_side():
    plan = plan_ranks(make_profile([1, 13], key_width=4))
    assert plan.ranks == (13,)
    assert plan.modules["layer.0.query"] == 13
    assert plan.modules["layer.0.key"] == 4
    assert plan.alphas["layer.0.key"] == 8
    assert plan.trainable_parameters == 2 * 13 * (32 + 32) + 2 * 4 * (32 + 4)


def test_alpha_over_rank_is_constant():
    plan = plan_ranks(make_profile([5, 8, 6, 7]), alpha_per_rank=1.5)
    assert all(alpha / plan.modules[name] == 1.5 for name, alpha in plan.alphas.items())


def test_lora_alpha_belongs_to_the_largest_rank():
    plan = plan_ranks(make_profile([5, 8, 6, 7]), lora_alpha=16)
    assert plan.ranks == (4, 1, 2)
    assert plan.alpha_per_rank == 4
    assert plan.alphas["layer.1.query"] == 4


@pytest.mark.parametrize("budget", [2048, 2048.0, "2048", "2_048", "2,048", "2.048e3", "r = 8"])
def test_ways_to_write_a_budget(budget):
    assert plan_ranks(make_profile([5, 6]), budget=budget).budget == 2048


@pytest.mark.parametrize(
    ("target_modules", "count"),
    [("attention", 4), ("all-linear", 5), (["query", "up"], 2), (["bert.layer.0.key"], 1)],
)
def test_target_modules(target_modules, count):
    plan = plan_ranks(make_profile([5, 6]), target_modules=target_modules)
    assert len(plan.modules) == count


def test_block_without_adapted_modules_has_rank_zero():
    plan = plan_ranks(make_profile([5, 6, 7]), target_modules=["layer.1.query"], budget="r=3")
    assert plan.ranks == (0, 3)
    assert plan.parameters == (0, 3 * 64)


def test_every_module_takes_the_rank_of_the_half_it_works_in():
    profile = make_profile([5, 8, 8, 8, 10], granularity="sublayer")
    plan = plan_ranks(profile, target_modules="all-linear")
    halves = ("layer.0/attention", "layer.0/mlp", "layer.1/attention", "layer.1/mlp")
    assert plan.granularity == "sublayer"
    assert (plan.blocks, plan.steps) == (("layer.0", "layer.1"), halves)
    assert plan.ranks == (4, 1, 1, 3)
    assert plan.modules["layer.0.query"] == plan.modules["layer.0.output"] == 4
    assert plan.modules["layer.0.up"] == plan.modules["layer.1.query"] == 1
    assert plan.modules["layer.1.up"] == 3
    assert plan.parameters == (4 * 4 * 64, 96, 4 * 64, 3 * 96)


def test_a_half_without_adapted_modules_has_rank_zero_and_spends_nothing():
    profile = make_profile([5, 8, 8, 8, 10], granularity="sublayer")
    plan = plan_ranks(profile, budget="r=3")
    assert plan.ranks == (5, 0, 1, 0)
    assert plan.rank_probabilities[1] == {0: 1.0}
    assert plan.trainable_parameters == plan.budget == 2 * 3 * 256


@given(dimension_lists)
def test_steps_are_blocks_unless_halves_were_measured(dimensions):
    plan = plan_ranks(make_profile(dimensions))
    assert plan.granularity == "block"
    assert plan.steps == plan.blocks


@given(dimension_lists, st.sampled_from(["paper", "confident"]))
def test_a_certainty_is_that_of_the_rank_or_of_its_being_enough(dimensions, rule):
    plan = plan_ranks(make_profile(dimensions), rule=rule)
    for rank, shares, certainty in zip(
        plan.ranks, plan.rank_probabilities, plan.certainties, strict=True
    ):
        smaller = sum(share for value, share in shares.items() if value < rank)
        expected = shares.get(rank, 0) + (smaller if rule == "confident" else 0)
        assert certainty == pytest.approx(expected)


def test_probabilities_have_ranks_as_keys_in_the_file_too(tmp_path):
    plan = plan_ranks(make_profile([5, 7.5, 6]))
    assert set(plan.rank_probabilities[0]) == {3, 4}
    written = json.loads(plan.save_pretrained(tmp_path).read_text())
    assert set(written["rank_probabilities"][0]) == {"3", "4"}
    assert RankPlan.from_pretrained(tmp_path).rank_probabilities == plan.rank_probabilities
    unsorted = {**plan.to_dict(), "rank_probabilities": [{"10": 0.5, "9": 0.5}, {"1": 1.0}]}
    assert list(RankPlan.from_dict(unsorted).rank_probabilities[0]) == [9, 10]


def test_plan_and_profile_survive_their_files(tmp_path):
    profile = make_profile([5, 8.25, 6])
    plan = plan_ranks(profile, budget="r=4")
    profile.save_pretrained(tmp_path)
    plan.save_pretrained(tmp_path)
    assert DimensionProfile.from_pretrained(tmp_path) == profile
    assert RankPlan.from_pretrained(tmp_path) == plan
    assert plan.profile_hash == DimensionProfile.from_pretrained(tmp_path).content_hash()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alphas": None}, "rank plan lacks or mistypes a field: .*NoneType"),
        ({"rank_probabilities": [{"one": 1}]}, "rank plan lacks or mistypes a field: .*'one'"),
        ({"rank_probabilities": [0.5]}, "rank plan lacks or mistypes a field: .*'items'"),
        ({"alpha_per_rank": "x"}, "rank plan lacks or mistypes a field: .*'x'"),
        ({"colour": "red"}, "rank plan lacks or mistypes a field: .*colour"),
    ],
)
def test_a_plan_of_the_wrong_shape_is_refused(change, message):
    with pytest.raises(ArtifactError, match=message):
        RankPlan.from_dict(plan_ranks(make_profile([5, 6])).to_dict() | change)


PART = {"num_samples": 9, "dimensions": [1.0], "standard_errors": [0.1]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modules": None}, "profile lacks or mistypes a field: .*NoneType"),
        ({"other_estimates": {"x": 3}}, "profile lacks or mistypes a field"),
        ({"dimensions": [1.0]}, r"2 levels and 1 steps, and twonn_line has \(1, 2\) and \(1, 1\)"),
        ({"blocks": ["a"]}, "steps that are not among its levels"),
        ({"verdicts": ["stable"]}, "2 levels and 1 verdicts"),
        ({"top_variance_shares": []}, "2 levels and 0 top_variance_shares"),
        ({"log_mu_quantiles": [[0.1]]}, "2 levels and 1 log_mu_quantiles"),
        ({"decimation": [PART]}, "2 levels and 1 dimensions of a part"),
        ({"verdicts": ["stable", "splendid"]}, "verdicts says 'splendid', and knows .*'noisy'"),
        ({"stopped_by": "whim"}, "stopped_by says 'whim', and knows .*'precision'"),
        ({"states": "cooked"}, "states says 'cooked', and knows .*'raw'"),
        ({"biased_levels": [99]}, r"biased_levels says 99, and knows \[0, 1\]"),
        ({"constant_levels": [2]}, r"constant_levels says 2, and knows \[0, 1\]"),
    ],
)
def test_a_profile_of_the_wrong_shape_is_refused(change, message):
    with pytest.raises(ArtifactError, match=message):
        DimensionProfile.from_dict(make_profile([5, 6]).to_dict() | change)


def test_a_missing_field_is_named():
    for cls, payload, name in (
        (DimensionProfile, make_profile([5, 6]).to_dict(), "dimensions"),
        (RankPlan, plan_ranks(make_profile([5, 6])).to_dict(), "alphas"),
    ):
        del payload[name]
        with pytest.raises(ArtifactError, match=f"lacks or mistypes a field: '{name}'"):
            cls.from_dict(payload)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"rule": "best"},
            ConfigError,
            "no rank rule 'best'; the rules are paper, confident, budget",
        ),
        ({"rule": "budget"}, ConfigError, "needs a budget, such as 'r=8'"),
        (
            {"rule": "confident", "budget": "r=8"},
            ConfigError,
            "'confident' spends no budget, and one of r=8 is given",
        ),
        ({"rounding": "off"}, ConfigError, "no rounding 'off'.*nearest, up, down"),
        ({"budget": "r=0"}, ConfigError, "budget 'r=0' is neither"),
        ({"budget": "8k"}, ConfigError, "budget '8k' is neither"),
        ({"budget": float("inf")}, ConfigError, "budget inf is neither"),
        ({"budget": 2.5}, ConfigError, "budget 2.5 is neither"),
        ({"alpha_per_rank": 0}, ConfigError, "alpha_per_rank is 0; it must be a positive"),
        ({"lora_alpha": float("nan")}, ConfigError, "lora_alpha is nan; it must be a positive"),
        ({"budget": 255}, RankError, "budget of 255 parameters is below the 256 that rank 1"),
        ({"min_rank": 0}, RankError, "min_rank is 0"),
        ({"min_rank": 4, "max_rank": 3}, RankError, "max_rank 3 is below min_rank 4"),
        ({"min_rank": 33}, RankError, "min_rank 33 is above 32"),
        ({"max_rank": 64}, RankError, "max_rank 64 is above 32"),
        ({"target_modules": ["qeury"]}, RankError, "'qeury'. Did you mean 'query'.*key, output"),
        (
            {"target_modules": []},
            RankError,
            r"target_modules \[\] selects none of the 5 .*key, output",
        ),
    ],
)
def test_what_cannot_be_planned(arguments, error, message):
    with pytest.raises(error, match=message):
        plan_ranks(make_profile([5, 6]), **arguments)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("ranks", [4, 4], "`ranks` and `modules` must agree"),
        ("ranks", [1], "2 steps and 1 ranks"),
        ("ranks", [1.0, 1.5], "no counts"),
        ("rule", "best", "rule 'best'"),
        ("rounding", "sideways", "rounding 'sideways'"),
        ("parameters", [1, 2], "add up to 3"),
        ("trainable_parameters", 7, "and it says 7"),
        ("steps", ["layer.0", "layer.9"], "not those of its blocks"),
        ("alphas", {}, "different modules"),
    ],
)
def test_from_dict_refuses_a_plan_that_was_edited_by_hand(field, value, message):
    payload = json.loads(json.dumps(plan_ranks(make_profile([5, 8, 6])).to_dict()))
    assert RankPlan.from_dict(payload).to_dict() == plan_ranks(make_profile([5, 8, 6])).to_dict()
    with pytest.raises(ArtifactError, match=message):
        RankPlan.from_dict({**payload, field: value})


def test_from_dict_refuses_an_edited_rank_or_alpha_of_a_module():
    payload = json.loads(json.dumps(plan_ranks(make_profile([5, 8, 6])).to_dict()))
    name = min(payload["modules"])
    for field, message in (("modules", "must agree"), ("alphas", "alpha 50 and rank")):
        edited = {**payload, field: {**payload[field], name: 50}}
        with pytest.raises(ArtifactError, match=message):
            RankPlan.from_dict(edited)


def test_from_dict_reads_every_plan_and_profile_that_is_committed():
    files = sorted(Path(__file__).parents[2].glob("experiments/**/rank_plan.json"))
    for path in files:
        RankPlan.from_pretrained(path)
    profiles = sorted(Path(__file__).parents[2].glob("experiments/**/dimension_profile.json"))
    for path in profiles:
        DimensionProfile.from_pretrained(path)
    assert len(files) > 2
    assert len(profiles) > 2
