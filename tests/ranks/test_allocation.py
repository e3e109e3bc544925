"""Spending a budget: the largest remainder as the textbook has it, and many problems at once.

What a plan needs of it (floors, ceilings, costs that differ) is in test_plan.py.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gelora.errors import RankError
from gelora.ranks.allocation import allocate

LARGEST = 40
weights_of = arrays(
    float, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.floats(1, 9)
)


def spend(weights, budget, *, floors=0, min_rank=0, price=1):
    num_sublayers = weights.shape[1]
    return allocate(
        weights=weights,
        floors=np.full(weights.shape, floors),
        ceilings=np.full(num_sublayers, LARGEST),
        min_rank=min_rank,
        costs=np.outer(np.full(num_sublayers, price), np.arange(LARGEST + 1)),
        budget=budget,
    )


@given(weights_of, st.integers(0, LARGEST))
def test_it_is_hamiltons_method_where_nothing_limits_it(weights, budget):
    for wanted, ranks in zip(weights, spend(weights, budget), strict=True):
        quotas = wanted / wanted.sum() * budget
        short = quotas - np.floor(quotas)
        more = ranks - np.floor(quotas)
        assert ranks.sum() == budget
        if np.abs(quotas - quotas.round()).max() > 1e-9:  # else the quotas are whole but for bits
            assert set(more) <= {0, 1}
            assert short[more == 1].min(initial=1) >= short[more == 0].max(initial=0) - 1e-9


@given(weights_of, st.integers(0, LARGEST), st.integers(0, 5), st.integers(1, 7))
def test_problems_solved_at_once_are_solved_as_each_alone(weights, budget, floors, price):
    together = spend(weights, budget, floors=floors, price=price)
    alone = [spend(row[None], budget, floors=floors, price=price)[0] for row in weights]
    np.testing.assert_array_equal(together, alone)


def test_floors_that_cannot_be_paid_fall_to_the_smallest_rank():
    np.testing.assert_array_equal(spend(np.ones((1, 2)), 9, floors=5, min_rank=2), [[5, 4]])
    np.testing.assert_array_equal(spend(np.ones((1, 2)), 10, floors=5, min_rank=2), [[5, 5]])


def test_a_budget_below_the_smallest_ranks_is_refused():
    with pytest.raises(
        RankError, match="budget of 1,199 parameters is below the 1,200 that rank 2"
    ):
        spend(np.ones((3, 2)), 1199, min_rank=2, price=300)
