"""What a plan's reader is told: each sentence where it holds, and nowhere else."""

import re
from dataclasses import replace

import pytest

from example_profiles import make_profile
from gelora.advice import plan_advice
from gelora.ranks import plan_ranks

GROWING = (1, 4, 7, 10)


@pytest.mark.parametrize(
    ("dimensions", "arguments", "said"),
    [
        ((5, 5, 5, 5, 5), {}, "hardly grows in 4 of 4 blocks.*--budget r=8"),
        ((5, 9, 9, 9, 9), {}, "hardly grows in 3 of 4 blocks"),
        ((1, 11, 1, 8, 8), {"budget": "r=3"}, "leave 2 of 4 blocks below .*rank 6 for 10"),
        ((1, 11, 12), {"max_rank": 8}, "leave 1 of 2 blocks below .*layer.0 with rank 8 for 10"),
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
    ],
)
def test_nothing_is_said_of_what_is_expected(dimensions, arguments):
    profile = make_profile(dimensions)
    assert plan_advice(plan_ranks(profile, **arguments), profile) == ()


def test_a_constant_level_is_named_by_the_block_after_it():
    profile = replace(make_profile([0, 9, 12, 15]), constant_levels=(0,), pooling="last")
    (sentence,) = plan_advice(plan_ranks(profile), profile)
    assert sentence.startswith("What layer.0 begins from takes few values with last pooling")
