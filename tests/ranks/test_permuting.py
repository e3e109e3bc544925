"""Ranks change places: which they are, and what they cost, stays."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import T5ForSequenceClassification

from example_profiles import make_profile, profile_of
from gelora.errors import RankError
from gelora.ranks import plan_ranks
from gelora.ranks.permuting import permuted, reversed_order, shuffled_order
from tiny_models import TINY_MODELS

dimension_lists = st.lists(st.floats(0, 30), min_size=2, max_size=8)


@pytest.mark.usefixtures("few_draws")
@given(dimension_lists, st.data())
def test_a_permuted_plan_has_the_same_ranks_elsewhere_and_costs_the_same(dimensions, data):
    profile = make_profile(dimensions)
    plan = plan_ranks(profile)
    order = data.draw(st.permutations(range(len(plan.sublayers))))
    moved = permuted(plan, profile, order)
    assert moved.ranks == tuple(plan.ranks[source] for source in order)
    assert moved.trainable_parameters == plan.trainable_parameters == sum(moved.parameters)
    assert moved.parameters == tuple(256 * rank for rank in moved.ranks)
    for module in profile.modules:
        if module.name in plan.modules:
            assert moved.modules[module.name] == moved.ranks[module.block]
            assert moved.alphas[module.name] == 2 * moved.ranks[module.block]
    back = [order.index(sublayer) for sublayer in range(len(order))]
    assert permuted(moved, profile, back) == plan


@pytest.mark.usefixtures("few_draws")
@given(dimension_lists)
def test_reversing_twice_is_the_plan(dimensions):
    profile = make_profile(dimensions)
    plan = plan_ranks(profile)
    order = reversed_order(plan, profile)
    once = permuted(plan, profile, order)
    assert once.ranks == plan.ranks[::-1]
    assert once.rank_probabilities == plan.rank_probabilities[::-1]
    assert permuted(once, profile, order) == plan


@pytest.mark.usefixtures("few_draws")
@given(dimension_lists, st.integers(0, 1000))
def test_shuffling_changes_the_ranks_wherever_they_differ(dimensions, seed):
    profile = make_profile(dimensions)
    plan = plan_ranks(profile)
    moved = permuted(plan, profile, shuffled_order(plan, profile, seed=seed))
    assert sorted(moved.ranks) == sorted(plan.ranks)
    assert (moved.ranks != plan.ranks) == (len(set(plan.ranks)) > 1)


def test_the_seed_decides_the_shuffle():
    profile = make_profile([3, 9, 4, 5, 12, 5, 8, 7, 9])
    plan = plan_ranks(profile)
    orders = [shuffled_order(plan, profile, seed=seed) for seed in range(20)]
    assert len(set(orders)) == 20
    assert orders[3] == shuffled_order(plan, profile, seed=3)


def test_every_other_arrangement_is_as_likely():
    profile = make_profile([5, 8, 8, 8])  # ranks 4, 1, 1: the 4 goes to one of two other places
    plan = plan_ranks(profile)
    places = [
        permuted(plan, profile, shuffled_order(plan, profile, seed=seed)).ranks.index(4)
        for seed in range(400)
    ]
    assert set(places) == {1, 2}
    assert np.mean([place == 1 for place in places]) == pytest.approx(0.5, abs=0.075)


def test_halves_of_blocks_change_places_with_their_like():
    profile = make_profile([5, 8, 6, 7, 12], granularity="sublayer")
    plan = plan_ranks(profile, target_modules="all-linear")
    assert plan.ranks == (4, 1, 2, 6)
    moved = permuted(plan, profile, reversed_order(plan, profile))
    assert moved.ranks == (2, 6, 4, 1)
    assert moved.trainable_parameters == plan.trainable_parameters
    message = "layer.0/attention cannot have the rank of layer.0/mlp, whose adapted modules have"
    with pytest.raises(RankError, match=re.escape(message)):
        permuted(plan, profile, [1, 0, 2, 3])


def test_an_encoder_and_a_decoder_are_each_reversed():
    profile = profile_of(TINY_MODELS["t5"](T5ForSequenceClassification))
    plan = plan_ranks(profile)
    assert plan.ranks == (4, 1, 2, 4, 1, 2)
    moved = permuted(plan, profile, reversed_order(plan, profile))
    assert moved.ranks == (2, 1, 4, 2, 1, 4)
    assert moved.trainable_parameters == plan.trainable_parameters


def test_a_rank_above_a_matrix_stays_within_it():
    profile = make_profile([0, 20, 1], key_width=16)
    plan = plan_ranks(profile)
    moved = permuted(plan, profile, (1, 0))
    assert moved.ranks == (1, 21)
    assert (moved.modules["layer.1.key"], moved.modules["layer.1.query"]) == (16, 21)
    assert moved.trainable_parameters == plan.trainable_parameters


@pytest.mark.parametrize("order", [(0, 0, 1), (0, 1), (1, 2, 3)])
def test_what_is_no_order_is_refused(order):
    profile = make_profile([5, 8, 6, 7])
    message = f"{list(order)} is not an order of 3 sublayers"
    with pytest.raises(RankError, match=re.escape(message)):
        permuted(plan_ranks(profile), profile, order)


def test_what_does_not_depend_on_the_sublayer_stays():
    profile = make_profile([5, 8, 6, 7])
    plan = plan_ranks(profile, budget=2000)
    moved = permuted(plan, profile, reversed_order(plan, profile))
    same = {name: getattr(plan, name) for name in ("bounds", "budget", "settings", "profile_hash")}
    assert replace(moved, **same) == moved
