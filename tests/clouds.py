"""Point clouds made to break a neighbour search, and the search that cannot be broken."""

from collections.abc import Callable

import numpy as np


def brute_force(points: np.ndarray, num_neighbors: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Measure all pairs as differences in float64; the lower index first among equals."""
    values = points.astype(np.float64)
    distances = np.stack([np.linalg.norm(values - row, axis=1) for row in values])
    np.fill_diagonal(distances, np.inf)
    indices = np.argsort(distances, axis=1, kind="stable")[:, :num_neighbors]
    return np.take_along_axis(distances, indices, axis=1), indices


def assert_nearest(
    found: tuple[np.ndarray, np.ndarray], points: np.ndarray, num_neighbors: int = 2
) -> None:
    """Compare with brute force; which of two comes first may differ where rounding decides."""
    distances, indices = brute_force(points, num_neighbors)
    np.testing.assert_allclose(found[0], distances, rtol=1e-12)
    row, place = np.nonzero(found[1] != indices)
    values = points.astype(np.float64)
    apart = np.linalg.norm(values[row] - values[found[1][row, place]], axis=1)
    np.testing.assert_allclose(apart, distances[row, place], rtol=1e-12)


def outlier_coordinates(rng: np.random.Generator) -> np.ndarray:
    points = rng.normal(size=(300, 8)) @ rng.normal(size=(8, 64))
    points[:, :3] *= 300
    return (points + 1000).astype(np.float32)


def far_clusters(rng: np.random.Generator) -> np.ndarray:
    """Draw clusters that bfloat16 cannot resolve, of more than a sample may keep."""
    centers = 1e6 * rng.normal(size=(5, 1, 16))
    return (centers + rng.normal(size=(5, 60, 16))).reshape(300, 16)


def tight_clusters(rng: np.random.Generator) -> np.ndarray:
    """Draw clusters that float64 products cannot resolve, of more than a sample may keep."""
    centers = rng.normal(size=(2, 1, 6))
    return (centers * (1 + 1e-10 * rng.normal(size=(2, 60, 6)))).reshape(120, 6)


def near_copies(rng: np.random.Generator) -> np.ndarray:
    points = rng.normal(size=(150, 32))
    return np.vstack([points, points * (1 + 1e-7 * rng.normal(size=points.shape))])


def lattice(_: np.random.Generator) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(6.0)] * 3), axis=-1).reshape(-1, 3)


def parted_by_rounding(unit: float, rng: np.random.Generator) -> np.ndarray:
    """Draw triples of which rounding to multiples of `unit` takes the nearest farthest away.

    The first of three is rounded from the second, its nearest, and towards the third; the second
    is rounded away, and the third, farther in a few coordinates alone, towards the first.
    """
    first = np.full(200, (np.round(rng.uniform(1.49, 1.51) / unit) + 0.49) * unit)
    steps = np.round(rng.uniform(0.45, 0.48) / unit)
    second, third = first + (steps + 0.02) * unit, first - (steps - 0.02) * unit
    third[:8] -= unit  # by which it is the farther
    return np.stack([first, second, third])


CLOUDS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "gaussian": lambda rng: rng.normal(size=(300, 24)),
    "outlier coordinates": outlier_coordinates,
    "far clusters": far_clusters,
    "tight clusters": tight_clusters,
    "copies": lambda rng: np.repeat(rng.normal(size=(80, 12)), 3, axis=0),
    "near-copies": near_copies,
    "lattice": lattice,
    "curve": lambda rng: np.sin(rng.uniform(0, 6, (400, 1)) + np.arange(9)),
    "all equal": lambda rng: np.full((70, 5), rng.normal()),
    "three points": lambda rng: rng.normal(size=(3, 4)),
    "a tile and one": lambda rng: rng.normal(size=(33, 2)),
    "width 1": lambda rng: rng.normal(size=(200, 1)),
    "outlier rows": lambda rng: rng.normal(size=(200, 6)) * np.exp(4 * rng.normal(size=(200, 1))),
    "one far sample": lambda rng: np.vstack([rng.normal(size=(100, 6)), np.full((1, 6), 1e12)]),
    "huge float32": lambda rng: (1e30 * rng.normal(size=(100, 6))).astype(np.float32),
    "tiny float32": lambda rng: (1e-38 * rng.normal(size=(100, 6))).astype(np.float32),
    "all magnitudes": lambda rng: (
        rng.normal(size=(100, 3)) * 10.0 ** rng.uniform(-40, 30, (100, 1))
    ),
}
