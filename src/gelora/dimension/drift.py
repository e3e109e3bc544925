"""How a level's dimension moves with the number of texts; its verdict, drift and bias in words.

A verdict allows for chance and for the bias of clean clouds, so that a dimension with the verdict
"stable" may still move by more than a tenth. In words such a level is "drifting".
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from gelora.dimension.profile import DecimatedDimensions, DimensionProfile

MIN_DRIFT = 0.1
"""Smallest change that is named, as a share of the dimension on all samples."""

DRIFT_ERRORS = 3.0
"""Standard errors, of part and whole taken as independent, that a named change must exceed."""


class Drift(NamedTuple):
    """The largest change of a level's dimension from part of the samples to all of them.

    Attributes:
        num_part: Samples in the part.
        part: Mean dimension on parts of this size.
        num_all: All samples.
        whole: Dimension on all samples.
    """

    num_part: int
    part: float
    num_all: int
    whole: float

    @property
    def share(self) -> float:
        """Change as a share of the dimension on all samples; negative where it falls."""
        return (self.whole - self.part) / self.whole

    def __str__(self) -> str:
        """Return "falls from 14.0 at 250 texts to 10.9 at 4,000"."""
        moves = "falls" if self.share < 0 else "rises"
        return (
            f"{moves} from {self.part:.1f} at {self.num_part:,} texts to {self.whole:.1f} at "
            f"{self.num_all:,}"
        )


def find_drift(decimation: Sequence[DecimatedDimensions], level: int) -> Drift | None:
    """Return how a level's dimension moves with the number of texts, if it clearly does.

    Args:
        decimation: The estimates on all samples, then on ever smaller parts.
        level: Index of the level.

    Returns:
        The largest change that exceeds a tenth of the dimension and three standard errors, or None.
    """
    whole, *parts = decimation
    dimension, error = whole.dimensions[level], whole.standard_errors[level]
    if dimension == 0:
        return None
    drifts = [
        Drift(part.num_samples, part.dimensions[level], whole.num_samples, dimension)
        for part in parts
        if abs(part.dimensions[level] - dimension)
        > DRIFT_ERRORS * math.hypot(part.standard_errors[level], error)
    ]
    largest = max(drifts, key=lambda drift: abs(drift.share), default=None)
    return largest if largest is not None and abs(largest.share) > MIN_DRIFT else None


def verdict_word(profile: DimensionProfile, level: int) -> str:
    """Return a level's verdict, or "drifting" where a stable dimension clearly moves."""
    verdict = profile.verdicts[level]
    is_drifting = verdict == "stable" and find_drift(profile.decimation, level) is not None
    return "drifting" if is_drifting else verdict


def verdict_words(profile: DimensionProfile, level: int) -> str:
    """Return a level's verdict with its drift and its bias, as one phrase."""
    drift = find_drift(profile.decimation, level)
    words = verdict_word(profile, level)
    if drift is not None:
        words += f": {drift}"
    if level in profile.biased_levels:
        words += "; may be biased"
    return words
