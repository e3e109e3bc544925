"""Sizes grow evenly up to all texts, and each reason to stop needs what it says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from example_profiles import make_profile
from gelora.hidden_states.growth import (
    FIRST_SIZE,
    STABLE_GROWTHS,
    growing_sizes,
    reason_to_stop,
)
from gelora.ranks import plan_ranks
from gelora.ranks.rules import paper_rule

DIMENSIONS = (5.0, 8.0, 6.0)


def with_errors(errors, *, dimensions=DIMENSIONS, **fields):
    profile = make_profile(dimensions)
    series = replace(profile.series["twonn_linfit"], increment_standard_errors=tuple(errors))
    return replace(profile, series={**profile.series, "twonn_linfit": series}, **fields)


@given(st.integers(1, 10**6))
def test_sizes_grow_by_half_powers_of_two_up_to_all(num_texts):
    sizes = growing_sizes(num_texts)
    assert sizes[-1] == num_texts
    assert all(size < num_texts for size in sizes[:-1])
    assert sizes[0] == min(FIRST_SIZE, num_texts)
    ratios = np.divide(sizes[1:-1], sizes[:-2])
    np.testing.assert_allclose(ratios, np.sqrt(2), rtol=1e-3)
    # All estimates on the way cost no more than about one more of the last size.
    assert sum(size**2 for size in sizes[:-1]) <= 2.01 * num_texts**2


def test_the_error_is_of_the_worst_step_that_counts():
    assert with_errors([0.2, 0.3]).largest_increment_error == 0.3
    assert with_errors([0.3, 0.2]).largest_increment_error == 0.3
    assert with_errors([0.3, 0.2], constant_layers=(0,)).largest_increment_error == 0.2
    assert with_errors([0.3, 0.2], constant_layers=(0, 1)).largest_increment_error == 0.0


@pytest.mark.parametrize(("precision", "reason"), [(0.31, "precision"), (0.3, None), (0.0, None)])
def test_precision_is_every_error_below(precision, reason):
    profiles = [with_errors([0.1, 0.1]), with_errors([0.2, 0.3])]
    assert reason_to_stop(profiles, precision=precision, ranks=paper_rule) == reason


def test_ranks_are_stable_after_three_growths():
    same = with_errors([1.0, 1.0])
    other = with_errors([1.0, 1.0], dimensions=(5.0, 9.0, 6.0))
    assert STABLE_GROWTHS == 3
    for profiles, reason in (
        ([same] * 3, None),
        ([same] * 4, "stable_ranks"),
        ([other, *[same] * 3], None),
        ([other, *[same] * 4], "stable_ranks"),
        ([same, same, other, same, same], None),
        ([*[same] * 3, other], None),
    ):
        assert reason_to_stop(profiles, precision=0.1, ranks=paper_rule) == reason


def test_precision_goes_before_stable_ranks():
    profiles = [with_errors([0.01, 0.01])] * 4
    assert reason_to_stop(profiles, precision=0.1, ranks=paper_rule) == "precision"


def test_the_ranks_are_those_of_the_rule_given():
    profiles = [with_errors([1.0, 1.0], dimensions=(5.0, 8.0 + i, 6.0)) for i in range(4)]
    assert reason_to_stop(profiles, precision=0.1, ranks=paper_rule) is None
    assert reason_to_stop(profiles, precision=0.1, ranks=lambda _: [1, 1]) == "stable_ranks"


def test_the_papers_ranks_are_those_of_the_plan():
    profile = make_profile((5.2, 8.6, 6.4, 7.0))
    assert tuple(paper_rule(profile)) == plan_ranks(profile).ranks
