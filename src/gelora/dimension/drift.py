"""How a layer's dimension moves with the number of texts; its verdict, drift and bias in words.

A verdict allows for chance and for the bias of clean clouds, so that a dimension with the verdict
"stable" may still move by more than a tenth. In words such a layer is "drifting".
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
    """The largest change of a layer's dimension from part of the samples to all of them.

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


def find_drift(decimation: Sequence[DecimatedDimensions], layer: int) -> Drift | None:
    """Return how a layer's dimension moves with the number of texts, if it clearly does.

    Args:
        decimation: The estimates on all samples, then on ever smaller parts.
        layer: Index of the layer.

    Returns:
        The largest change that exceeds a tenth of the dimension and three standard errors, or None.
    """
    whole, *parts = decimation
    dimension, error = whole.dimensions[layer], whole.standard_errors[layer]
    if dimension == 0:
        return None
    drifts = [
        Drift(part.num_samples, part.dimensions[layer], whole.num_samples, dimension)
        for part in parts
        if abs(part.dimensions[layer] - dimension)
        > DRIFT_ERRORS * math.hypot(part.standard_errors[layer], error)
    ]
    largest = max(drifts, key=lambda drift: abs(drift.share), default=None)
    return largest if largest is not None and abs(largest.share) > MIN_DRIFT else None


def verdict_word(profile: DimensionProfile, layer: int) -> str:
    """Return a layer's verdict, or "drifting" where a stable dimension clearly moves."""
    verdict = profile.verdicts[layer]
    is_drifting = verdict == "stable" and find_drift(profile.decimation, layer) is not None
    return "drifting" if is_drifting else verdict


def verdict_words(profile: DimensionProfile, layer: int) -> str:
    """Return a layer's verdict with its drift and its bias, as one phrase."""
    drift = find_drift(profile.decimation, layer)
    words = verdict_word(profile, layer)
    if drift is not None:
        words += f": {drift}"
    if layer in profile.biased_layers:
        words += "; may be biased"
    return words
