"""The leading singular values of a matrix that is known by its products alone. Linear algebra only.

J J^T is applied to directions, and a factor F with F F^T <= J J^T is built from what comes back: a
partial Cholesky factorisation of J J^T in the basis of the directions, which is its Nyström
approximation there (Halko, Martinsson and Tropp 2011, section 5.4). Some directions are random, and
bound what is still left out (section 4.3); the others are those into which the last ones were
mapped, which makes them turn to the largest singular values (Musco and Musco 2015).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gelora.errors import ConfigError
from gelora.lab.theory.spectra import Spectrum

BLOCK = 16
"""Directions at a time: fewer are slow to multiply by, more are multiplied in vain at the end."""

PROBES = 4
"""Of them are random: enough to bound what is left out, and to meet equal singular values."""

LANCZOS_STEPS = 12
"""Products that tell a residual which is, in 400 rows, too large by an eighth at most."""

MISS_PROBABILITY = 1e-3
"""How often a residual may be smaller than the largest singular value left out."""

MAX_NUMBERS = 2**25
"""Held at once of J^T times directions: a quarter of a gigabyte in float64."""


@dataclass(frozen=True)
class LinearMap:
    """A matrix J known by its products with directions, which are rows here.

    Attributes:
        num_rows: Width of what it returns.
        num_columns: Width of what it is given.
        forward: J times every direction.
        adjoint: J^T times every direction.
        device: Where the directions are to be.
    """

    num_rows: int
    num_columns: int
    forward: Callable[[Float[Tensor, "directions columns"]], Float[Tensor, "directions rows"]]
    adjoint: Callable[[Float[Tensor, "directions rows"]], Float[Tensor, "directions columns"]]
    device: torch.device

    def outer(
        self, directions: Float[Tensor, "directions rows"]
    ) -> Float[Tensor, "directions rows"]:
        """Return J J^T times every direction, so few at a time that J^T times them fit."""
        at_once = max(MAX_NUMBERS // self.num_columns, 1)
        return torch.cat([self.forward(self.adjoint(some)) for some in directions.split(at_once)])


def leading_spectrum(
    linear_map: LinearMap, *, max_rank: int, tolerance: float, generator: torch.Generator
) -> Spectrum:
    """Find the largest singular values of a matrix from products with random directions.

    Directions are added until what is left out is below `tolerance` times the largest singular
    value, or `max_rank` are found. No value found is above the true one, so that a rank counted
    from them is at least that; found² <= true² <= found² + residual². Values below about 1e-7 of
    the largest are rounding: it is their squares that are computed, in float64.

    Args:
        linear_map: The matrix.
        max_rank: Singular values found at most. Each costs a product with J and one with J^T; 12 or
            16 more tell the residual.
        tolerance: Share of the largest below which no singular value is sought.
        generator: On the CPU; draws the directions.

    Raises:
        ConfigError: `max_rank` or `tolerance` is out of its range.
    """
    if max_rank < 1:
        raise ConfigError(f"max_rank must be at least 1. Got {max_rank}.")
    if not 0 <= tolerance < 1:
        raise ConfigError(f"tolerance must be at least 0 and below 1. Got {tolerance}.")
    size = min(linear_map.num_rows, linear_map.num_columns)
    limit = min(max_rank, size)
    basis = torch.empty(0, linear_map.num_rows, dtype=torch.float64, device=linear_map.device)
    factor = basis
    found: tuple[float, ...] = ()

    def left_out(directions: Float[Tensor, "directions rows"]) -> Tensor:
        return linear_map.outer(directions) - (directions @ factor.T) @ factor

    leading = _gaussian(BLOCK - PROBES, factor, generator)
    while len(factor) < limit and len(basis) < linear_map.num_rows:
        probes = _gaussian(PROBES, factor, generator)
        count = min(BLOCK, linear_map.num_rows - len(basis))
        directions = _orthonormal(torch.cat([probes, leading])[:count], basis)
        images = left_out(directions)
        # The basis is mapped to nothing, so that the probes' parts in it make no difference.
        residual = math.sqrt(_bound_by_probes(probes @ directions.T @ images))
        if residual <= tolerance * max(found, default=0.0):
            return Spectrum(found, size=size, residual=residual)
        kept = slice(0, limit - len(factor))
        rows = _next_rows(directions[kept], images[kept], largest=max(found, default=0.0) ** 2)
        factor = torch.cat([factor, rows])
        basis = torch.cat([basis, directions[kept]])
        found = tuple(torch.linalg.svdvals(factor).tolist())
        leading = torch.linalg.svd(images, full_matrices=False).Vh
    if len(factor) == size or len(basis) == linear_map.num_rows:
        return Spectrum(found, size=size)
    start = _orthonormal(_gaussian(1, factor, generator), basis)
    return Spectrum(found, size=size, residual=math.sqrt(_bound_by_lanczos(left_out, start)))


def _gaussian(
    count: int, like: Float[Tensor, "_ rows"], generator: torch.Generator
) -> Float[Tensor, "count rows"]:
    drawn = torch.randn(count, like.shape[1], dtype=torch.float64, generator=generator)
    return drawn.to(like.device)


def _orthonormal(
    directions: Float[Tensor, "count rows"], basis: Float[Tensor, "found rows"]
) -> Float[Tensor, "count rows"]:
    """Return as many directions at right angles to the basis and to each other."""
    for _ in range(2):  # once leaves rounding, all there is of a direction that lay in the basis
        outside = directions - (directions @ basis.T) @ basis
        directions = torch.linalg.qr(outside.T).Q.T
    return directions


def _bound_by_probes(images: Float[Tensor, "directions rows"]) -> float:
    """Bound the largest eigenvalue of a matrix from its products with Gaussian directions.

    A product is at least as long as the eigenvalue times the direction's share of its eigenvector,
    a standard normal number, and all shares are below 1/a with probability (sqrt(2/pi) / a)^n at
    most (Halko, Martinsson and Tropp 2011, equation 4.3).
    """
    factor = math.sqrt(2 / math.pi) * MISS_PROBABILITY ** (-1 / len(images))
    return factor * float(images.norm(dim=1).max())


def _bound_by_lanczos(
    apply: Callable[[Float[Tensor, "one rows"]], Float[Tensor, "one rows"]],
    start: Float[Tensor, "one rows"],
) -> float:
    """Bound the largest eigenvalue of a positive semi-definite matrix from a random start.

    After k steps Lanczos' largest value is below 1 - e of the eigenvalue with probability
    1.648 sqrt(n) exp(-sqrt(e) (2k - 1)) at most (Kuczyński and Woźniakowski 1992, theorem 4.2).
    """
    basis, images = start[:0], start[:0]
    direction, largest = start, 0.0
    for _ in range(LANCZOS_STEPS):
        image = apply(direction)
        basis, images = torch.cat([basis, direction]), torch.cat([images, image])
        core = images @ basis.T
        largest = max(float(torch.linalg.eigvalsh((core + core.T) / 2)[-1]), 0.0)
        rest = image
        for _ in range(2):
            rest = rest - (rest @ basis.T) @ basis
        if rest.norm() <= 1e-12 * image.norm():
            return largest  # no step leads out of here
        direction = rest / rest.norm()
    root = math.log(1.648 * math.sqrt(start.shape[1]) / MISS_PROBABILITY) / (2 * len(basis) - 1)
    return largest / (1 - root**2)


def _next_rows(
    directions: Float[Tensor, "directions rows"],
    images: Float[Tensor, "directions rows"],
    *,
    largest: float,
) -> Float[Tensor, "kept rows"]:
    """Return rows of the factor that account for what the directions are mapped to.

    Fewer than there are directions where these are mapped to rounding errors of what is left out
    or of the `largest` eigenvalue that is not.
    """
    core = directions @ images.T
    squares, vectors = torch.linalg.eigh((core + core.T) / 2)
    rounding = directions.shape[1] * torch.finfo(torch.float64).eps
    kept = squares > rounding * max(float(squares[-1]), largest)
    return (vectors[:, kept].T @ images) / squares[kept].sqrt()[:, None]
