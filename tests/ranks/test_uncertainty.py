"""Probabilities of ranks: closed forms for one sublayer, then what repeated measurements show."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from example_profiles import make_profile
from gelora.dimension.layers import estimate_layers
from gelora.dimension.profile import DimensionSeries
from gelora.ranks import plan_ranks
from gelora.ranks.uncertainty import (
    CONFIDENCE,
    NUM_DRAWS,
    draw_dimensions,
    rank_probabilities,
    sufficient_ranks,
)

BY_CHANCE = 5 * 0.5 / np.sqrt(NUM_DRAWS)
"""Five standard errors of a share of the draws, at their largest."""

errors = st.floats(0.05, 1.5)
drawn_ranks = st.lists(st.integers(1, 9), min_size=1, max_size=50).map(lambda r: np.array([r]).T)


def with_errors(dimensions, standard_errors, increment_errors):
    """A profile of chosen dimensions and errors; one error for all layers if it is a number."""
    dimensions = [float(dimension) for dimension in dimensions]
    series = DimensionSeries(
        tuple(dimensions),
        tuple(np.broadcast_to(standard_errors, len(dimensions)).tolist()),
        tuple(b - a for a, b in pairwise(dimensions)),
        tuple(np.broadcast_to(increment_errors, len(dimensions) - 1).tolist()),
    )
    return replace(make_profile(dimensions), series={"twonn_linfit": series})


@given(st.floats(3, 12), st.floats(-3, 3), errors, errors, st.floats(-0.95, 0.95))
def test_one_sublayer_has_the_probabilities_of_two_normal_numbers(
    dimension, growth, before, after, correlation
):
    covariance = correlation * before * after
    increment_error = np.sqrt(before**2 + after**2 - 2 * covariance)
    layers = [dimension, dimension + growth]
    profile = with_errors(layers, [before, after], increment_error)
    law = multivariate_normal(layers, [[before**2, covariance], [covariance, after**2]])

    def share(low, high):  # of the cell that rounds to the whole numbers low and high
        corners = [law.cdf([low + i - 0.5, high + j - 0.5]) for i in (0, 1) for j in (0, 1)]
        return corners[0] - corners[1] - corners[2] + corners[3]

    cells = range(round(dimension - 8), round(dimension + 9))
    (found,) = plan_ranks(profile).rank_probabilities
    for rank in (2, 3, 4):
        expected = sum(share(cell, cell + rank - 1) for cell in cells)
        assert found.get(rank, 0.0) == pytest.approx(expected, abs=BY_CHANCE)


def test_draws_have_the_errors_that_the_profile_states():
    dimensions, layer_errors, sublayers = [8, 9, 7, 7.5], [0.3, 0.5, 0.4, 0.2], [0.3, 0.2, 0.45]
    draws = draw_dimensions(with_errors(dimensions, layer_errors, sublayers))
    np.testing.assert_allclose(draws.mean(0), dimensions, atol=0.03)
    np.testing.assert_allclose(draws.std(0), layer_errors, rtol=0.05)
    np.testing.assert_allclose(np.diff(draws).std(0), sublayers, rtol=0.05)


def test_a_chain_forgets_by_the_product_of_its_correlations():
    """With errors of 1, an increment's variance is 2 - 2 x correlation."""
    draws = draw_dimensions(with_errors([8, 8, 8], 1.0, [np.sqrt(0.4), np.sqrt(0.8)]))
    near, next_one, far = np.corrcoef(draws.T)[[0, 1, 0], [1, 2, 2]]
    assert [near, next_one, far] == pytest.approx([0.8, 0.6, 0.48], abs=0.05)


def test_draws_are_always_the_same():
    profile = with_errors([8, 9], 0.3, 0.2)
    np.testing.assert_array_equal(draw_dimensions(profile), draw_dimensions(profile))


@pytest.mark.parametrize(("increment_error", "correlation"), [(9.0, -1.0), (0.01, 1.0)])
def test_errors_that_contradict_each_other_are_taken_to_the_nearest_that_do_not(
    increment_error, correlation
):
    draws = draw_dimensions(with_errors([8, 9], [1.0, 2.0], increment_error))
    assert np.corrcoef(draws.T)[0, 1] == pytest.approx(correlation)
    np.testing.assert_allclose(draws.std(0), [1.0, 2.0], rtol=0.05)


def test_a_constant_layer_has_no_error_and_passes_none_on():
    profile = replace(with_errors([0, 8, 9], [0, 1.0, 1.0], [1.0, 0.5]), constant_layers=(0,))
    draws = draw_dimensions(profile)
    assert (draws[:, 0] == 0).all()
    np.testing.assert_allclose(draws[:, 1:].std(0), [1.0, 1.0], rtol=0.05)


def test_the_decoders_chain_does_not_hang_on_the_encoders():
    both = replace(
        with_errors([8, 9, 8, 9], 1.0, 0.1),
        layers=("encoder.embeddings", "layer.0", "decoder.embeddings", "layer.1"),
        blocks=("layer.0", "layer.1"),
    )
    series = replace(
        both.series["twonn_linfit"], increments=(1, 1), increment_standard_errors=(0.1,) * 2
    )
    correlations = np.corrcoef(draw_dimensions(replace(both, series={"twonn_linfit": series})).T)
    assert correlations[0, 1] > 0.99 < correlations[2, 3]
    assert abs(correlations[:2, 2:]).max() < 0.1


@given(drawn_ranks)
def test_probabilities_sum_to_one_over_the_ranks_that_occur(ranks):
    (found,) = rank_probabilities(ranks)
    assert sum(found.values()) == pytest.approx(1)
    assert list(found) == sorted(set(ranks[:, 0].tolist()))


@given(drawn_ranks, st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_sufficient_rank_is_the_smallest_and_grows_with_the_confidence(ranks, one, other):
    low, high = (sufficient_ranks(ranks, confidence=c)[0] for c in sorted([one, other]))
    assert low <= high
    assert (ranks <= high).mean() >= max(one, other)
    assert (ranks < high).mean() < max(one, other)


@pytest.mark.usefixtures("few_draws")
@given(st.lists(st.floats(0, 30), min_size=2, max_size=8), st.sampled_from(["r=5", None]))
def test_without_errors_every_rank_is_certain(dimensions, budget):
    plan = plan_ranks(with_errors(dimensions, 0.0, 0.0), budget=budget)
    assert plan.rank_probabilities == tuple({rank: 1.0} for rank in plan.ranks)


@pytest.mark.usefixtures("few_draws")
@given(st.lists(st.floats(0, 30), min_size=2, max_size=8))
def test_without_errors_the_confident_ranks_are_the_papers(dimensions):
    profile = with_errors(dimensions, 0.0, 0.0)
    assert plan_ranks(profile, rank_rule="confident").ranks == plan_ranks(profile).ranks


@given(st.lists(st.floats(0, 30), min_size=2, max_size=8), errors)
def test_confident_ranks_suffice_and_no_smaller_ones_do(dimensions, error):
    plan = plan_ranks(with_errors(dimensions, error, error), rank_rule="confident")
    assert min(plan.certainties) >= CONFIDENCE - 1e-12  # a sum of shares may round
    for rank, probabilities in zip(plan.ranks, plan.rank_probabilities, strict=True):
        assert sum(p for r, p in probabilities.items() if r < rank) < CONFIDENCE


def test_stated_probabilities_are_kept_by_dimensions_that_were_measured_with_error(seed):
    """Of any true dimensions, so often is the rank right, and the confident one large enough."""
    rng = np.random.default_rng(seed)
    layer_error, sublayer_error, num_sublayers = 0.4, 0.3, 12
    correlation = 1 - sublayer_error**2 / layer_error**2 / 2
    surprise = []
    for _ in range(150):
        true = rng.uniform(8, 9) + np.cumsum(rng.uniform(-0.7, 1.2, num_sublayers + 1))
        noise = rng.normal(size=num_sublayers + 1)
        for layer in range(1, num_sublayers + 1):
            own = np.sqrt(1 - correlation**2) * noise[layer]
            noise[layer] = correlation * noise[layer - 1] + own
        wanted = np.array(plan_ranks(with_errors(true, 0.0, 0.0)).ranks)
        profile = with_errors(true + layer_error * noise, layer_error, sublayer_error)
        plans = [plan_ranks(profile, rank_rule=rule) for rule in ("paper", "confident")]
        right = [plans[0].ranks == wanted, plans[1].ranks >= wanted]
        surprise.append([np.mean(r - p.certainties) for r, p in zip(right, plans, strict=True)])
    mean, deviation = np.mean(surprise, axis=0), np.std(surprise, axis=0)
    assert (abs(mean) < 4.5 * deviation / np.sqrt(len(surprise))).all()


def residual_stream(rng, *, samples=200, dimension=5, width=12, blocks=3):
    """States of a chain of fixed random blocks, each of which adds a little of a new direction."""
    weights = np.random.default_rng(0)
    latent = rng.normal(size=(samples, dimension + blocks))
    states = [latent[:, :dimension] @ weights.normal(size=(dimension, width))]
    for block in range(blocks):
        mixed = np.tanh(states[-1] @ weights.normal(size=(width, width)) / 2)
        new = np.outer(latent[:, dimension + block], weights.normal(size=width))
        states.append(states[-1] + 0.6 * mixed + 0.3 * new)
    return states


@pytest.mark.parametrize("arguments", [{}, {"rounding": "down"}, {"budget": "r=4"}])
def test_a_network_measured_200_times_gives_ranks_as_often_as_stated(measured, arguments):
    frequencies = [Counter[int]() for _ in range(3)]
    for series in measured:
        ranks = plan_ranks(with_errors(series.dimensions, 0.0, 0.0), **arguments).ranks
        for counter, rank in zip(frequencies, ranks, strict=True):
            counter[rank] += 1 / len(measured)
    typical = with_errors(
        np.mean([series.dimensions for series in measured], axis=0),
        np.mean([series.standard_errors for series in measured], axis=0),
        np.mean([series.increment_standard_errors for series in measured], axis=0),
    )
    stated = plan_ranks(typical, **arguments).rank_probabilities
    for found, probabilities in zip(frequencies, stated, strict=True):
        distance = sum(abs(found[r] - probabilities.get(r, 0)) for r in {*found, *probabilities})
        assert distance / 2 < 0.1  # the two laws' total variation


@pytest.fixture(scope="module")
def measured():
    names = ["embeddings", "layer.0", "layer.1", "layer.2"]
    return [
        estimate_layers(
            residual_stream(np.random.default_rng(run)), layer_names=names, num_quantiles=1
        ).series["twonn_linfit"]
        for run in range(200)
    ]
