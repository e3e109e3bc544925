"""The nearest neighbours of every sample: exact, in tiles, on CPU or GPU.

Hidden states have a huge common mean and a few coordinates hundreds of times the others, so the
short form |x|² + |y|² - 2 x·y of a squared distance loses the digits that TwoNN lives on. Here
it only proposes, in the fastest format of the hardware: `proposals.py` bounds what the format
loses, `scanning.py` keeps every pair that may be of neighbours, and these are measured as
differences of the values as they came, in float64. Samples that bfloat16 cannot tell apart are
proposed again in float32, then in float64, and what that cannot tell apart is measured against
every sample.

So the result is that of measuring all pairs, and no setting changes it: neither autocast, nor
the precision of products, nor the size of tiles, nor how many processes share them. It does not
approximate, and does not treat duplicates: see `duplicates.py`.
"""

# torch types some of its methods in part only.
# pyright: reportUnknownMemberType=false

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.distributed import ProcessGroup

from gelora.dimension.measuring import measure_all, measure_pairs
from gelora.dimension.points import Points, PointsLike, as_tensor, open_points
from gelora.dimension.proposals import (
    Encoder,
    FormatName,
    Tile,
    choose_format,
    make_format,
    own_settings,
)
from gelora.dimension.scanning import Tiles, scan
from gelora.dimension.sharing import NONE, choose, merge
from gelora.errors import ConfigError, TooFewSamplesError

__all__ = ["as_tensor", "nearest_neighbors", "two_nearest_neighbors"]

_TILE_SIZES = {"cpu": 1024, "cuda": 8192}
"""Samples in a tile: on a CPU its products stay in the cache, on a GPU they keep it busy."""

_ROUNDED_TO = 32  # samples in a tile, for the products' sake and for whole lanes

_CENTERED_BY = 256  # samples whose mean is near enough to that of all

_Found = tuple[
    Float[np.ndarray, "rows neighbors"],
    Int[np.ndarray, "rows neighbors"],
    Bool[np.ndarray, " rows"],
]


def two_nearest_neighbors(
    points: PointsLike,
    *,
    tile_size: int | None = None,
    device: torch.device | str | None = None,
) -> tuple[Float[np.ndarray, "samples 2"], Int[np.ndarray, "samples 2"]]:
    """Find the two nearest neighbours of every sample by Euclidean distance.

    Beside the points it needs a copy of them in the format that proposes, of 2 bytes a value where
    the hardware multiplies bfloat16 and else of 4, and some tens of MB; on a GPU, whose tiles are
    larger, a tile of products alone is 128 MB in bfloat16, and 512 MB in float64. The result is the
    same for every `tile_size`.

    Args:
        points: At least three samples, in any float type; not changed.
        tile_size: Samples whose distances to as many others are held at once; by default 1,024,
            and 8,192 on a GPU.
        device: Where to compute; by default where the points are.

    Returns:
        Distances, float64, in the units of `points`, and the neighbours' row numbers, int64: the
        nearest first, the sample itself left out, the lower row number first among equals.

    Raises:
        TooFewSamplesError: There are fewer than three samples.
        NonFiniteStatesError: The points hold NaN or infinity.
        HiddenStatesError: The points are not a matrix, or are complex.
        ConfigError: `tile_size` is below 1.

    Example:
        >>> distances, indices = two_nearest_neighbors(np.array([[0.0], [1.0], [3.0]]))
        >>> distances.tolist(), indices.tolist()
        ([[1.0, 3.0], [1.0, 2.0], [2.0, 3.0]], [[1, 2], [0, 2], [1, 0]])
    """
    return nearest_neighbors(points, tile_size=tile_size, device=device)


def nearest_neighbors(
    points: PointsLike,
    *,
    num_neighbors: int = 2,
    rows: Int[np.ndarray, " rows"] | None = None,
    tile_size: int | None = None,
    device: torch.device | str | None = None,
    process_group: ProcessGroup | None = None,
    proposal_format: FormatName | None = None,
) -> tuple[Float[np.ndarray, "rows neighbors"], Int[np.ndarray, "rows neighbors"]]:
    """Find the nearest neighbours of every sample by Euclidean distance.

    Args:
        points: Samples in any float type, in memory or mapped from a file; not changed.
        num_neighbors: Neighbours of each, at least 1.
        rows: The samples that count, by default all; neighbours are searched among them alone.
        tile_size: Samples whose distances to as many others are held at once; by default 1,024,
            and 8,192 on a GPU.
        device: Where to compute; by default where the points are.
        process_group: Processes that share the work, each calling with the same arguments; all
            get the same result.
        proposal_format: The format that proposes, by default the fastest; it changes no result.

    Returns:
        Distances, float64, in the units of `points`, and the neighbours as positions in `rows`,
        int64: the nearest first, the sample itself left out, the lower position first among
        equals.

    Raises:
        TooFewSamplesError: There are not more samples than neighbours.
        NonFiniteStatesError: The points hold NaN or infinity.
        HiddenStatesError: The points are not a matrix, or are complex.
        ConfigError: `tile_size` or `num_neighbors` is below 1.
    """
    if num_neighbors < 1:
        raise ConfigError(f"num_neighbors must be at least 1; got {num_neighbors}.")
    return search(
        open_points(points, rows=rows, device=device),
        num_neighbors,
        tile_size=tile_size,
        process_group=process_group,
        proposal_format=proposal_format,
    )


def search(
    points: Points,
    num_neighbors: int,
    *,
    rows: Int[np.ndarray, " rows"] | None = None,
    tile_size: int | None = None,
    process_group: ProcessGroup | None = None,
    proposal_format: FormatName | None = None,
) -> tuple[Float[np.ndarray, "rows neighbors"], Int[np.ndarray, "rows neighbors"]]:
    """Find the neighbours of all positions, or of some rows; see `nearest_neighbors`."""
    if tile_size is None:
        tile_size = _TILE_SIZES.get(points.device.type, 1024)
    if tile_size < 1:
        raise ConfigError(f"tile_size must be at least 1; got {tile_size}.")
    if len(points) <= num_neighbors:
        raise TooFewSamplesError(
            f"{num_neighbors} neighbours of each need at least {num_neighbors + 1} samples; got"
            f" {len(points)}."
        )
    task = _Task(points, num_neighbors, tile_size, process_group)
    positions = np.arange(len(points)) if rows is None else rows
    distances = np.full((len(positions), num_neighbors), np.inf)
    indices = np.full((len(positions), num_neighbors), NONE)
    left = np.arange(len(positions))
    ways: tuple[FormatName | None, ...] = ("bfloat16", "float32", "float64", None)
    first = ways.index(proposal_format or choose_format(points.device))
    with own_settings(points.device):
        for way in ways[first:]:
            if not len(left):
                break
            some = None if rows is None and len(left) == len(points) else positions[left]
            mine = task.measure(positions[left]) if way is None else task.propose(way, some)
            distances[left], indices[left], given_up = merge(*mine, process_group)
            left = left[given_up]
    return distances, indices


@dataclass(frozen=True)
class _Task:
    """One process's part of a search, in one or the other way."""

    points: Points
    num_neighbors: int
    tile_size: int
    group: ProcessGroup | None

    @property
    def share(self) -> tuple[int, int]:
        """This process's number, and how many there are."""
        return (0, 1) if self.group is None else (self.group.rank(), self.group.size())

    def propose(self, name: FormatName, samples: Int[np.ndarray, " samples"] | None) -> _Found:
        """Propose pairs, and measure them; nothing holds of the rows that are given up."""
        encoder = self._encoder(name)
        # The tiles of all samples are used again and again: they are kept, if in few digits.
        right = self._tiles(encoder, None, keep=samples is None and name != "float64")
        own = None if samples is None else torch.from_numpy(samples)
        left = right if own is None else self._tiles(encoder, own, keep=False)
        pairs, given_up = scan(
            encoder, left, right, own=own, num_neighbors=self.num_neighbors, share=self.share
        )
        rows = pairs.rows if samples is None else samples[pairs.rows]
        distances = measure_pairs(
            self.points, torch.from_numpy(rows), torch.from_numpy(pairs.columns)
        )
        nearest = choose(
            pairs.rows,
            pairs.columns,
            distances.cpu().numpy(),
            num_rows=left.count,
            num_neighbors=self.num_neighbors,
        )
        return *nearest, given_up

    def measure(self, samples: Int[np.ndarray, " samples"]) -> _Found:
        """Measure rows against every sample, each process some rows."""
        number, count = self.share
        mine = slice(number, None, count)
        distances = np.full((len(samples), self.num_neighbors), np.inf)
        indices = np.full((len(samples), self.num_neighbors), NONE)
        distances[mine], indices[mine] = measure_all(
            self.points, torch.from_numpy(samples[mine]), self.num_neighbors
        )
        return distances, indices, np.zeros(len(samples), dtype=bool)

    def _encoder(self, name: FormatName) -> Encoder:
        points, form = self.points, make_format(name, self.points.device)
        double = torch.float64 in {points.values.dtype, form.dtype}
        largest = 1000 if double else 120
        scale = 2.0 ** -max(-largest, min(points.exponent, largest))
        some = points.pick(torch.arange(0, len(points), math.ceil(len(points) / _CENTERED_BY)))
        some = some.to(torch.float64 if double else torch.float32) * scale
        return Encoder(form, some.mean(0), scale)

    def _tiles(
        self, encoder: Encoder, positions: Int[Tensor, " positions"] | None, *, keep: bool
    ) -> Tiles:
        """Cut some positions, or all, into tiles."""
        count = len(self.points) if positions is None else len(positions)
        num_tiles = math.ceil(count / self.tile_size)
        rows = math.ceil(count / num_tiles / _ROUNDED_TO) * _ROUNDED_TO

        @functools.lru_cache(maxsize=None if keep else 1)
        def encode(number: int) -> Tile:
            start, stop = number * rows, min((number + 1) * rows, count)
            if positions is None:
                return encoder.encode(self.points.slice(start, stop), rows)
            return encoder.encode(self.points.pick(positions[start:stop]), rows)

        return Tiles(count, rows, encode)
