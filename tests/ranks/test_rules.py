"""The rules as functions of any dimensions: a row for each draw, none of which knows another."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from example_profiles import make_profile
from gelora.ranks.rules import RankLimits, budget_ranks, lower_bounds, paper_ranks

PROFILE = make_profile([5, 8, 6, 7])
LIMITS = RankLimits(2, np.array([9, 0, 32]))
COSTS = 256 * np.minimum(np.arange(33), LIMITS.ceilings[:, None])
drawn = arrays(float, st.tuples(st.integers(1, 5), st.just(4)), elements=st.floats(-1, 40))
roundings = st.sampled_from(["nearest", "up", "down"])


@given(drawn, roundings)
def test_every_draw_gets_the_ranks_it_would_get_alone(dimensions, rounding):
    rules = {
        paper_ranks: {},
        budget_ranks: {"costs": COSTS, "budget": 256 * 20},
    }
    for rule, more in rules.items():
        arguments = {"rounding": rounding, "limits": LIMITS, **more}
        together = rule(PROFILE, dimensions, **arguments)
        alone = [rule(PROFILE, row[None], **arguments)[0] for row in dimensions]
        np.testing.assert_array_equal(together, alone)
        assert (together[:, 1] == 0).all()  # nothing is adapted there
        assert (together[:, [0, 2]] >= 2).all()
        assert (together <= LIMITS.ceilings).all()


@given(st.lists(st.integers(0, 30), min_size=2, max_size=8), roundings)
def test_bounds_of_whole_dimensions_are_their_growth_however_rounded(dimensions, rounding):
    growth = np.maximum(np.diff(dimensions), 0)
    assert lower_bounds(make_profile(dimensions), rounding=rounding) == tuple(growth)


def test_halves_go_up():
    assert lower_bounds(make_profile([2.5, 3.5, 4.49])) == (1, 0)


def test_no_growth_is_counted_out_of_a_constant_layer():
    profile = replace(make_profile([0, 12, 15]), constant_layers=(0,))
    assert lower_bounds(profile) == (0, 3)
