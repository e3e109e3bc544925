"""Intrinsic dimension of point clouds and of the levels of a model: numpy, scipy and torch alone.

The names below are loaded on first use, so that reading a profile needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gelora.dimension.estimators import ESTIMATORS
    from gelora.dimension.fitting import DimensionEstimate
    from gelora.dimension.gride import Gride
    from gelora.dimension.knn_likelihood import KNNLikelihood
    from gelora.dimension.levels import LevelEstimates, estimate_levels
    from gelora.dimension.neighbors import two_nearest_neighbors
    from gelora.dimension.profile import BlockModule, DimensionProfile, DimensionSeries
    from gelora.dimension.stability import LevelTrust, assess_levels
    from gelora.dimension.twonn import TwoNN

__all__ = [
    "ESTIMATORS",
    "BlockModule",
    "DimensionEstimate",
    "DimensionProfile",
    "DimensionSeries",
    "Gride",
    "KNNLikelihood",
    "LevelEstimates",
    "LevelTrust",
    "TwoNN",
    "assess_levels",
    "estimate_levels",
    "two_nearest_neighbors",
]

_HOMES = {
    "BlockModule": "profile",
    "DimensionEstimate": "fitting",
    "DimensionProfile": "profile",
    "DimensionSeries": "profile",
    "ESTIMATORS": "estimators",
    "Gride": "gride",
    "KNNLikelihood": "knn_likelihood",
    "LevelEstimates": "levels",
    "LevelTrust": "stability",
    "TwoNN": "twonn",
    "assess_levels": "stability",
    "estimate_levels": "levels",
    "two_nearest_neighbors": "neighbors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
