"""The largest singular values of a matrix, and the ranks that they make. Numbers alone.

The rank of a matrix of measured numbers is a matter of tolerance: a singular value counts if it is
above `tolerance` times the largest one.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import entr

DEFAULT_TOLERANCE = 1e-3
"""A direction counts if it moves the output a thousandth as far as the strongest does, or more."""

TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4)
"""Those at which a rank is shown, to see how far it is the tolerance's doing."""


class NumericalRank(NamedTuple):
    """How many singular values are above the tolerance.

    Attributes:
        value: As many were found.
        is_exact: Whether there are no others; if not, the rank is `value` or more.
    """

    value: int
    is_exact: bool

    def __str__(self) -> str:
        return str(self.value) if self.is_exact else f"≥ {self.value}"


@dataclass(frozen=True)
class Spectrum:
    """The largest singular values of a matrix.

    Attributes:
        singular_values: Descending, 0 or more; at most `size` of them.
        size: How many the matrix has: its smaller side.
        residual: None of those left out is larger, as far as random probes tell; 0.0 if none is
            left out.
    """

    singular_values: tuple[float, ...]
    size: int
    residual: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether no singular value is left out, but for zeros."""
        return self.residual == 0.0

    def numerical_rank(self, tolerance: float = DEFAULT_TOLERANCE) -> NumericalRank:
        """Return how many singular values are above `tolerance` times the largest.

        Counted are those found, none of which is too large: with a `residual` one that was found
        just below may in truth be just above.

        >>> Spectrum((4.0, 2.0, 1e-9), size=3).numerical_rank()
        NumericalRank(value=2, is_exact=True)
        >>> str(Spectrum((4.0, 2.0), size=384, residual=1.5).numerical_rank())
        '≥ 2'
        """
        threshold = tolerance * self.largest
        above = sum(value > threshold for value in self.singular_values)
        return NumericalRank(above, is_exact=self.residual <= threshold)

    @property
    def largest(self) -> float:
        """The largest singular value, 0.0 if there is none."""
        return max(self.singular_values, default=0.0)

    @property
    def stable_rank(self) -> float:
        """The sum of the squares over the largest square, of those found; 0.0 of a zero matrix.

        It needs no tolerance, is at most the rank, and small where one direction does it all
        (Rudelson and Vershynin 2007).

        >>> Spectrum((2.0, 2.0, 0.0), size=3).stable_rank
        2.0
        """
        if self.largest == 0.0:
            return 0.0
        return float(np.square(np.array(self.singular_values) / self.largest).sum())

    @property
    def effective_rank(self) -> float:
        """The exponential of the entropy of the singular values' shares, of those found.

        As many equal singular values would have the same entropy (Roy and Vetterli 2007); 0.0 of a
        zero matrix.

        >>> round(Spectrum((3.0, 3.0, 3.0, 0.0), size=4).effective_rank, 12)
        3.0
        """
        if self.largest == 0.0:
            return 0.0
        shares = np.array(self.singular_values) / self.largest
        return float(np.exp(entr(shares / shares.sum()).sum()))

    def share_of_largest(self, rank: int) -> float:
        """Return the `rank`-th singular value over the largest: the tolerance that `rank` bears.

        Args:
            rank: From 1. Where fewer were found it is `residual` that answers, a bound from above.

        >>> Spectrum((4.0, 2.0, 1.0), size=3).share_of_largest(3)
        0.25
        """
        if self.largest == 0.0:
            return 0.0
        found = self.singular_values[rank - 1] if rank <= len(self.singular_values) else None
        return (self.residual if found is None else found) / self.largest
