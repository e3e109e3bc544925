"""Intrinsic dimension of point clouds and of the layers of a model: numpy, scipy and torch alone.

The names below are loaded on first use, so that reading a profile needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gelora.dimension.estimators import ESTIMATORS
    from gelora.dimension.fitting import DimensionEstimate
    from gelora.dimension.gride import Gride
    from gelora.dimension.layers import LayerEstimates, estimate_layers
    from gelora.dimension.levina_bickel import LevinaBickel
    from gelora.dimension.neighbors import two_nearest_neighbors
    from gelora.dimension.profile import BlockModule, DimensionProfile, DimensionSeries
    from gelora.dimension.stability import LayerDiagnostics, assess_layers
    from gelora.dimension.twonn import TwoNN

__all__ = [
    "ESTIMATORS",
    "BlockModule",
    "DimensionEstimate",
    "DimensionProfile",
    "DimensionSeries",
    "Gride",
    "LayerDiagnostics",
    "LayerEstimates",
    "LevinaBickel",
    "TwoNN",
    "assess_layers",
    "estimate_layers",
    "two_nearest_neighbors",
]

_HOMES = {
    "BlockModule": "profile",
    "DimensionEstimate": "fitting",
    "DimensionProfile": "profile",
    "DimensionSeries": "profile",
    "ESTIMATORS": "estimators",
    "Gride": "gride",
    "LevinaBickel": "levina_bickel",
    "LayerEstimates": "layers",
    "LayerDiagnostics": "stability",
    "TwoNN": "twonn",
    "assess_layers": "stability",
    "estimate_layers": "layers",
    "two_nearest_neighbors": "neighbors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
