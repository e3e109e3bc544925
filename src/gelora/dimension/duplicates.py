"""Samples that repeat others, exactly or nearly, and layers that hardly vary at all.

TwoNN lives on the two smallest distances, so repeated samples must go before the neighbours are
searched: masking zero distances afterwards leaves every point whose nearest neighbour is doubled
with a ratio of 1. A sample set aside at one layer is set aside at all, or layers could no longer
be compared sample by sample. It estimates nothing: see `twonn.py` and `layers.py`.
"""

# torch types some of its methods in part only.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.distributed import ProcessGroup

from gelora.dimension.neighbors import search
from gelora.dimension.points import Points, open_points, parts
from gelora.errors import TooFewSamplesError

MIN_SAMPLES = 50
"""Fewest samples for an estimate; its error is then already 14 % of it."""

NEAR = 0.01
"""A sample nearer than this share of the median second distance is the same text rounded otherwise.
The second, for where half of the samples have a copy the median nearest distance is the copies'
own. On a manifold of dimension d a share of 1 - exp(-1.68 NEAR^d) of honest samples is as near:
1.7 % on a curve, whose estimate rises by some percents when they go, but 0.02 % on a surface."""

ROUNDING = 1e-6
"""So is one nearer than this share of the samples' spread, a few roundings of float32. It tells
copies in large clusters too, where both distances are the copies' own."""


_Neighbors = tuple[Float[np.ndarray, "kept neighbors"], Int[np.ndarray, "kept neighbors"]]
_Before = tuple[Float[np.ndarray, "before neighbors"], Int[np.ndarray, "before neighbors"]]


@dataclass(frozen=True)
class DistinctSamples:
    """The samples that repeat no other at any layer, with their neighbours among themselves.

    Attributes:
        kept: Their row numbers, ascending.
        distances: For every layer, to the nearest neighbours of each.
        neighbors: For every layer, the neighbours as positions in `kept`.
        num_duplicates: Samples set aside as exact copies.
        num_near_duplicates: Samples set aside as copies up to rounding.
        set_aside_by_layer: Samples that each layer by itself set aside.
    """

    kept: Int[np.ndarray, " kept"]
    distances: tuple[Float[np.ndarray, "kept neighbors"], ...]
    neighbors: tuple[Int[np.ndarray, "kept neighbors"], ...]
    num_duplicates: int
    num_near_duplicates: int
    set_aside_by_layer: tuple[int, ...]


def distinct_samples(
    layers: Sequence[Float[Tensor, "samples _"] | Float[np.ndarray, "samples _"]],
    *,
    layer_names: Sequence[str],
    num_neighbors: int = 2,
    copies: Sequence[Int[np.ndarray, " samples"]] | None = None,
    device: torch.device | str | None = None,
    process_group: ProcessGroup | None = None,
) -> DistinctSamples:
    """Set aside what repeats another sample at any layer, and search the neighbours of the rest.

    Of exact copies the first stays. Of two near-copies the first stays, and whoever lost a
    neighbour is searched again until none are left, for those of a cluster show one after
    another. The layers are read some rows at a time, and may be mapped from files.

    Args:
        layers: The same samples at every layer.
        layer_names: For the error, one per layer.
        num_neighbors: Neighbours of each, at least 2.
        copies: What `first_copies` returns for each layer, where it is known.
        device: Where neighbours are searched; by default where the points are.
        process_group: Processes that share the search; see `nearest_neighbors`.

    Raises:
        TooFewSamplesError: Fewer than 50 samples are left.
    """
    points = [open_points(layer, rows=None, device=device) for layer in layers]
    num_samples = len(points[0])
    repeats = [
        first != np.arange(num_samples)
        for first in copies or [first_copies(layer.values) for layer in points]
    ]
    kept = np.flatnonzero(~np.logical_or.reduce(repeats))
    num_distinct = len(kept)
    lost = np.array([np.count_nonzero(repeat) for repeat in repeats])
    spreads = [_spread(layer.values) for layer in points]
    searched: list[_Neighbors] = []
    stays = np.ones(num_distinct, dtype=bool)
    while len(kept) >= MIN_SAMPLES:
        among = [replace(layer, rows=torch.from_numpy(kept)) for layer in points]
        searched = (
            [
                _search_again(layer, before, stays, process_group)
                for layer, before in zip(among, searched, strict=True)
            ]
            if searched
            else [search(layer, num_neighbors, process_group=process_group) for layer in among]
        )
        near = [_near_copies(*both, spread) for both, spread in zip(searched, spreads, strict=True)]
        if not any(map(len, near)):
            return DistinctSamples(
                kept=kept,
                distances=tuple(distances for distances, _ in searched),
                neighbors=tuple(neighbors for _, neighbors in searched),
                num_duplicates=num_samples - num_distinct,
                num_near_duplicates=num_distinct - len(kept),
                set_aside_by_layer=tuple(lost.tolist()),
            )
        lost += np.array(list(map(len, near)))
        stays = ~np.isin(np.arange(len(kept)), np.concatenate(near))
        kept = kept[stays]
    worst = f", most of them at layer {layer_names[int(lost.argmax())]!r}" if lost.any() else ""
    raise TooFewSamplesError(
        f"An estimate needs {MIN_SAMPLES} samples, and {len(kept)} of {num_samples} are left:"
        f" {num_samples - num_distinct} are copies and {num_distinct - len(kept)} near-copies of"
        f" others{worst}. Measure on more texts, or on texts that differ more."
    )


def first_copies(points: Float[Tensor, "samples width"]) -> Int[np.ndarray, " samples"]:
    """Return for each sample the row number of the first sample equal to it, itself if none is."""
    first: dict[bytes, int] = {}
    rows = (row for part in parts(points) for row in _comparable(part))
    # Digests rather than the rows themselves, which would be another copy of the layer.
    copies = [first.setdefault(sha256(row).digest(), number) for number, row in enumerate(rows)]
    return np.array(copies, dtype=np.int64)


def _comparable(part: Float[Tensor, "rows width"]) -> Float[np.ndarray, "rows width"]:
    """Return rows of which equal ones are equal bytes: -0.0 is made 0.0."""
    widened = part.to(torch.promote_types(part.dtype, torch.float32))
    return np.ascontiguousarray(widened.cpu().numpy() + 0.0)


def is_constant(points: Float[Tensor, "samples width"]) -> bool:
    """Tell whether all samples are one vector up to rounding: float64's, or at best float32's."""
    low = torch.stack([part.amin(0) for part in parts(points)]).amin(0).double()
    high = torch.stack([part.amax(0) for part in parts(points)]).amax(0).double()
    size = torch.maximum(low.abs(), high.abs())
    # A coordinate that cancels to almost nothing is rounded like its neighbours, not like itself.
    double = points.dtype == torch.float64
    eps = torch.finfo(torch.float64 if double else torch.float32).eps
    rounding = 8 * eps * torch.maximum(size, size.median())
    return bool((high - low <= rounding).all())


def _spread(points: Float[Tensor, "samples width"]) -> float:
    """Return the median of the samples' largest deviations: no outlier moves it, none overflows.

    They deviate from the median of a thousand samples, as near to that of all as is needed.
    """
    if not len(points):
        return 0.0
    center = points[:: max(1, len(points) // 1000)].double().median(0).values
    return float(torch.cat([(part - center).abs().amax(1) for part in parts(points)]).median())


def _search_again(
    points: Points,
    before: _Before,
    stays: Bool[np.ndarray, " before"],
    process_group: ProcessGroup | None,
) -> _Neighbors:
    """Return the neighbours among the samples that stay, as a search of all would find them.

    Only who lost a neighbour is searched; the others' are still their nearest.
    """
    distances, neighbors = before[0][stays], before[1][stays]
    poorer = np.flatnonzero(~stays[neighbors].all(1))
    neighbors = (np.cumsum(stays) - 1)[neighbors]
    distances[poorer], neighbors[poorer] = search(
        points, distances.shape[1], rows=poorer, process_group=process_group
    )
    return distances, neighbors


def _near_copies(
    distances: Float[np.ndarray, "samples neighbors"],
    neighbors: Int[np.ndarray, "samples neighbors"],
    spread: float,
) -> Int[np.ndarray, " copies"]:
    """Return the later sample of each pair of near-copies; the first of a cluster always stays."""
    near = np.flatnonzero(
        distances[:, 0] <= max(NEAR * np.median(distances[:, 1]), ROUNDING * spread)
    )
    return np.unique(np.maximum(near, neighbors[near, 0]))
