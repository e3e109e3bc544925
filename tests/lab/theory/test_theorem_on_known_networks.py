"""The theorem where all of it is known: holds or tight as stated, and broken by negative controls.

Dimensions and Jacobians are measured as on any model, by `measure_dimensions` and
`block_jacobians`.
"""

from contextlib import contextmanager

import pytest
import torch

from gelora.lab.theory.jacobian import block_jacobians
from gelora.lab.theory.theorem import check_theorem
from known_networks import ADAPTED, GAIN
from known_profiles import NETWORKS, NUM_SAMPLES, measured, point_texts, point_tokenizer

VERDICTS = {
    "to fewer": ("tight", "holds"),
    "to more": ("holds", "holds"),
    "curved": ("tight", "holds"),
    "identity": ("holds", "tight"),
    "amplifying": ("holds", "tight"),
    "scrambling": ("violated", "holds"),
    "revealing": ("violated", "holds"),
}
"""Of d(i) <= rank by the input, and of the growth <= rank by the parameters."""


def jacobians_of(network):
    return block_jacobians(
        network.model,
        point_tokenizer(network),
        point_texts(network),
        target_modules=ADAPTED,
        num_samples=3,
    )


def checked(network, **arguments):
    return check_theorem(measured(network), jacobians_of(network), **arguments)


@contextmanager
def fresh_noise(network, *, seed):
    """Add noise to what the block returns: no function of its input, nor of any weight."""
    generator = torch.Generator().manual_seed(seed)

    def add(_module, _args, states):
        return states + torch.randn(states.shape, generator=generator)

    handle = network.model.blocks[0].register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("name", VERDICTS)
def test_ranks_and_verdicts_are_as_stated(name, seed):
    network = NETWORKS[name](num_samples=NUM_SAMPLES, seed=seed)
    dimension, increment = checked(network)
    assert dimension.rank == (network.input_rank, True)
    assert increment.rank == (network.parameter_rank, True)
    assert (dimension.verdict, increment.verdict) == VERDICTS[name]


@pytest.mark.parametrize(
    ("name", "broken"),
    [("to fewer", "dimension"), ("curved", "dimension"), ("identity", "increment")],
)
def test_fresh_noise_breaks_what_held(name, broken, seed):
    network = NETWORKS[name](num_samples=NUM_SAMPLES, seed=seed)
    jacobians = jacobians_of(network)
    with fresh_noise(network, seed=seed):
        profile = measured(network)
    found = {one.statement: one.verdict for one in check_theorem(profile, jacobians)}
    assert found[broken] == "violated"


def test_the_tolerance_decides_where_directions_differ_in_strength(seed):
    """What is amplified is GAIN times as strong as the rest, which stops to count at 1 / GAIN."""
    network = NETWORKS["amplifying"](num_samples=NUM_SAMPLES, seed=seed)
    profile, jacobians = measured(network), jacobians_of(network)
    for tolerance, rank, verdict in (
        (0.99 / GAIN, network.input_rank, "holds"),
        (1.01 / GAIN, 2, "violated"),
    ):
        found, _ = check_theorem(profile, jacobians, tolerance=tolerance)
        assert (found.rank, found.verdict) == ((rank, True), verdict)
        assert found.breaking_tolerance == pytest.approx(1 / GAIN, rel=1e-4)
