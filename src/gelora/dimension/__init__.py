"""Intrinsic dimension of point clouds and of the levels of a model: numpy and torch alone.

The names below are loaded on first use, so that reading a profile needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gelora.dimension.levels import LevelEstimates, estimate_levels
    from gelora.dimension.neighbors import two_nearest_neighbors
    from gelora.dimension.profile import BlockModule, DimensionProfile, DimensionSeries
    from gelora.dimension.twonn import DimensionEstimate, TwoNN

__all__ = [
    "BlockModule",
    "DimensionEstimate",
    "DimensionProfile",
    "DimensionSeries",
    "LevelEstimates",
    "TwoNN",
    "estimate_levels",
    "two_nearest_neighbors",
]

_HOMES = {
    "BlockModule": "profile",
    "DimensionEstimate": "twonn",
    "DimensionProfile": "profile",
    "DimensionSeries": "profile",
    "LevelEstimates": "levels",
    "TwoNN": "twonn",
    "estimate_levels": "levels",
    "two_nearest_neighbors": "neighbors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
