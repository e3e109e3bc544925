"""Distances measured as differences of the values as they came, in float64.

Each pair is summed alike wherever it stands, so a distance is the same to the last bit in every
tile, in every process, and from either end. It decides nothing: see `neighbors.py`.
"""

# torch types some of its methods in part only.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gelora.dimension.points import Points

_VALUES_AT_ONCE = 2**17  # 1 MB in float64, which the processor's cache holds


def measure_pairs(
    points: Points, rows: Int[Tensor, " pairs"], columns: Int[Tensor, " pairs"]
) -> Float[Tensor, " pairs"]:
    """Return the distances of pairs of positions; a pair that stands in both orders is one."""
    keys = torch.minimum(rows, columns) * len(points) + torch.maximum(rows, columns)
    keys, places = keys.unique(return_inverse=True)
    at_once = max(1, _VALUES_AT_ONCE // points.width)
    measured = [
        _measure(points.pick(low)[:, None], points.pick(high)[:, None], points.safe_scale)
        for low, high in ((some // len(points), some % len(points)) for some in keys.split(at_once))
    ]
    return torch.cat(measured)[:, 0, 0][places.to(points.device)]


def measure_all(
    points: Points, rows: Int[Tensor, " rows"], num_neighbors: int
) -> tuple[Float[Tensor, "rows neighbors"], Int[Tensor, "rows neighbors"]]:
    """Find the neighbours of some positions by measuring them against every sample."""
    distances = torch.empty(len(rows), num_neighbors, dtype=torch.float64, device="cpu")
    indices = torch.empty(len(rows), num_neighbors, dtype=torch.int64, device="cpu")
    at_once = max(1, 16 * _VALUES_AT_ONCE // len(points))
    for place in range(0, len(rows), at_once):
        some = rows[place : place + at_once]
        block = points.pick(some)
        measured = torch.cat(
            [_measure(block, part, points.safe_scale) for part in points.tiles()], dim=1
        )
        measured.scatter_(1, some[:, None].to(measured.device), torch.inf)
        nearest, order = measured.sort(dim=1, stable=True)  # the lower position first
        distances[place : place + at_once] = nearest[:, :num_neighbors]
        indices[place : place + at_once] = order[:, :num_neighbors]
    return distances, indices


def _measure(
    left: Float[Tensor, "*batch rows width"],
    right: Float[Tensor, "*batch columns width"],
    scale: float,
) -> Float[Tensor, "*batch rows columns"]:
    left, right = left.double(), right.double()
    if scale != 1:
        left, right = left * scale, right * scale
    return torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist") / scale
