"""The directions of a LoRA update, in the order of their value, and the update that keeps the best.

A module's update is scale * B A. Its value is measured by a norm: ||G^(1/2) B A C^(1/2)||, squared,
with G and C the identity (the update's own size), or C the second moment of the module's inputs
(the change of its output), or also G that of the gradients at its output (the change of the loss,
as K-FAC has it). With roots L and R of B^T G B = L^T L and A C A^T = R R^T, the norm is that of the
small matrix L R, whose truncated SVD is the best update of each rank (Eckart and Young 1936). So
nothing larger than the factors is ever formed.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from gelora.exports.saved import Factors

NEGLIGIBLE = 1e-7
"""Singular value, relative to a module's largest, below which a direction counts as absent."""

DAMPING = 1e-6
"""Share of the identity's norm that is mixed into measured moments, so that they are invertible."""


@dataclass(frozen=True)
class Moments:
    """What texts say of a module's factors, averaged over their tokens.

    Attributes:
        inputs: Second moment of A x, for the module's inputs x.
        gradients: Second moment of B^T g, for the gradients g of the loss at the module's output;
            None where only inputs were measured.
    """

    inputs: Float[Tensor, "rank rank"]
    gradients: Float[Tensor, "rank rank"] | None = None


@dataclass(frozen=True)
class Directions:
    """The directions of one module's update, the most valuable first.

    Attributes:
        values: Squared singular values, float64, of the directions that are there at all.
        reduce: The first k rows, times A, are the A of rank k.
        expand: B times the first k columns is the B of rank k.
    """

    values: Float[np.ndarray, " directions"]
    reduce: Float[Tensor, "rank rank"]
    expand: Float[Tensor, "rank rank"]


def find_directions(factors: Factors, moments: Moments | None = None) -> Directions:
    """Return the directions of a module's update.

    Args:
        factors: The module's two matrices and its scale.
        moments: Measured on texts; None to value a direction by its singular value alone.
    """
    left, right = factors.roots()
    if moments is not None:
        right = _root(moments.inputs, right @ right.T)
        if moments.gradients is not None:
            left = _root(moments.gradients, left.T @ left).T
    u, singular, _ = torch.linalg.svd(left @ right, full_matrices=False)
    there = singular > NEGLIGIBLE * singular[0]
    missing = len(factors.a) - len(singular)  # where a side of the module is smaller than the rank
    return Directions(
        values=(factors.scale * singular[there]).square().numpy(),
        reduce=pad(u.T @ left, (0, 0, 0, missing)),
        expand=pad(torch.linalg.pinv(left, rtol=NEGLIGIBLE**2) @ u, (0, missing)),
    )


def cut_factors(factors: Factors, directions: Directions, rank: int) -> Factors:
    """Return the factors of the best update of a lower rank, with the same scale and dtype.

    Each row of A has the norm of its column of B. A rank that the factors have already leaves them
    as they are.
    """
    if rank == len(factors.a):
        return factors
    reduce, expand = cut_maps(factors, directions, rank)
    return Factors(
        (reduce @ factors.a.double()).to(factors.a.dtype),
        (factors.b.double() @ expand).to(factors.b.dtype),
        factors.scale,
    )


def cut_maps(
    factors: Factors, directions: Directions, rank: int
) -> tuple[Float[Tensor, "kept rank"], Float[Tensor, "rank kept"]]:
    """Return the matrices that make the balanced factors of a rank: reduce A, and B expand."""
    reduce, expand = directions.reduce[:rank], directions.expand[:, :rank]
    rows = (reduce @ factors.a.double()).norm(dim=1)
    columns = (factors.b.double() @ expand).norm(dim=0)
    balance = torch.where((rows > 0) & (columns > 0), (columns / rows).sqrt(), 1.0)
    return reduce * balance[:, None], expand / balance


def _root(
    moment: Float[Tensor, "rank rank"], unit: Float[Tensor, "rank rank"]
) -> Float[Tensor, "rank rank"]:
    """Return R with R R^T = the moment, damped.

    Args:
        moment: Measured; of as few tokens as there may be it has no inverse.
        unit: What it would be of isotropic inputs or gradients.
    """
    moment = moment.double()
    share = DAMPING * moment.trace() / unit.trace().clamp_min(torch.finfo(torch.float64).tiny)
    values, vectors = torch.linalg.eigh(moment + share * unit)
    return vectors * values.clamp_min(0).sqrt()
