"""Samples that repeat others, exactly or nearly, and levels that hardly vary at all.

TwoNN lives on the two smallest distances, so repeated samples must go before the neighbours are
searched: masking zero distances afterwards leaves every point whose nearest neighbour is doubled
with a ratio of 1. A sample set aside at one level is set aside at all, or levels could no longer
be compared sample by sample. It estimates nothing: see `twonn.py` and `levels.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributed import ProcessGroup

from gelora.dimension.neighbors import nearest_neighbors
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


@dataclass(frozen=True)
class DistinctSamples:
    """The samples that repeat no other at any level, with their neighbours among themselves.

    Attributes:
        kept: Their row numbers, ascending.
        distances: For every level, to the nearest neighbours of each.
        neighbors: For every level, the neighbours as positions in `kept`.
        num_duplicates: Samples set aside as exact copies.
        num_near_duplicates: Samples set aside as copies up to rounding.
        set_aside_by_level: Samples that each level by itself set aside.
    """

    kept: Int[np.ndarray, " kept"]
    distances: tuple[Float[np.ndarray, "kept neighbors"], ...]
    neighbors: tuple[Int[np.ndarray, "kept neighbors"], ...]
    num_duplicates: int
    num_near_duplicates: int
    set_aside_by_level: tuple[int, ...]


def distinct_samples(
    levels: Sequence[Float[Tensor, "samples _"]],
    *,
    level_names: Sequence[str],
    num_neighbors: int = 2,
    device: torch.device | str | None = None,
    process_group: ProcessGroup | None = None,
) -> DistinctSamples:
    """Set aside what repeats another sample at any level, and search the neighbours of the rest.

    Of exact copies the first stays. Of two near-copies the first stays, and the neighbours are
    searched again until none are left, for those of a cluster show one after another.

    Args:
        levels: The same samples at every level.
        level_names: For the error, one per level.
        num_neighbors: Neighbours of each, at least 2.
        device: Where neighbours are searched; by default where the points are.
        process_group: Processes that share the search; see `nearest_neighbors`.

    Raises:
        TooFewSamplesError: Fewer than 50 samples are left.
    """
    num_samples = len(levels[0])
    copies = [first_copies(level) != np.arange(num_samples) for level in levels]
    kept = np.flatnonzero(~np.logical_or.reduce(copies))
    num_distinct = len(kept)
    lost = np.array([np.count_nonzero(copy) for copy in copies])
    spreads = [_spread(level) for level in levels]
    while len(kept) >= MIN_SAMPLES:
        found = [
            nearest_neighbors(
                level,
                num_neighbors=num_neighbors,
                rows=kept,
                device=device,
                process_group=process_group,
            )
            for level in levels
        ]
        near = [_near_copies(*both, spread) for both, spread in zip(found, spreads, strict=True)]
        if not any(map(len, near)):
            distances, neighbors = zip(*found, strict=True)
            return DistinctSamples(
                kept,
                distances,
                neighbors,
                num_samples - num_distinct,
                num_distinct - len(kept),
                tuple(lost.tolist()),
            )
        lost += np.array(list(map(len, near)))
        kept = np.delete(kept, np.concatenate(near))
    worst = f", most of them at level {level_names[int(lost.argmax())]!r}" if lost.any() else ""
    raise TooFewSamplesError(
        f"An estimate needs {MIN_SAMPLES} samples, and {len(kept)} of {num_samples} are left:"
        f" {num_samples - num_distinct} are copies and {num_distinct - len(kept)} near-copies of"
        f" others{worst}. Measure on more texts, or on texts that differ more."
    )


def first_copies(points: Float[Tensor, "samples width"]) -> Int[np.ndarray, " samples"]:
    """Return for each sample the row number of the first sample equal to it, itself if none is."""
    rows = points.cpu().numpy() + 0.0  # makes -0.0 the same bytes as 0.0
    first: dict[bytes, int] = {}
    copies = [first.setdefault(row.tobytes(), i) for i, row in enumerate(rows)]
    return np.array(copies, dtype=np.int64)


def is_constant(points: Float[Tensor, "samples width"]) -> bool:
    """Tell whether all samples are one vector up to float32's rounding."""
    low, high = points.amin(0).double(), points.amax(0).double()
    size = torch.maximum(low.abs(), high.abs())
    # A coordinate that cancels to almost nothing is rounded like its neighbours, not like itself.
    rounding = 8 * torch.finfo(torch.float32).eps * torch.maximum(size, size.median())
    return bool((high - low <= rounding).all())


def _spread(points: Float[Tensor, "samples width"]) -> float:
    """Return the median of the samples' largest deviations: no outlier moves it, none overflows."""
    if not len(points):
        return 0.0
    return float((points - points.median(0).values).abs().amax(1).median())


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
