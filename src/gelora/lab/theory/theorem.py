"""The theorem's inequalities, block by block: the profile against the Jacobians' ranks.

Block i maps a pooled input in a set of dimension d(i-1) to a pooled output in one of dimension d(i)
(GeLoRA, arXiv 2412.09250):

    dimension    d(i) <= max over samples of the rank of the Jacobian by the input
    increment    max(d(i) - d(i-1), 0) <= max over samples of that by the adapted weights

The second bound is the number of directions in which the adapted weights move the output. It is at
most the number of adapted weights, which is the corollary's bound.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from gelora.dimension.profile import DimensionProfile
from gelora.errors import ModelMismatchError
from gelora.lab.theory.record import BlockJacobian, JacobianOf
from gelora.lab.theory.spectra import DEFAULT_TOLERANCE, NumericalRank, Spectrum

Statement = Literal["dimension", "increment"]
"""Which of the two inequalities."""

InequalityVerdict = Literal["holds", "tight", "violated", "undecided"]
"""What became of it; see `Inequality`."""

STANDARD_ERRORS = 2
"""Margin of an inequality, in standard errors of its left side."""

LEAST_MARGIN = 0.5
"""Smallest margin, in dimensions: estimates are biased by as much, and ranks are whole."""


@dataclass(frozen=True)
class Inequality:
    """One inequality of the theorem for one block, with what became of it.

    Attributes:
        block: The block's path from the backbone's root.
        statement: Which of the two.
        left: The dimension, or how far it grows; 0.0 where it does not grow.
        standard_error: Of the left side, in dimensions.
        rank: The largest over the samples.
        median_rank: Over the samples, each taken as found.
        verdict: With a margin of two standard errors or half a dimension, whichever is more:
            "holds" if the rank is above the left side by more than that, "tight" if the two are
            that close, "violated" if it is below by more. Where the rank is only known to be at
            least some number, "holds" if the left side is no more than that, else "undecided".
        breaking_tolerance: Share of the largest singular value. At any smaller tolerance the rank
            reaches the left side rounded up, at this one or a larger it does not; 0.0 where no
            tolerance lets it, 1.0 where every one does.
        breaking_is_exact: Whether enough singular values were found; if not, the breaking
            tolerance is this or a smaller one.
    """

    block: str
    statement: Statement
    left: float
    standard_error: float
    rank: NumericalRank
    median_rank: float
    verdict: InequalityVerdict
    breaking_tolerance: float
    breaking_is_exact: bool


class _LeftSide(NamedTuple):
    value: float
    standard_error: float


def check_theorem(
    profile: DimensionProfile,
    jacobians: Sequence[BlockJacobian],
    *,
    tolerance: float = DEFAULT_TOLERANCE,
) -> tuple[Inequality, ...]:
    """Check both inequalities of the theorem for every block.

    A profile of granularity "sublayer" is read at the layers that end its blocks. The growth out of
    a constant layer is 0, as it is in the rules (`ranks/rules.py`).

    Args:
        profile: The dimensions and their errors.
        jacobians: Two for each of its blocks, by the input and by the parameters; in any order.
        tolerance: Share of a Jacobian's largest singular value above which one counts.

    Returns:
        Two for every block, "dimension" first, in the profile's order of blocks.

    Raises:
        ModelMismatchError: The Jacobians are not two for each of the profile's blocks.
    """
    _check_blocks(profile, jacobians)
    spectra = {(jacobian.block, jacobian.by): jacobian.spectra for jacobian in jacobians}
    inequalities: list[Inequality] = []
    for index, block in enumerate(profile.blocks):
        sides: tuple[tuple[Statement, JacobianOf, _LeftSide], ...] = (
            ("dimension", "input", _dimension_after(profile, index)),
            ("increment", "parameters", _growth_in(profile, index)),
        )
        for statement, by, left in sides:
            inequalities.append(
                _inequality(block, statement, left, spectra[block, by], tolerance=tolerance)
            )
    return tuple(inequalities)


def _inequality(
    block: str,
    statement: Statement,
    left: _LeftSide,
    spectra: Sequence[Spectrum],
    *,
    tolerance: float,
) -> Inequality:
    needed = math.ceil(left.value)
    breaking, breaking_is_exact = _breaking_tolerance(needed, spectra)
    ranks = [spectrum.numerical_rank(tolerance) for spectrum in spectra]
    values = [rank.value for rank in ranks]
    rank = NumericalRank(max(values), is_exact=all(rank.is_exact for rank in ranks))
    return Inequality(
        block=block,
        statement=statement,
        left=left.value,
        standard_error=left.standard_error,
        rank=rank,
        median_rank=float(statistics.median(values)),
        verdict=_verdict(left, rank),
        breaking_tolerance=breaking,
        breaking_is_exact=breaking_is_exact,
    )


def _verdict(left: _LeftSide, rank: NumericalRank) -> InequalityVerdict:
    if not rank.is_exact:
        return "holds" if left.value <= rank.value else "undecided"
    margin = max(STANDARD_ERRORS * left.standard_error, LEAST_MARGIN)
    if abs(left.value - rank.value) <= margin:
        return "tight"
    return "violated" if left.value > rank.value else "holds"


def _breaking_tolerance(needed: int, spectra: Sequence[Spectrum]) -> tuple[float, bool]:
    """Return the tolerance up to which the rank is there, and whether that is exact."""
    if needed == 0:
        return 1.0, True
    return max(
        (
            spectrum.share_of_largest(needed),
            needed <= len(spectrum.singular_values) or spectrum.is_whole,
        )
        for spectrum in spectra
    )


def _dimension_after(profile: DimensionProfile, block: int) -> _LeftSide:
    _, after = _layers_around(profile, block)
    return _LeftSide(profile.dimensions[after], profile.standard_errors[after])


def _growth_in(profile: DimensionProfile, block: int) -> _LeftSide:
    before, after = _layers_around(profile, block)
    if before in profile.constant_layers:
        return _LeftSide(0.0, 0.0)
    growth = max(profile.dimensions[after] - profile.dimensions[before], 0.0)
    # Two halves' errors are not independent, and together are at most their sum.
    errors = (
        profile.increment_standard_errors[sublayer] for sublayer in _sublayers_of(profile, block)
    )
    return _LeftSide(growth, sum(errors))


def _layers_around(profile: DimensionProfile, block: int) -> tuple[int, int]:
    """Return the indices of the layers before and after a whole block."""
    sublayers = _sublayers_of(profile, block)
    return profile.layer_of(sublayers[0]) - 1, profile.layer_of(sublayers[-1])


def _sublayers_of(profile: DimensionProfile, block: int) -> range:
    per_block = len(profile.sublayers) // len(profile.blocks)
    return range(block * per_block, (block + 1) * per_block)


def _check_blocks(profile: DimensionProfile, jacobians: Sequence[BlockJacobian]) -> None:
    expected = sorted((block, by) for block in profile.blocks for by in ("input", "parameters"))
    measured = [(jacobian.block, jacobian.by) for jacobian in jacobians]
    if sorted(measured) != expected:
        theirs = ", ".join(f"{block} by {by}" for block, by in measured)
        raise ModelMismatchError(
            f"The theorem needs two Jacobians, by input and by parameters, of each of the blocks "
            f"{', '.join(profile.blocks)}, and has: {theirs or 'none'}. Measure both on one model."
        )
