"""Hypothesis strategies: point clouds, and moves that change no distance beyond one factor."""

import numpy as np
from hypothesis import strategies as st

from manifolds import MANIFOLDS

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def point_clouds(draw: st.DrawFn) -> np.ndarray:
    """Draw a small cloud from any of the manifolds."""
    manifold = MANIFOLDS[draw(st.sampled_from(sorted(MANIFOLDS)))]
    return manifold.sample(draw(st.integers(80, 160)), seed=draw(SEEDS))


@st.composite
def similarities(draw: st.DrawFn, width: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Draw a rotation or reflection, a scale and a shift."""
    rng = np.random.default_rng(draw(SEEDS))
    rotation, _ = np.linalg.qr(rng.normal(size=(width, width)))
    return rotation, 10 ** draw(st.floats(-6, 6)), 100 * rng.normal(size=width)
