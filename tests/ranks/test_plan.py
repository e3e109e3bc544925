"""The rules: what they must satisfy for any profile, then the paper's arithmetic by hand."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from example_profiles import make_profile
from gelora.dimension.profile import NOT_LINEAR, DimensionProfile, LeftOut
from gelora.errors import ArtifactError, ConfigError, RankError
from gelora.ranks import RankPlan, plan_ranks

dimension_lists = st.lists(st.floats(0, 30), min_size=2, max_size=8)
roundings = st.sampled_from(["nearest", "up", "down"])


@pytest.mark.usefixtures("few_draws")
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
    assert plan_ranks(profile, rank_rule="confident").ranks == (confident,)


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize("budget", [None, "r=4"])
def test_growth_out_of_a_constant_layer_is_not_counted(budget):
    flat = make_profile([12.0, 12.0, 12.0, 15.0])
    constant = replace(make_profile([0.0, 12.0, 12.0, 15.0]), constant_layers=(0,))
    assert plan_ranks(constant, budget=budget).ranks == plan_ranks(flat, budget=budget).ranks


@pytest.mark.usefixtures("few_draws")
@given(dimension_lists, st.integers(1, 32))
def test_uniform_growth_spends_a_uniform_budget_evenly(dimensions, rank):
    layer = make_profile([dimensions[0]] * len(dimensions))
    plan = plan_ranks(layer, budget=f"r={rank}")
    assert plan.ranks == (rank,) * len(plan.blocks)
    assert plan.trainable_parameters == plan.budget


@pytest.mark.usefixtures("few_draws")
@given(dimension_lists, st.integers(1, 30))
def test_budget_is_spent_to_within_one_sublayer(dimensions, rank):
    plan = plan_ranks(make_profile(dimensions), budget=f"r={rank}")
    left = plan.budget - plan.trainable_parameters
    sublayer = 4 * (32 + 32)
    assert left >= 0
    assert left < sublayer or all(r == 32 for r in plan.ranks)


@pytest.mark.usefixtures("few_draws")
@given(dimension_lists, st.integers(1, 30))
@example([0.0, 2.0, 12.0], 6)  # in proportion to 3 and 11 it would be 3 and 9
def test_budget_keeps_the_lower_bounds_it_can_pay_for(dimensions, rank):
    plan = plan_ranks(make_profile(dimensions), budget=f"r={rank}")
    affordable = sum(max(bound, 1) for bound in plan.bounds) <= rank * len(plan.blocks)
    if affordable:
        assert all(r >= bound for r, bound in zip(plan.ranks, plan.bounds, strict=True))


@pytest.mark.usefixtures("few_draws")
@given(dimension_lists, st.integers(1, 30))
def test_budget_ranks_grow_with_the_increments(dimensions, rank):
    profile = make_profile(dimensions)
    plan = plan_ranks(profile, budget=f"r={rank}")
    growth = [max(increment, 0) + 1 for increment in profile.increments]
    order = sorted(zip(growth, plan.bounds, plan.ranks, strict=True))
    for (low, low_bound, low_rank), (high, _, high_rank) in pairwise(order):
        if high > low and low_rank > max(low_bound, 1):  # a bound by rounding may stand above
            assert high_rank >= low_rank


@pytest.mark.usefixtures("few_draws")
@given(dimension_lists, st.integers(1, 6), st.integers(6, 32), st.sampled_from([None, "r=6"]))
def test_limits_hold(dimensions, low, high, budget):
    plan = plan_ranks(make_profile(dimensions), min_rank=low, max_rank=high, budget=budget)
    assert all(low <= rank <= high for rank in plan.ranks)


def test_a_limit_makes_no_rank_more_likely_to_suffice():
    profile = make_profile([5, 12, 12])
    plan = plan_ranks(profile, rank_rule="confident", max_rank=2)
    assert plan.ranks == (2, 1)
    assert plan.certainties == (0, 1)
    free = plan_ranks(profile, rank_rule="confident")
    assert plan.rank_probabilities == free.rank_probabilities


def test_no_module_gets_more_than_its_smaller_side():
    plan = plan_ranks(make_profile([1, 13], key_width=4))
    assert plan.ranks == (13,)
    assert plan.modules["layer.0.query"] == 13
    assert plan.modules["layer.0.key"] == 4
    assert plan.alphas["layer.0.key"] == 8
    assert plan.trainable_parameters == 2 * 13 * (32 + 32) + 2 * 4 * (32 + 4)


def test_alpha_over_rank_is_constant():
    plan = plan_ranks(make_profile([5, 8, 6, 7]), scaling=1.5)
    assert all(alpha / plan.modules[name] == 1.5 for name, alpha in plan.alphas.items())


def test_lora_alpha_belongs_to_the_largest_rank():
    plan = plan_ranks(make_profile([5, 8, 6, 7]), lora_alpha=16)
    assert plan.ranks == (4, 1, 2)
    assert plan.scaling == 4
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
    assert (plan.blocks, plan.sublayers) == (("layer.0", "layer.1"), halves)
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


@pytest.mark.usefixtures("few_draws")
@given(dimension_lists)
def test_sublayers_are_blocks_unless_halves_were_measured(dimensions):
    plan = plan_ranks(make_profile(dimensions))
    assert plan.granularity == "block"
    assert plan.sublayers == plan.blocks


@given(dimension_lists, st.sampled_from(["paper", "confident"]))
def test_a_certainty_is_that_of_the_rank_or_of_its_being_enough(dimensions, rule):
    plan = plan_ranks(make_profile(dimensions), rank_rule=rule)
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
        (
            {"alphas": None},
            "rank plan lacks or mistypes a field: Expected `object`, got `null`.*alphas",
        ),
        (
            {"rank_probabilities": [{"one": 1}]},
            "mistypes a field: Expected `int`, got `str` - at `key` in `.*rank_prob",
        ),
        (
            {"rank_probabilities": [0.5]},
            "rank plan lacks or mistypes a field: Expected `object`, got `float`.*rank_prob",
        ),
        (
            {"scaling": "x"},
            "rank plan lacks or mistypes a field: Expected `float`, got `str`.*scaling",
        ),
        ({"colour": "red"}, "rank plan has an unknown field 'colour'"),
    ],
)
def test_a_plan_of_the_wrong_shape_is_refused(change, message):
    with pytest.raises(ArtifactError, match=message):
        RankPlan.from_dict(plan_ranks(make_profile([5, 6])).to_dict() | change)


SHORT = {
    "dimensions": [1.0],
    "standard_errors": [0.1, 0.1],
    "increments": [0.0],
    "increment_standard_errors": [0.1],
}
PART = {"num_samples": 9, "dimensions": [1.0], "standard_errors": [0.1]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modules": None}, "profile lacks or mistypes a field: .*got `null`.*modules"),
        ({"series": {"x": 3}}, "profile lacks or mistypes a field"),
        ({"series": {}}, "no values by twonn_linfit"),
        (
            {"series": {"twonn_linfit": SHORT}},
            r"2 layers and 1 sublayers, and twonn_linfit has \(1, 2\) and \(1, 1\)",
        ),
        ({"blocks": ["a"]}, "sublayers that are not among its layers"),
        ({"verdicts": ["stable"]}, "2 layers and 1 verdicts"),
        ({"top_variance_shares": []}, "2 layers and 0 top_variance_shares"),
        ({"log_mu_quantiles": [[0.1]]}, "2 layers and 1 log_mu_quantiles"),
        ({"decimation": [PART]}, "2 layers and 1 dimensions of a part"),
        ({"verdicts": ["stable", "splendid"]}, "Invalid enum value 'splendid'.*verdicts"),
        ({"stopped_by": "whim"}, "Invalid enum value 'whim'.*stopped_by"),
        ({"settings": {"states": "cooked"}}, "Invalid enum value 'cooked'.*settings.states"),
        ({"settings": {"num_samples": 0}}, "Expected `int` >= 1.*num_samples"),
        ({"biased_layers": [99]}, "biased_layers says 99, and it has 2 layers"),
        ({"constant_layers": [2]}, "constant_layers says 2, and it has 2 layers"),
    ],
)
def test_a_profile_of_the_wrong_shape_is_refused(change, message):
    with pytest.raises(ArtifactError, match=message):
        DimensionProfile.from_dict(make_profile([5, 6]).to_dict() | change)


def test_a_missing_field_is_named():
    for cls, payload, name in (
        (DimensionProfile, make_profile([5, 6]).to_dict(), "verdicts"),
        (RankPlan, plan_ranks(make_profile([5, 6])).to_dict(), "alphas"),
    ):
        del payload[name]
        with pytest.raises(ArtifactError, match=f"missing required field `{name}`"):
            cls.from_dict(payload)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"rank_rule": "best"},
            ConfigError,
            "rank_rule must be one of paper, confident, budget. Got 'best'",
        ),
        ({"rank_rule": "budget"}, ConfigError, "needs a budget: 'r=8'"),
        (
            {"rank_rule": "confident", "budget": "r=8"},
            ConfigError,
            "'confident' spends no budget, and budget is 'r=8'",
        ),
        ({"rounding": "off"}, ConfigError, "rounding must be one of nearest, up, down. Got 'off'"),
        ({"budget": "r=0"}, ConfigError, "budget must be .* Got 'r=0'"),
        ({"budget": "8k"}, ConfigError, "budget must be .* Got '8k'"),
        ({"budget": float("inf")}, ConfigError, "budget must be .* Got inf"),
        ({"budget": 2.5}, ConfigError, "budget must be .* Got 2.5"),
        ({"scaling": 0}, ConfigError, "scaling must be a positive number. Got 0"),
        (
            {"lora_alpha": float("nan")},
            ConfigError,
            "lora_alpha must be a positive number. Got nan",
        ),
        ({"budget": 255}, RankError, "budget of 255 parameters is below the 256 that rank 1"),
        ({"min_rank": 0}, ConfigError, "min_rank must be .* Got 0"),
        ({"min_rank": 4, "max_rank": 3}, RankError, "max_rank 3 is below min_rank 4"),
        ({"min_rank": 33}, RankError, "min_rank 33 is above 32"),
        ({"max_rank": 64}, RankError, "max_rank 64 is above 32"),
        ({"target_modules": ["qeury"]}, RankError, "'qeury'. Did you mean 'query'.*key, output"),
        (
            {"target_modules": []},
            RankError,
            r"target_modules \(\) selects none of the 5 .*key, output",
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
        ("ranks", [1], "2 sublayers and 1 ranks"),
        ("ranks", [-1, 1], "Expected `int` >= 0.*ranks"),
        ("settings", {"rank_rule": "best"}, "Invalid enum value 'best'"),
        ("settings", {"rounding": "sideways"}, "Invalid enum value 'sideways'"),
        ("parameters", [1, 2], "add up to 3"),
        ("trainable_parameters", 7, "and it says 7"),
        ("sublayers", ["layer.0", "layer.9"], "not those of its blocks"),
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


def test_plan_ranks_keeps_the_data_of_the_profile_in_its_file():
    profile = replace(make_profile([5, 8]), data={"train": {"rows": 100}})
    profile = replace(profile, left_out=(LeftOut("experts.up", NOT_LINEAR, 64),))
    assert DimensionProfile.from_dict(json.loads(json.dumps(profile.to_dict()))) == profile
    plan = plan_ranks(profile)
    assert plan.data == profile.data
    assert RankPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_from_dict_refuses_a_module_outside_the_blocks():
    payload = plan_ranks(make_profile([5, 8])).to_dict()
    edited = {field: {**payload[field], "head.out": 1} for field in ("modules", "alphas")}
    with pytest.raises(ArtifactError, match=r"the module head\.out, which is in no block"):
        RankPlan.from_dict({**payload, **edited})


@pytest.mark.parametrize("rank", [1.5, True])
@pytest.mark.parametrize("name", ["min_rank", "max_rank"])
def test_plan_ranks_refuses_a_rank_that_is_no_whole_number(name, rank):
    with pytest.raises(ConfigError, match=f"{name} must be a whole number.* Got {rank}"):
        plan_ranks(make_profile([5, 8]), **{name: rank})


def test_plan_ranks_refuses_a_budget_larger_than_any_model():
    with pytest.raises(
        ConfigError, match=r"budget '1e30' is above 1e\+\d+ parameters, more than any"
    ):
        plan_ranks(make_profile([5, 8]), budget="1e30")


def test_a_plan_and_a_profile_are_tables_and_a_few_words():
    profile = make_profile([5, 8.25, 6])
    frame = profile.to_frame()
    assert list(frame.index) == ["embeddings", "layer.0", "layer.1"]
    assert frame["dimension"].tolist() == [5, 8.25, 6]
    assert frame["increment"].tolist()[1:] == [3.25, -2.25]
    assert np.isnan(frame["increment"].iloc[0])
    plan = plan_ranks(profile)
    table = plan.to_frame()
    assert table["rank"].tolist() == list(plan.ranks)
    assert table["parameters"].sum() == plan.trainable_parameters
    for thing in (profile, plan):
        assert len(repr(thing)) < 200
        assert repr(thing).split("(")[0] == type(thing).__name__
        assert "<table" in thing._repr_html_()
    assert f"ranks {list(plan.ranks)}" in repr(plan)


def test_a_profile_is_drawn_with_its_errors():
    profile = make_profile([5, 8.25, 6])
    (line,) = profile.plot().lines
    assert line.get_ydata().tolist() == [5, 8.25, 6]
    ours = Figure().subplots()
    assert profile.plot(ours) is ours
