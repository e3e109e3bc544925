"""The answers that known networks state: ranks from whole Jacobians, dimensions as measured."""

import numpy as np
import pytest
import torch
from torch.autograd.functional import jacobian

import known_networks as known
from gelora.dimension.layers import estimate_layers
from gelora.hidden_states.activations import hidden_states
from gelora.ranks import plan_ranks
from known_profiles import NETWORKS, NUM_SAMPLES, flat, measured
from manifolds import MANIFOLDS

BIAS = 0.05
"""Share by which the mean of a dimension here may be off; 100 draws showed less than 0.02."""


every_network = pytest.mark.parametrize("name", NETWORKS)


def layers_of(network):
    return hidden_states(network.model, [{"input_ids": network.input_ids}])


def estimated(layers):
    names = [f"layer {index}" for index in range(len(layers))]
    return estimate_layers(layers, layer_names=names).series["twonn_linfit"]


def rank_of(matrix):
    return np.linalg.matrix_rank(matrix.flatten(1).numpy(), rtol=1e-5)


@every_network
def test_whole_jacobians_have_the_ranks_stated(name, seed):
    network = NETWORKS[name](num_samples=5, seed=seed)
    model = network.model.double()
    for tokens in network.input_ids[:3]:
        states, block = model.embedding(tokens)[None], model.blocks[0]

        def by_input(moved_by, states=states, block=block):
            return block(states + moved_by).mean(dim=1)[0]  # the mean moves as all tokens do

        def by_weights(weight, states=states, block=block):
            moved = torch.func.functional_call(block, {"read.weight": weight}, states)
            return moved.mean(dim=1)[0]

        weight = block.read.weight.detach()
        assert rank_of(jacobian(by_input, torch.zeros_like(states[0, 0]))) == network.input_rank
        assert rank_of(jacobian(by_weights, weight)) == network.parameter_rank


@every_network
def test_dimensions_and_the_rules_ranks_are_as_stated(name, seed):
    network = NETWORKS[name](num_samples=NUM_SAMPLES, seed=seed)
    profile = measured(network)
    for found, error, true in zip(
        profile.dimensions, profile.standard_errors, network.dimensions, strict=True
    ):
        assert abs(found - true) < BIAS * true + 4 * error
    growth = max(network.dimensions[1] - network.dimensions[0], 0)
    assert plan_ranks(profile, target_modules=known.ADAPTED).ranks == (growth + 1,)


@pytest.mark.parametrize("name", sorted(MANIFOLDS))
def test_the_identity_adds_exactly_nothing_on_any_manifold(name, seed):
    network = known.identity(MANIFOLDS[name], 300, seed=seed)
    series = estimated(layers_of(network))
    assert series.increments == (0.0,)
    assert series.increment_standard_errors == (0.0,)


@pytest.mark.parametrize("name", ["helix", "swiss_roll", "sphere", "flat_torus", "gaussian"])
def test_a_linear_map_onto_more_directions_keeps_a_manifolds_dimension(name, seed):
    manifold = MANIFOLDS[name]
    rank = manifold.sample(1, seed=seed).shape[1] + known.SPARE_WIDTH // 2
    network = known.linear_map(manifold, NUM_SAMPLES, rank=rank, seed=seed)
    series = estimated(layers_of(network))
    assert network.dimensions == (manifold.dimension, manifold.dimension)
    margin = BIAS * manifold.dimension + 4 * series.increment_standard_errors[0]
    assert abs(series.increments[0]) < margin


@every_network
def test_the_seed_decides_all(name, seed):
    first, again, other = (NETWORKS[name](num_samples=20, seed=seed + i) for i in (0, 0, 1))
    for mine, same, else_ in zip(*map(layers_of, (first, again, other)), strict=True):
        assert torch.equal(mine, same)
        assert not torch.equal(mine, else_)


def test_increments_err_as_often_as_stated():
    """Of a linear map that keeps the dimension, 80 times: the true increment is 0."""
    draws = [
        estimated(layers_of(known.linear_map(flat(4), 200, rank=6, seed=seed)))
        for seed in range(80)
    ]
    surprises = [s.increments[0] / s.increment_standard_errors[0] for s in draws]
    assert abs(np.mean(surprises)) < 0.4
    assert 0.8 < np.std(surprises) < 1.25


def test_shuffled_between_layers_samples_have_an_error_that_is_not_paired(seed):
    """The negative control: the increment's error then is that of two measurements."""
    before, after = layers_of(known.linear_map(flat(4), NUM_SAMPLES, rank=10, seed=seed))
    shuffled = after[torch.randperm(len(after), generator=torch.Generator().manual_seed(seed))]
    paired, unpaired = estimated([before, after]), estimated([before, shuffled])
    assert paired.dimensions == pytest.approx(unpaired.dimensions)
    independent = np.hypot(*unpaired.standard_errors)
    assert unpaired.increment_standard_errors[0] == pytest.approx(independent, rel=0.1)
    assert paired.increment_standard_errors[0] < 0.8 * independent
