"""All pairs of samples that may be neighbours, by one pass over tiles of proposed distances.

A tile holds the products of some samples with some others. On the diagonal and above, each
product serves the sample of its row and that of its column, and no tile is kept. What is kept of
a tile are the pairs whose product lies within the limit of the sample; its limit comes from the
nearest pairs that it had so far, so it falls all the time, and no true neighbour is ever beyond
it. A sample that keeps some tens of pairs to the end is given up: the format is too coarse for
it. Nothing is measured exactly here: see `neighbors.py`.
"""

# torch types some of its methods in part only.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gelora.dimension.proposals import FAR, Encoder, Tile

LANE = 16
"""Products that are compared by their smallest; the few lanes within a limit are opened."""

MOST = 32
"""Pairs beyond its neighbours that a sample may keep; usually it keeps one or two."""

OPENED = 2**16
"""Lanes opened at once, as many as a CPU's tile has; a GPU's may have 64 times as many."""


@dataclass(frozen=True)
class Tiles:
    """Samples cut into tiles of equal size.

    Attributes:
        count: Number of samples.
        rows: Samples in a tile; the last is filled up with far ones.
        encode: Returns the tile of a number.
    """

    count: int
    rows: int
    encode: Callable[[int], Tile]

    def __len__(self) -> int:
        return math.ceil(self.count / self.rows)


@dataclass(frozen=True)
class Pairs:
    """Pairs that may be neighbours.

    Attributes:
        rows: The sample that has the neighbour.
        columns: The neighbour.
        products: Their proposed distances.
    """

    rows: Int[np.ndarray, " pairs"]
    columns: Int[np.ndarray, " pairs"]
    products: Float[np.ndarray, " pairs"]

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, chosen: Bool[np.ndarray, " pairs"]) -> "Pairs":
        """Return some of the pairs."""
        return Pairs(self.rows[chosen], self.columns[chosen], self.products[chosen])

    @staticmethod
    def join(parts: Sequence["Pairs"]) -> "Pairs":
        """Return all pairs of some parts."""
        return Pairs(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.columns for part in parts]),
            np.concatenate([part.products for part in parts]),
        )


def scan(
    encoder: Encoder,
    left: Tiles,
    right: Tiles,
    *,
    own: Int[Tensor, " left"] | None,
    num_neighbors: int,
    share: tuple[int, int],
) -> tuple[Pairs, Bool[np.ndarray, " left"]]:
    """Find the pairs that may be neighbours.

    Args:
        encoder: Made the tiles.
        left: The samples whose neighbours are sought.
        right: The samples among which they are.
        own: For each sample on the left, its number on the right, which is no neighbour; None
            where both are the same samples, and each tile serves its rows and its columns.
        num_neighbors: Neighbours of each.
        share: This process's number, and how many share the tiles.

    Returns:
        The pairs, and which samples on the left were given up.
    """
    nearby = _Nearby(encoder, left, num_neighbors)
    products = nearby.limits.new_empty(left.rows, right.rows).view(encoder.format.dtype)
    bits = products.view(encoder.format.bits)
    by_row, by_column = bits.view(left.rows, LANE, -1), bits.view(LANE, -1, right.rows)
    numbers = [(i, j) for i in range(len(left)) for j in range(i if own is None else 0, len(right))]
    tile = factor = at = None
    for i, j in numbers[share[0] :: share[1]]:
        if nearby.done(i) and (own is not None or nearby.done(j)):
            continue
        if tile is None or factor is None or at != i:
            tile, at = left.encode(i), i
            factor = encoder.left_factor(tile.codes)
        others = right.encode(j)
        encoder.multiply(factor, others.codes, products)
        if own is not None:
            place = (own[i * left.rows : (i + 1) * left.rows] - j * right.rows).to(products.device)
            (inside,) = ((place >= 0) & (place < right.rows)).nonzero(as_tuple=True)
            products[inside, place[inside]] = FAR
        elif i == j:
            products.fill_diagonal_(FAR)
        nearby.add(by_row, by_row.amin(1), (i, tile), (j, others))
        if own is None and i != j:
            nearby.add(by_column.permute(2, 0, 1), by_column.amin(0).T, (j, others), (i, tile))
    return nearby.finish()


class _Nearby:
    """The pairs found so far, and the limits that they set."""

    def __init__(self, encoder: Encoder, tiles: Tiles, num_neighbors: int) -> None:
        self.encoder, self.tiles, self.num_neighbors = encoder, tiles, num_neighbors
        count, device = tiles.count, encoder.center.device
        # The smallest bounds so far of each sample's distances, and the limit that the last sets.
        self.bounds = np.full((count, num_neighbors), np.inf, dtype=np.float32)
        self.never = torch.iinfo(encoder.format.bits).min
        self.limits = encoder.limits(torch.full((len(tiles) * tiles.rows,), FAR, device=device))
        self.limits[count:] = self.never
        self.begun = [False] * len(tiles)
        self.given_up = np.zeros(count, dtype=bool)
        self.kept: list[Pairs] = []
        self.pending: list[tuple[np.ndarray, np.ndarray]] = []
        self.num_pending, self.num_kept, self.room = 0, 0, 0

    def _limits_of(self, number: int) -> Int[Tensor, " rows"]:
        return self.limits[number * self.tiles.rows : (number + 1) * self.tiles.rows]

    def done(self, number: int) -> bool:
        """Tell whether all samples of a tile were given up."""
        rows = self.tiles.rows
        return bool(self.given_up[number * rows : (number + 1) * rows].all())

    def add(
        self,
        bits: Int[Tensor, "rows lane lanes"],
        lanes: Int[Tensor, "rows lanes"],
        of: tuple[int, Tile],
        among: tuple[int, Tile],
    ) -> None:
        """Keep the products within the limits of the samples of one tile, among another's.

        Args:
            bits: The products as integers, by lanes.
            lanes: The smallest of each lane.
            of: Number and tile of the samples whose neighbours they may be.
            among: Number and tile of the others.
        """
        (number, tile), (_, others) = of, among
        limits = self._limits_of(number)
        if not self.begun[number]:
            self._begin(limits, lanes, tile, others)
            self.begun[number] = True
        row, lane = (lanes <= limits[:, None]).nonzero(as_tuple=True)
        for some in zip(row.split(OPENED), lane.split(OPENED), strict=True):
            self._open(bits, *some, of, among)

    def _open(
        self,
        bits: Int[Tensor, "rows lane lanes"],
        row: Int[Tensor, " opened"],
        lane: Int[Tensor, " opened"],
        of: tuple[int, Tile],
        among: tuple[int, Tile],
    ) -> None:
        """Keep what lies within the limits in some lanes."""
        (number, tile), (other, others) = of, among
        limits = self._limits_of(number)
        opened = bits[row, :, lane]
        which, member = (opened <= limits[row, None]).nonzero(as_tuple=True)
        if not len(which):
            return
        row, column = row[which], member * bits.shape[2] + lane[which]
        product = opened[which, member].view(self.encoder.format.dtype).double()
        bound = self.encoder.bounds(product, tile.slack[row] + others.slack[column])
        rows = (row + number * self.tiles.rows).cpu().numpy()
        columns = (column + other * len(others.slack)).cpu().numpy()
        self.kept.append(Pairs(rows, columns, product.cpu().numpy()))
        self.pending.append((rows, bound.cpu().numpy()))
        self.num_pending += len(rows)
        self.num_kept += len(rows)
        if self.num_pending > 2 * self.tiles.rows:
            self._tighten()

    def _begin(
        self,
        limits: Int[Tensor, " rows"],
        lanes: Int[Tensor, "rows lanes"],
        tile: Tile,
        others: Tile,
    ) -> None:
        """Set first limits by the smallest product of each lane, as if its slack were largest."""
        if lanes.shape[1] < self.num_neighbors:
            return
        slack = tile.slack[:, None] + others.slack.view(LANE, -1).amax(0)
        bounds = self.encoder.bounds(lanes.view(self.encoder.format.dtype), slack)
        last = self.num_neighbors - 1
        bounds = np.partition(bounds.cpu().numpy(), last, axis=1)[:, last]  # sooner than by torch
        first = self.encoder.limits(torch.from_numpy(bounds).to(limits.device))
        torch.minimum(limits, first, out=limits)

    def _tighten(self) -> None:
        """Lower the limits by the pairs found since the last time."""
        rows = np.concatenate([rows for rows, _ in self.pending])
        bounds = np.concatenate([bounds for _, bounds in self.pending])
        self.pending, self.num_pending = [], 0
        touched = np.unique(rows)
        keys = np.concatenate(
            [
                _keys(touched[:, None], self.bounds[touched]).ravel(),
                _keys(rows, np.nextafter(bounds.astype(np.float32), np.float32(np.inf))),
            ]
        )
        keys.sort()
        first = np.searchsorted(keys, touched << 32)
        nearest = keys[first[:, None] + np.arange(self.num_neighbors)]
        self.bounds[touched] = nearest.astype(np.uint32).view(np.float32)
        at = torch.from_numpy(touched).to(self.limits.device)
        limits = self.encoder.limits(torch.from_numpy(self.bounds[touched, -1]).to(at.device))
        self.limits[at] = torch.minimum(self.limits[at], limits)
        if self.num_kept > self.room:
            self._prune()

    def _prune(self) -> None:
        """Drop the pairs beyond the limits, and give up the samples that keep too many."""
        pairs = Pairs.join(self.kept)
        limits = self.limits.view(self.encoder.format.dtype).double().cpu().numpy()
        pairs = pairs.where(pairs.products <= limits[pairs.rows])
        counts = np.bincount(pairs.rows, minlength=self.tiles.count)
        self.given_up |= counts > self.num_neighbors + MOST
        self.limits[: self.tiles.count][torch.from_numpy(self.given_up)] = self.never
        pairs = pairs.where(~self.given_up[pairs.rows])
        self.kept, self.num_kept = [pairs], len(pairs)
        self.room = 2 * len(pairs) + 4 * self.tiles.count * self.num_neighbors

    def finish(self) -> tuple[Pairs, Bool[np.ndarray, " samples"]]:
        """Return the pairs that are left, and which samples were given up."""
        if self.pending:
            self._tighten()
        if self.kept:
            self._prune()
        nothing = np.empty(0, dtype=np.int64)
        return (self.kept or [Pairs(nothing, nothing, np.empty(0))])[0], self.given_up


def _keys(
    rows: Int[np.ndarray, "*#shape"], bounds: Float[np.ndarray, "*#shape"]
) -> Int[np.ndarray, "*#shape"]:
    """Return integers that order by row, then by bound; the last 32 bits are the bound."""
    return (rows << 32) | bounds.view(np.int32)
