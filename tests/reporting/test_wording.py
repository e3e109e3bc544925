from dataclasses import replace

import numpy as np
import pytest

from gelora.ranks import plan_ranks
from gelora.reporting import wording
from gelora.reporting.run_files import read_run
from reporting.example_run import example_profile, write_example_run


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-0.001, 2, "0.00"), (-0.5, 2, "−0.50"), (12345.6, 1, "12,345.6"), (-0.1, 0, "0")],
)
def test_number(value, decimals, text):
    assert wording.number(value, decimals) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [(0.81, 0.07, "+0.81 ± 0.07"), (-0.81, 0.07, "−0.81 ± 0.07"), (0.0, 0.0, "0.00")],
)
def test_with_error(value, error, text):
    assert wording.with_error(value, error, decimals=2, sign=True) == text


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
    assert wording.duration(seconds) == text


def test_names_unknown_to_us_are_readable():
    assert wording.metric_name("matthews_correlation") == "Matthews correlation"
    assert wording.metric_name("exact_match") == "exact match"
    assert wording.baseline_name("nearest_text", "classification") == "nearest text"
    assert wording.metric_value(None) == "–"


def test_headline_of_a_trained_run(tmp_path):
    write_example_run(tmp_path)
    result, ranks, dimension, time = wording.headline(read_run(tmp_path))
    assert result == (
        "The adapter reaches Matthews correlation 0.493 ± 0.029 on 1,043 validation texts, against "
        "0.221 ± 0.031 for the frozen encoder and 0.000 for the majority class."
    )
    assert ranks == (
        "By the paper's rule the 12 adapted blocks get ranks of 1 to 2 (1.3 on average): 98,304 "
        "trainable parameters, 0.35 % of the blocks' weights."
    )
    assert dimension == (
        "The dimension of the hidden states of 3,871 texts goes from 8.01 ± 0.16 at the embeddings "
        "up to 12.07 ± 0.24 after block 7 and to 10.12 ± 0.20 after block 12."
    )
    assert time == "Measuring, training and evaluating took 5 min 58 s."


def test_the_time_is_that_of_the_stages_it_names():
    seconds = {"evaluate": 2.0, "train": 30.0, "baselines": 5.5}
    assert wording._time_sentence(seconds) == "The baselines, training and evaluating took 37.5 s."
    assert wording._time_sentence({"train": 30.0}) == "Training took 30.0 s."


def test_the_commonest_answer_to_a_regression_is_the_mean():
    assert wording.baseline_name("majority", "classification") == "majority class"
    assert wording.baseline_name("majority", "regression") == "mean label"
    assert wording.baseline_name("frozen_encoder", "regression") == "frozen encoder"


def test_the_widest_gap_of_the_fits_is_named():
    profile = example_profile()
    shares = (np.arange(50) + 0.5) / 50
    exact = [tuple(-np.log1p(-shares) / d) for d in profile.dimensions]
    # Below a point where the line has 1 - (1 - F)^stretch, the samples' share is F.
    for stretch, opening in (
        (1.2, "The fits are straight"),
        (1.9, "Be careful: the fits below bend"),
    ):
        bent = tuple(stretch * x for x in exact[7])
        fits = replace(profile, log_mu_quantiles=(*exact[:7], bent, (), *exact[9:]))
        gap = 100 * max(1 - (1 - shares[:45]) ** stretch - shares[:45])
        assert wording.fit_sentence(fits).startswith(
            f"{opening}: line and samples differ by up to {gap:.1f} percentage points of F, at "
            "block 7"
        )


def test_headline_before_training_with_a_budget_and_two_stacks(tmp_path):
    stacks = (("encoder.0", "encoder.1"), ("decoder.0", "decoder.1"))
    write_example_run(tmp_path, profile=example_profile(stacks), trained=False, budget="r=4")
    ranks, dimension = wording.headline(read_run(tmp_path))
    assert ranks.startswith("With a budget of 98,304 parameters the 4 adapted blocks get rank")
    assert "goes in the encoder from" in dimension
    assert "; in the decoder from" in dimension


def test_share_of_parameters_is_of_all_the_blocks_weights():
    profile = example_profile((("layers.0",),))
    plan = plan_ranks(profile, budget="r=8")
    # r (in + out) / (in x out) = 8 x 1536 / 768^2
    assert "2.1 % of the blocks' weights" in wording._rank_sentence(profile, plan)


def test_samples_and_copies_are_counted():
    sentence = wording.samples_sentence(example_profile())
    assert "Of 4,000 texts, 120 exact copies and 9 copies up to rounding" in sentence
    assert "(3.2 %); the same 3,871" in sentence
    distinct = replace(example_profile(), num_texts=3871, num_duplicates=0, num_near_duplicates=0)
    assert wording.samples_sentence(distinct).startswith("No text repeats another: all 3,871")


def test_constant_levels_are_named():
    assert wording.constant_sentence(example_profile(constant=True)).startswith(
        "Constant: embeddings."
    )
    assert not wording.constant_sentence(example_profile())


def test_estimators_that_agree_and_that_do_not():
    profile = example_profile()
    assert "agree: they differ most, by 10 %" in wording.agreement_sentence(profile)
    line = profile.series["twonn_line"]
    halved = replace(line, dimensions=(line.dimensions[0] / 2, *line.dimensions[1:]))
    apart = replace(profile, series={"twonn_line": line, "twonn_likelihood": halved})
    said = wording.agreement_sentence(apart)
    assert said.startswith(
        "Be careful: the estimators differ by 50 % (8.01 and 4.01) at embeddings"
    )


def test_agreement_where_there_is_nothing_to_compare():
    profile = example_profile()
    alone = replace(profile, series={"twonn_line": profile.series["twonn_line"]})
    assert "no second opinion" in wording.agreement_sentence(alone)
    constant = replace(profile, constant_levels=tuple(range(13)))
    assert wording.agreement_sentence(constant) == "Every level is constant."
