"""From token states to one vector a sequence: the mean of its real tokens, the last, the first.

Real tokens are read in place, as slices of the states.
"""

from itertools import groupby

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from gelora.settings import Pooling

Runs = list[tuple[slice, slice | list[int]]]
"""Rows of a batch whose real tokens stand in the same places, and those places."""

EVERYTHING: Runs = [(slice(None), slice(None))]


def token_runs(mask: Shaped[Tensor, "batch tokens"]) -> Runs:
    """Find the real tokens of a batch: one slice for neighbouring rows of the same length.

    Args:
        mask: Not 0 where a token is real, at least once in each row; padding may be anywhere.

    >>> token_runs(torch.tensor([[1, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 1]]))
    [(slice(0, 2, None), slice(0, 2, None)), (slice(2, 3, None), slice(1, 3, None)), \
(slice(3, 4, None), [0, 2])]
    """
    places = [row.nonzero()[:, 0].tolist() for row in mask.cpu()]
    runs: Runs = []
    start = 0
    for real, alike in groupby(places):
        stop = start + len(list(alike))
        first, end = real[0], real[-1] + 1
        runs.append((slice(start, stop), slice(first, end) if end - first == len(real) else real))
        start = stop
    return runs


def pool(
    states: Float[Tensor, "batch tokens width"], runs: Runs, pooling: Pooling
) -> Float[Tensor, "batch width"]:
    """Turn each sequence's token states into one vector in float32, on their device.

    No padding is read: it may hold NaN. Nothing larger than the result is made, but for a copy of
    one sequence at a time where its mask has holes, or half precision is averaged on the CPU.

    >>> states = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> runs = token_runs(torch.tensor([[1, 1, 0]]))
    >>> [pool(states, runs, pooling).item() for pooling in ("mean", "last", "first")]
    [2.0, 3.0, 1.0]
    """
    parts = (states[rows, tokens] for rows, tokens in runs)
    if pooling == "last":
        return torch.cat([part[:, -1] for part in parts]).float()
    if pooling == "first":
        return torch.cat([part[:, 0] for part in parts]).float()
    return torch.cat([_mean(part) for part in parts])


def _mean(part: Float[Tensor, "rows tokens width"]) -> Float[Tensor, "rows width"]:
    """Average in float32: a sum of finite float16 states can overflow."""
    if part.is_cuda or part.dtype == torch.float32:
        return part.mean(dim=1, dtype=torch.float32)
    # Here torch copies what it sums in another type: a sequence at a time, not the batch.
    return torch.stack([row.mean(dim=0, dtype=torch.float32) for row in part])
