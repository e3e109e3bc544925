"""Which directions stay: no other allocation of as many parameters keeps more."""

import itertools

import numpy as np
import pytest

from gelora.cutting.order import order_directions
from gelora.errors import RankError

COSTS = {"narrow": 3, "square": 5, "wide": 8}


def values_of(seed):
    rng = np.random.default_rng(seed)
    return {name: np.sort(rng.gamma(0.5, size=4))[::-1] for name in COSTS}


def kept_by(values, ranks):
    return sum(values[name][:rank].sum() for name, rank in ranks.items())


def price_of(ranks):
    return sum(COSTS[name] * rank for name, rank in ranks.items())


def test_no_other_allocation_of_as_many_parameters_keeps_more(seed):
    """Eckart and Young over several modules, by brute force over all allocations."""
    values = values_of(seed)
    order = order_directions(values, COSTS)
    others = [
        dict(zip(COSTS, ranks, strict=True)) for ranks in itertools.product(range(5), repeat=3)
    ]
    for count in range(1, len(order) + 1):
        ours = order.ranks(count)
        best = max(kept_by(values, r) for r in others if price_of(r) <= price_of(ours))
        assert kept_by(values, ours) == pytest.approx(best)
        assert order.parameters[count - 1] == price_of(ours)
        whole = sum(map(np.sum, values.values()))
        assert order.kept[count - 1] == pytest.approx(kept_by(values, ours) / whole)


def test_a_budget_is_met_within_one_direction(seed):
    order = order_directions(values_of(seed), COSTS)
    for budget in range(int(order.parameters[0]), 64):
        spent = price_of(order.ranks(order.within_budget(budget)))
        assert budget - max(COSTS.values()) < spent <= budget


def test_energy_is_kept_by_the_fewest_directions(seed):
    values = values_of(seed)
    order = order_directions(values, COSTS)
    for share in (0.01, 0.5, 0.9, 1.0):
        count = order.with_energy(share)
        assert order.kept[count - 1] >= share - 1e-9
        assert count == 1 or order.kept[count - 2] < share


def test_directions_of_a_module_stay_in_their_order():
    order = order_directions({"a": np.ones(3), "b": np.ones(3)}, {"a": 2, "b": 2})
    assert [order.ranks(count) for count in (1, 4)] == [{"a": 1, "b": 0}, {"a": 3, "b": 1}]


def test_a_budget_below_one_direction_is_refused():
    order = order_directions({"a": np.ones(3)}, {"a": 20})
    with pytest.raises(RankError, match="budget of 19 parameters is below the 20 "):
        order.within_budget(19)


def test_nothing_to_cut_is_refused():
    with pytest.raises(RankError, match="The adapter changes nothing"):
        order_directions({"a": np.empty(0)}, {"a": 20})
