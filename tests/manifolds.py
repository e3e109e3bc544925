"""Point clouds of known dimension, to see an estimator err where the truth is known.

Each function draws `num_samples` points in float64 by its own `seed`. `MANIFOLDS` lists them with
their dimension and with how far TwoNN may be off in the mean, for TwoNN is biased at edges, by
curvature and by noise. They are for tests, examples and benchmarks; no measurement uses them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "samples width"]


@dataclass(frozen=True)
class Manifold:
    """A point cloud of known dimension.

    Attributes:
        sample: Draws it: `sample(num_samples, seed=...)`.
        dimension: Its true dimension.
        bias: Largest share by which the mean of either TwoNN estimate is off with 1,000 to 4,000
            samples, as 60 draws showed it.
    """

    sample: Callable[..., Points]
    dimension: int
    bias: float


def helix(num_samples: int, *, seed: int, turns: float = 3) -> Points:
    """Draw evenly from a helix in 3 dimensions: dimension 1.

    With so many turns that neighbouring ones are nearer than neighbours along the curve it looks
    like the surface that it winds about.
    """
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi * turns, num_samples)
    return np.column_stack([np.cos(angle), np.sin(angle), angle / 4])


def swiss_roll(num_samples: int, *, seed: int) -> Points:
    """Draw from a rolled-up sheet in 3 dimensions: dimension 2."""
    angle, height = np.random.default_rng(seed).uniform(0, 1, (2, num_samples))
    angle = 1.5 * np.pi * (1 + 2 * angle)
    return np.column_stack([angle * np.cos(angle), 21 * height, angle * np.sin(angle)])


def uniform_cube(num_samples: int, *, seed: int, dimension: int = 3) -> Points:
    """Draw evenly from a cube; its faces pull an estimate down."""
    return np.random.default_rng(seed).uniform(size=(num_samples, dimension))


def sphere(num_samples: int, *, seed: int, dimension: int = 4) -> Points:
    """Draw evenly from the unit sphere around the origin in one dimension more."""
    points = np.random.default_rng(seed).normal(size=(num_samples, dimension + 1))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def affine(num_samples: int, *, seed: int, dimension: int = 5, width: int = 100) -> Points:
    """Draw a Gaussian cloud on a flat subspace far off the origin."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(num_samples, dimension))
    return latent @ rng.normal(size=(dimension, width)) + 100 * rng.normal(size=width)


def flat_torus(num_samples: int, *, seed: int, dimension: int = 6) -> Points:
    """Draw evenly from a product of circles, which has no edges; curvature pushes it up."""
    angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, (num_samples, dimension))
    return np.hstack([np.cos(angles), np.sin(angles)])


def gaussian(num_samples: int, *, seed: int, dimension: int = 8) -> Points:
    """Draw a standard Gaussian cloud that fills its space."""
    return np.random.default_rng(seed).normal(size=(num_samples, dimension))


def nonlinear(num_samples: int, *, seed: int, dimension: int = 5, width: int = 768) -> Points:
    """Draw from a curved manifold with the common mean and outlier coordinates of hidden states.

    A random smooth map of Gaussian latents; all coordinates share an offset of 1,000, and three
    that hardly vary stand at some hundreds of times the others' spread.
    """
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(num_samples, dimension))
    phase = latent @ rng.normal(size=(dimension, width)) / np.sqrt(4 * dimension)
    points = np.sin(phase + rng.uniform(0, 2 * np.pi, width)) + 1000.0
    points[:, :3] += 300.0
    return points


def noisy(num_samples: int, *, seed: int, dimension: int = 3, noise: float = 1e-3) -> Points:
    """Draw from a flat manifold in 50 dimensions with noise in all of them.

    The noise is small beside the distance of neighbours, so the dimension at their scale is
    that of the manifold; with ever more samples it would become 50.
    """
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(50, dimension)))[0]
    latent = rng.normal(size=(num_samples, dimension))
    return latent @ basis.T + noise * rng.normal(size=(num_samples, 50))


def mixture(num_samples: int, *, seed: int, dimension: int = 4) -> Points:
    """Draw from two far manifolds of one dimension: a sphere, and a flat cloud ten times as wide.

    Where the parts differ in dimension, TwoNN gives a mean of the two, weighted towards the lower.
    """
    half = num_samples // 2
    round_part = np.pad(sphere(half, seed=seed, dimension=dimension), ((0, 0), (0, 10)))
    flat_part = 10 * affine(
        num_samples - half, seed=seed, dimension=dimension, width=dimension + 11
    )
    return np.vstack([round_part, flat_part])


def twins(
    num_samples: int,
    *,
    seed: int,
    dimension: int = 5,
    share: float = 0.1,
    distance: float = 0.05,
) -> Points:
    """Draw a Gaussian cloud of which a share are pairs, as texts that share a sentence are.

    The two of a pair are `distance` times as far apart as neighbours are.
    """
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(num_samples, dimension))
    typical = 0.8 * np.sqrt(2 * dimension) * num_samples ** (-1 / dimension)
    num_pairs = int(share * num_samples / 2)
    offsets = rng.normal(size=(num_pairs, dimension)) / np.sqrt(dimension)
    points[:num_pairs] = points[num_samples - num_pairs :] + distance * typical * offsets
    return points


MANIFOLDS: dict[str, Manifold] = {
    "helix": Manifold(helix, 1, 0.04),
    "swiss_roll": Manifold(swiss_roll, 2, 0.02),
    "uniform_cube": Manifold(uniform_cube, 3, 0.03),
    "sphere": Manifold(sphere, 4, 0.02),
    "affine": Manifold(affine, 5, 0.02),
    "flat_torus": Manifold(flat_torus, 6, 0.08),
    "gaussian": Manifold(gaussian, 8, 0.02),
    "nonlinear": Manifold(nonlinear, 5, 0.03),
    "noisy": Manifold(noisy, 3, 0.04),
    "mixture": Manifold(mixture, 4, 0.02),
}
"""All point clouds by name."""
