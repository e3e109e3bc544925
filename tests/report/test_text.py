import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from example_profiles import make_profile
from gelora.ranks import plan_ranks
from gelora.report import text as formats
from gelora.report.run_files import read_run
from gelora.report.stacks import describe_layers, list_layers
from gelora.report.templating import sentence
from report.example_run import example_profile, write_example_run


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-0.001, 2, "0.00"), (-0.5, 2, "−0.50"), (12345.6, 1, "12,345.6"), (-0.1, 0, "0")],
)
def test_number(value, decimals, text):
    assert formats.number(value, decimals) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [(0.81, 0.07, "+0.81 ± 0.07"), (-0.81, 0.07, "−0.81 ± 0.07"), (0.0, 0.0, "0.00")],
)
def test_with_error(value, error, text):
    assert formats.with_error(value, error, decimals=2, sign=True) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (60, "1 min 0 s"),
        (3599.7, "1 h 0 min"),
        (7300, "2 h 1 min"),
    ],
)
def test_duration(seconds, text):
    assert formats.duration(seconds) == text


def test_names_unknown_to_us_are_readable():
    assert formats.metric_name("matthews_correlation") == "Matthews correlation"
    assert formats.metric_name("top_5_accuracy") == "top 5 accuracy"
    assert formats.baseline_name("nearest_text", "classification") == "nearest text"
    assert formats.metric_value(None, "classification") == "–"


@pytest.mark.parametrize(("peak", "is_rise"), [(5.06, False), (5.6, True)])
def test_a_peak_within_its_error_is_not_a_rise(peak, is_rise):
    text = sentence("dimensions", make_profile((5.0, peak, 2.0)))
    assert ("up to" in text) == is_rise


def test_the_time_is_that_of_the_stages_it_names():
    seconds = {"evaluate": 2.0, "train": 30.0, "baselines": 5.5}
    assert sentence("times", seconds) == "The baselines, training and evaluating took 37.5 s."
    assert sentence("times", {"train": 30.0}) == "Training took 30.0 s."


def test_the_commonest_answer_to_a_regression_is_the_mean():
    assert formats.baseline_name("majority", "classification") == "majority class"
    assert formats.baseline_name("majority", "regression") == "mean label"
    assert formats.baseline_name("frozen_encoder", "regression") == "frozen encoder"


def test_sentences_before_training_with_a_budget_and_two_stacks(tmp_path):
    stacks = (("encoder.0", "encoder.1"), ("decoder.0", "decoder.1"))
    write_example_run(tmp_path, profile=example_profile(stacks), trained=False, budget="r=4")
    run = read_run(tmp_path)
    ranks = sentence("cost", run.plan, run.profile)
    dimension = sentence("dimensions", run.profile)
    assert ranks.startswith("With a budget of 98,304 parameters the 4 adapted blocks get rank")
    assert "at the encoder embeddings" in dimension
    assert "after encoder block 2; from" in dimension
    assert "after decoder block 2." in dimension


def test_share_of_parameters_is_of_all_the_blocks_weights():
    profile = example_profile((("layers.0",),))
    plan = plan_ranks(profile, budget="r=8")
    # r x 4 (in + out) / all weights = 8 x 4 x 1536 / (4 x 768^2 + 2 x 768 x 3072)
    assert "0.69 % of the blocks' weights" in sentence("cost", plan, profile)


def test_the_rule_and_what_it_shares_out_are_said():
    profile = example_profile((("layers.0", "layers.1"),), granularity="sublayer")
    plan = plan_ranks(profile, rank_rule="confident", target_modules="all-linear")
    assert sentence("cost", plan, profile).startswith(
        "By the confident rule, which gives a rank that suffices with probability 0.9, the 4 "
        "adapted half blocks get rank"
    )


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([5], "block 5"),
        ([1, 0], "embeddings and block 1"),
        ([0, 2, 3, 4, 9], "embeddings, block 2 to block 4 and block 9"),
        (range(13), "all layers"),
    ],
)
def test_runs_of_layers_are_named_by_their_ends(layers, text):
    assert list_layers(example_profile(), layers) == text


def test_every_layer_is_told_with_its_value():
    profile = example_profile((("layers.0",),), granularity="sublayer")
    assert describe_layers(profile, (1.0, 2.004, 3.5)) == (
        "embeddings 1.00, block 1 attention 2.00, block 1 MLP 3.50"
    )


@given(st.floats(0, 1e6))
def test_duration_never_reaches_the_next_unit(seconds):
    text = formats.duration(seconds)
    for number, unit in re.findall(r"([\d.]+) (s|min)", text):
        assert float(number) < 60, (text, unit)


def test_duration_rounds_up_to_a_minute():
    assert formats.duration(59.96) == "1 min 0 s"
    assert formats.duration(59.94) == "59.9 s"


def test_table_aligns_columns():
    assert formats.table(["a", "bb"], [["xyz", "1"]]) == "a    bb\nxyz   1"
