"""Directions: the truncated factors are the best of their rank, in each of the three norms."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from gelora.cutting.directions import Moments, cut_factors, find_directions
from gelora.exports.saved import Factors

RANK, INPUTS, OUTPUTS, TOKENS = 5, 12, 9, 40


@pytest.fixture
def factors(seed):
    torch.manual_seed(seed)
    return Factors(torch.randn(RANK, INPUTS), torch.randn(OUTPUTS, RANK), 1.5)


@pytest.fixture
def texts(seed):
    """Inputs and gradients of tokens, with directions of unlike size."""
    torch.manual_seed(seed + 1)
    scales = torch.logspace(-1, 1, INPUTS), torch.logspace(-1, 1, OUTPUTS)
    x, g = torch.randn(TOKENS, INPUTS) * scales[0], torch.randn(TOKENS, OUTPUTS) * scales[1]
    return x.double(), g.double()


def moment(rows):
    return rows.T @ rows / len(rows)


def root(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(0).sqrt() @ vectors.T


def whitened(update, kind, texts):
    """Return the update in the norm of a kind, by the large matrices that gelora never forms."""
    x, g = texts
    left = root(moment(g)) if kind == "fisher" else torch.eye(OUTPUTS).double()
    right = torch.eye(INPUTS).double() if kind == "weights" else root(moment(x))
    return left @ update @ right


def moments_of(factors, kind, texts):
    x, g = texts
    if kind == "weights":
        return None
    gradients = moment(g @ factors.b.double()) if kind == "fisher" else None
    return Moments(moment(x @ factors.a.double().T), gradients)


def update_of(factors):
    return factors.scale * factors.b.double() @ factors.a.double()


KINDS = ["weights", "inputs", "fisher"]


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_the_squared_singular_values_of_the_whole_matrix(kind, factors, texts):
    directions = find_directions(factors, moments_of(factors, kind, texts))
    expected = torch.linalg.svdvals(whitened(update_of(factors), kind, texts))[:RANK] ** 2
    np.testing.assert_allclose(directions.values, expected.numpy(), rtol=1e-3)


@pytest.mark.parametrize("rank", range(1, RANK))
@pytest.mark.parametrize("kind", KINDS)
def test_cut_factors_are_the_best_of_their_rank(kind, rank, factors, texts):
    """What is lost is the sum of the values that are dropped: no update of that rank loses less."""
    directions = find_directions(factors, moments_of(factors, kind, texts))
    kept = cut_factors(factors, directions, rank)
    assert kept.a.shape == (rank, INPUTS)
    assert kept.b.shape == (OUTPUTS, rank)
    lost = whitened(update_of(factors) - update_of(kept), kind, texts).square().sum().item()
    assert lost == pytest.approx(directions.values[rank:].sum(), rel=1e-3)


def test_weights_cut_to_the_truncated_svd(factors):
    kept = cut_factors(factors, find_directions(factors), 2)
    u, singular, vh = torch.linalg.svd(update_of(factors))
    assert_close(
        update_of(kept), u[:, :2] * singular[:2] @ vh[:2], rtol=0, atol=1e-5 * singular[0].item()
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_rank_that_is_there_keeps_the_factors(kind, factors, texts):
    directions = find_directions(factors, moments_of(factors, kind, texts))
    assert cut_factors(factors, directions, RANK) is factors


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_of_lower_rank_is_cut_to_it_without_loss(kind, factors, texts):
    factors = factors._replace(b=factors.b @ torch.diag(torch.tensor([1.0, 2, 0, 0, 0])))
    directions = find_directions(factors, moments_of(factors, kind, texts))
    assert len(directions.values) == 2
    kept = cut_factors(factors, directions, 2)
    assert_close(update_of(kept), update_of(factors), rtol=0, atol=1e-4)


def test_no_update_has_no_direction(factors):
    nothing = factors._replace(b=torch.zeros_like(factors.b))
    assert len(find_directions(nothing).values) == 0


def test_factors_are_balanced_and_of_their_dtype(factors):
    half = Factors(factors.a.bfloat16(), factors.b.bfloat16(), factors.scale)
    kept = cut_factors(half, find_directions(half), 3)
    assert kept.a.dtype == kept.b.dtype == torch.bfloat16
    assert_close(kept.a.norm(dim=1), kept.b.norm(dim=0), rtol=1e-2, atol=0)


@pytest.mark.parametrize("sides", [(3, 12), (9, 3)])
def test_a_rank_above_the_smaller_side_is_cut(sides, seed):
    torch.manual_seed(seed)
    outputs, inputs = sides
    wide = Factors(torch.randn(RANK, inputs), torch.randn(outputs, RANK), 1.5)
    directions = find_directions(wide)
    assert len(directions.values) == 3
    for rank in (3, 4):
        kept = cut_factors(wide, directions, rank)
        assert kept.a.shape == (rank, inputs)
        assert_close(update_of(kept), update_of(wide), rtol=0, atol=1e-4)
