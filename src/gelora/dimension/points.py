"""Samples as the neighbour search reads them: checked, of any float type, a few rows at a time.

They may lie in memory, on a GPU, or in a file mapped into memory; nothing here copies all of them.
It searches nothing: see `neighbors.py`.
"""

# torch types some of its methods in part only.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from torch import Tensor

from gelora.errors import HiddenStatesError, NonFiniteStatesError

PointsLike = ArrayLike | Tensor
"""A matrix of samples by width: an array, a tensor, or what numpy makes one of."""

_VALUES_AT_ONCE = 2**21  # 8 MB in float32: large enough for full speed, small beside any layer


def as_tensor(points: PointsLike, *, where: str = "") -> Float[Tensor, "samples width"]:
    """Return points as a detached matrix that shares their memory, checked to be finite.

    Args:
        points: A matrix of any float type, possibly mapped from a file.
        where: Ends the first sentence of an error, such as " at layer 'embeddings'".

    Raises:
        NonFiniteStatesError: The points hold NaN or infinity.
        HiddenStatesError: The points are not a matrix, or are complex.
    """
    return _checked(points, where)[0]


def open_points(
    points: PointsLike,
    *,
    rows: Int[np.ndarray, " rows"] | None,
    device: torch.device | str | None,
) -> "Points":
    """Return some samples, checked, to be read on a device; by default where they are."""
    values, size = _checked(points, "")
    chosen = None if rows is None else torch.as_tensor(rows, device=values.device)
    _, exponent = math.frexp(size)
    return Points(values, chosen, torch.device(device or values.device), exponent)


def _checked(points: PointsLike, where: str) -> tuple[Float[Tensor, "samples width"], float]:
    """Return finite points, and the largest absolute value."""
    if isinstance(points, np.ndarray) and any(step < 0 for step in points.strides):
        points = np.ascontiguousarray(points)  # torch reads forwards only
    if not isinstance(points, np.ndarray | Tensor):
        points = np.asarray(points)  # a DataFrame, or lists
    if isinstance(points, np.ndarray) and not (
        np.issubdtype(points.dtype, np.number) or points.dtype == bool
    ):
        raise HiddenStatesError(
            f"Expected numbers{where}; got values of type {points.dtype}: leave out columns of "
            "texts."
        )
    with warnings.catch_warnings():  # a file mapped for reading is not writable, nor need it be
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        values = torch.as_tensor(points).detach()
    if values.ndim != 2 or values.shape[1] == 0:
        raise HiddenStatesError(
            f"Expected a matrix (samples, width){where}; got shape {tuple(values.shape)}."
        )
    if values.is_complex():
        raise HiddenStatesError(
            f"Expected real values{where}; got {values.dtype}: give the real and the imaginary"
            " parts as columns."
        )
    values = values if values.is_floating_point() else values.double()
    size = largest(values)
    if not math.isfinite(size):
        num_nan = sum(int(part.isnan().sum()) for part in parts(values))
        num_infinite = sum(int(part.isinf().sum()) for part in parts(values))
        raise NonFiniteStatesError(
            f"{num_nan} NaN and {num_infinite} infinite values among {values.numel()}{where}. If"
            " the model runs in float16, its states overflowed: load it in bfloat16 or float32."
        )
    return values, size


def parts(values: Float[Tensor, "samples width"]) -> Iterator[Float[Tensor, "rows width"]]:
    """Yield views of some rows at a time."""
    yield from values.split(max(1, _VALUES_AT_ONCE // values.shape[1]))


def largest(values: Float[Tensor, "samples width"]) -> float:
    """Return the largest absolute value; NaN if there is one."""
    ends = [float(end) for part in parts(values) if len(part) for end in part.aminmax()]
    return float(np.abs(ends).max(initial=0.0))


@dataclass(frozen=True)
class Points:
    """The samples among which neighbours are searched, and where their distances are computed.

    Attributes:
        values: All samples, where they lie.
        rows: The row numbers of those that count, None for all; positions are among them.
        device: Where they are needed.
        exponent: Of the power of two above the largest of all values.
    """

    values: Float[Tensor, "samples width"]
    rows: Int[Tensor, " rows"] | None
    device: torch.device
    exponent: int

    def __len__(self) -> int:
        return len(self.values) if self.rows is None else len(self.rows)

    @property
    def width(self) -> int:
        """Values of a sample."""
        return self.values.shape[1]

    @property
    def safe_scale(self) -> float:
        """A power of two, which changes no digit, that keeps squares in float64's range.

        It is for the largest values: beside values near 1, distances below 1e-154 come out as 0.
        """
        return 1.0 if abs(self.exponent) < 400 else 2.0 ** -max(-1000, min(self.exponent, 1000))

    def slice(self, start: int, stop: int) -> Float[Tensor, "positions width"]:
        """Return the samples at consecutive positions."""
        if self.rows is None:
            return self.values[start:stop].to(self.device)
        return self.values.index_select(0, self.rows[start:stop]).to(self.device)

    def pick(self, positions: Int[Tensor, " positions"]) -> Float[Tensor, "positions width"]:
        """Return the samples at some positions."""
        positions = positions.to(self.values.device)
        rows = positions if self.rows is None else self.rows[positions]
        return self.values.index_select(0, rows).to(self.device)

    def tiles(self) -> Iterator[Float[Tensor, "positions width"]]:
        """Yield all samples, some at a time."""
        step = max(1, _VALUES_AT_ONCE // self.width)
        for start in range(0, len(self), step):
            yield self.slice(start, start + step)
