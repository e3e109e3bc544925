"""Arguments of the wrong kind or out of their range: a typed error that holds the value."""

import numpy as np
import pandas as pd
import pytest

import gelora
from example_profiles import make_profile
from gelora.dimension.estimators import make_estimator
from gelora.dimension.gride import Gride
from gelora.dimension.levina_bickel import LevinaBickel
from gelora.dimension.twonn import TwoNN
from gelora.errors import ConfigError, GeloraError, HiddenStatesError, RankError
from gelora.hidden_states.batches import token_limit
from tiny_models import tiny_bert, tiny_texts, tiny_tokenizer

PROFILE = make_profile([5, 8, 6])
CLOUD = np.random.default_rng(0).normal(size=(400, 5)) @ np.eye(5, 12)


def measured(**arguments):
    return gelora.measure_dimensions(tiny_bert(), tiny_tokenizer(), tiny_texts(80), **arguments)


@pytest.mark.parametrize(
    ("call", "argument", "values"),
    [
        (lambda **a: gelora.plan_ranks(PROFILE, **a), "budget", [10**30, "r=1.5", -3, "x", True]),
        (lambda **a: gelora.plan_ranks(PROFILE, **a), "min_rank", [1.5, "2", 0, True]),
        (lambda **a: gelora.plan_ranks(PROFILE, **a), "max_rank", [2.5, "9", 0, 10**6]),
        (lambda **a: gelora.plan_ranks(PROFILE, **a), "scaling", ["2", 0, float("nan")]),
        (lambda **a: gelora.plan_ranks(PROFILE, **a), "rounding", ["sideways", 1]),
        (lambda **a: gelora.plan_ranks(PROFILE, **a), "rank_rule", ["best", 3]),
        (Gride, "order", [2.5, "2", 0, True]),
        (LevinaBickel, "num_neighbors", [1, 2.5, "20"]),
        (TwoNN, "discard_fraction", ["a tenth", -0.1, float("nan"), None]),
        (TwoNN, "method", ["lines", 1]),
        (measured, "num_samples", [0, 1.5, "80"]),
        (measured, "max_length", [0, -1, 2.5]),
        (measured, "measure_batch_tokens", [0, "many"]),
        (measured, "precision", [-1, "fine", float("nan")]),
        (measured, "seed", [-1, 1.5, "seed", 2**40]),
        (measured, "pooling", ["max", 3]),
    ],
)
def test_an_argument_of_the_wrong_kind_is_a_typed_error_with_its_value(call, argument, values):
    for value in values:
        with pytest.raises(GeloraError) as raised:
            call(**{argument: value})
        assert str(value) in str(raised.value)


def test_plan_ranks_spends_no_budget_by_a_rule_that_spends_none():
    with pytest.raises(ConfigError, match="'paper' spends no budget, and budget is 'r=8'"):
        gelora.plan_ranks(PROFILE, rank_rule="paper", budget="r=8")
    assert gelora.plan_ranks(PROFILE, budget="r=8").settings.rule == "budget"
    assert gelora.plan_ranks(PROFILE).settings.rule == "paper"


@pytest.mark.parametrize("place", [".", "a folder with a file"])
def test_measure_dimensions_keeps_its_states_in_no_folder_that_is_there(
    tmp_path, monkeypatch, place
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a folder with a file").mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(GeloraError, match="remove it, or name another folder"):
        measured(keep_hidden_states=place, overwrite=True)
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["twonn_linfit", "twonn_mle", "gride_2", "gride_8", "levina_bickel"]
)
def test_fit_takes_points_as_scikit_learn_does(name):
    estimator = make_estimator(name)
    assert estimator.fit(CLOUD) is estimator
    estimate = make_estimator(name).estimate(CLOUD)
    assert (estimator.dimension_, estimator.standard_error_) == (
        estimate.dimension,
        estimate.standard_error,
    )
    assert 4 < estimator.dimension_ < 6
    assert estimator == make_estimator(name)  # what was fitted is no setting


def test_estimate_takes_data_frames_and_lists_and_refuses_texts():
    expected = TwoNN().estimate(CLOUD)
    assert TwoNN().estimate(pd.DataFrame(CLOUD)) == expected
    assert TwoNN().estimate(CLOUD.tolist()) == expected
    with pytest.raises(HiddenStatesError, match="leave out columns of texts"):
        TwoNN().estimate(pd.DataFrame(CLOUD).assign(name="x"))
    with pytest.raises(HiddenStatesError, match="Expected a matrix"):
        TwoNN().fit(CLOUD[0])


def test_a_length_of_0_is_refused_wherever_texts_are_cut():
    with pytest.raises(ConfigError, match="max_length must be a whole number, at least 1. Got 0"):
        token_limit(tiny_tokenizer(), tiny_bert(), 0)
    assert token_limit(tiny_tokenizer(), tiny_bert(), None) == 64


def test_a_rank_above_every_matrix_is_refused():
    with pytest.raises(RankError, match="max_rank 1000000 is above"):
        gelora.plan_ranks(PROFILE, max_rank=10**6)
