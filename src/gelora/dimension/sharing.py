"""Neighbours from pairs, and from the parts of the work that several processes did.

A process that saw some of a sample's pairs knows the nearest among these; the nearest of all are
among the nearest of the parts. It measures nothing: see `neighbors.py`.
"""

# torch types some of its methods in part only.
# pyright: reportUnknownMemberType=false

import numpy as np
import torch.distributed as dist
from jaxtyping import Bool, Float, Int
from torch.distributed import ProcessGroup

NONE = np.iinfo(np.int64).max
"""In place of a neighbour that is missing, at an infinite distance."""


def choose(
    rows: Int[np.ndarray, " pairs"],
    columns: Int[np.ndarray, " pairs"],
    distances: Float[np.ndarray, " pairs"],
    *,
    num_rows: int,
    num_neighbors: int,
) -> tuple[Float[np.ndarray, "rows neighbors"], Int[np.ndarray, "rows neighbors"]]:
    """Return the nearest columns of each row, the lower one first among equals."""
    order = np.lexsort((columns, distances, rows))
    rows, columns, distances = rows[order], columns[order], distances[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, np.arange(num_rows))[rows]
    near = place < num_neighbors
    nearest = np.full((num_rows, num_neighbors), np.inf)
    indices = np.full((num_rows, num_neighbors), NONE)
    nearest[rows[near], place[near]] = distances[near]
    indices[rows[near], place[near]] = columns[near]
    return nearest, indices


def merge(
    distances: Float[np.ndarray, "rows neighbors"],
    indices: Int[np.ndarray, "rows neighbors"],
    given_up: Bool[np.ndarray, " rows"],
    group: ProcessGroup | None,
) -> tuple[
    Float[np.ndarray, "rows neighbors"],
    Int[np.ndarray, "rows neighbors"],
    Bool[np.ndarray, " rows"],
]:
    """Return the nearest that any process found, and the rows that any gave up."""
    if group is None:
        return distances, indices, given_up
    gathered: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = [(distances, indices, given_up)]
    gathered *= group.size()
    dist.all_gather_object(gathered, gathered[0], group=group)
    all_distances = np.concatenate([theirs for theirs, _, _ in gathered], axis=1)
    all_indices = np.concatenate([theirs for _, theirs, _ in gathered], axis=1)
    order = np.lexsort((all_indices, all_distances), axis=1)[:, : distances.shape[1]]
    return (
        np.take_along_axis(all_distances, order, axis=1),
        np.take_along_axis(all_indices, order, axis=1),
        np.any([theirs for _, _, theirs in gathered], axis=0),
    )
