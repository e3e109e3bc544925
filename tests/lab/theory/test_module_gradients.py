"""Factors multiply to the gradients of autograd, and Gram matrices to their inner products."""

import pytest
import torch
from torch import nn

from gelora.lab.theory import fisher
from gelora.lab.theory.fisher import GradientFactors, gradient_factors, gram_matrix


@pytest.fixture
def linear():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(5, 5)


def assert_is_autograd(linear, value):
    found = gradient_factors({"linear": linear}, value)["linear"]
    (expected,) = torch.autograd.grad(value(), linear.weight)
    torch.testing.assert_close(found.deltas.T @ found.inputs, expected)


STATES = torch.arange(30.0).sin().reshape(2, 3, 5)


def test_all_tokens_count(linear):
    assert_is_autograd(linear, lambda: linear(STATES).square().sum())


def test_all_calls_count(linear):
    assert_is_autograd(linear, lambda: linear(linear(STATES).tanh()).square().sum())


def test_what_is_written_into_the_output_counts(linear):
    assert_is_autograd(linear, lambda: linear(STATES).add_(1).square().sum())


def test_a_frozen_weight_has_the_same_gradient(linear):
    def value():
        return linear(STATES).square().sum()

    expected = gradient_factors({"linear": linear}, value)["linear"]
    linear.requires_grad_(False)
    found = gradient_factors({"linear": linear}, value)["linear"]
    assert all(one.equal(other) for one, other in zip(found, expected, strict=True))


def test_modules_without_a_part_are_left_out(linear):
    modules = {"linear": linear, "other": nn.Linear(5, 5), "cut": nn.Linear(5, 5)}

    def value():
        with torch.no_grad():
            modules["cut"](STATES)
        return linear(STATES).sum()

    assert gradient_factors(modules, value).keys() == {"linear"}
    assert gradient_factors(modules, lambda: linear(STATES).detach().sum()) == {}


def test_hooks_are_removed_whatever_happens(linear):
    with pytest.raises(ZeroDivisionError):
        gradient_factors({"linear": linear}, lambda: 1 / 0)
    assert not linear._forward_hooks


@pytest.mark.parametrize("max_tile", [1, 40, 2**24])
def test_gram_matrix_of_gradients_some_of_which_are_zero(max_tile, monkeypatch, seed):
    monkeypatch.setattr(fisher, "MAX_TILE", max_tile)
    generator = torch.Generator().manual_seed(seed)
    samples = [
        GradientFactors(
            torch.randn(length, 4, generator=generator), torch.randn(length, 7, generator=generator)
        )
        for length in (3, 1, 6, 2)
    ]
    absent = [None, samples[0], None, *samples[1:]]
    rows = [(one.deltas.T @ one.inputs).double().flatten() if one else None for one in absent]
    whole = torch.stack([torch.zeros(28, dtype=torch.float64) if r is None else r for r in rows])
    found = gram_matrix(absent)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, whole @ whole.T, rtol=1e-5, atol=1e-5)
