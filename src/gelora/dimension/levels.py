"""Dimensions and increments of all levels of a model, from the same samples at each level.

It decides which samples count and which levels vary, fits both estimators, and pairs the levels.
It never sees a model: `measurement.py` brings the hidden states and makes the profile.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gelora.dimension.duplicates import distinct_samples, first_copies, is_constant
from gelora.dimension.neighbors import as_tensor
from gelora.dimension.profile import DimensionSeries
from gelora.dimension.twonn import Fit, TwoNN, graph_standard_error, log_ratios
from gelora.errors import (
    ConstantStatesWarning,
    DuplicateSamplesWarning,
    HiddenStatesError,
    TooFewSamplesError,
    UnstableDimensionWarning,
)

MAX_SHARE_SET_ASIDE = 0.05
"""More repeated samples than this are worth a warning; more at one level alone, and it is made of
single points."""

MAX_DISAGREEMENT = 0.2
"""Line and likelihood that differ by more than this share, and by more than three standard
errors, do not confirm each other. On clean manifolds they stay within a tenth."""


@dataclass(frozen=True)
class LevelEstimates:
    """What was estimated over all levels; the fields are those of `DimensionProfile`.

    Attributes:
        series: Dimensions and increments by "twonn_line" and by "twonn_likelihood".
        num_used: Samples that every estimate rests on, the same at each level.
        num_duplicates: Samples set aside as exact copies.
        num_near_duplicates: Samples set aside as copies up to rounding.
        constant_levels: Indices of the levels that do not vary.
        log_mu_quantiles: For every level, log(r2 / r1) at evenly spaced fractions
            (i + 0.5) / num_quantiles; empty for a constant level.
    """

    series: Mapping[str, DimensionSeries]
    num_used: int
    num_duplicates: int
    num_near_duplicates: int
    constant_levels: tuple[int, ...]
    log_mu_quantiles: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class _Level:
    """One level as the estimators see it; a constant one has ratios and neighbours of none."""

    log_mu: Float[np.ndarray, " samples"] | None
    neighbors: Int[np.ndarray, "samples links"]

    def fit(self, estimator: TwoNN) -> Fit:
        if self.log_mu is None:
            return Fit(0.0, np.zeros(len(self.neighbors)))
        return estimator.fit(self.log_mu)


def estimate_levels(
    hidden_states: Sequence[Float[Tensor, "samples _"] | Float[np.ndarray, "samples _"]],
    *,
    level_names: Sequence[str],
    first_levels: Sequence[int] = (0,),
    discard_fraction: float = 0.1,
    num_quantiles: int = 50,
    device: torch.device | str | None = None,
) -> LevelEstimates:
    """Estimate the dimension of every level and the increment of every block.

    A level whose samples are all one vector (the first token's embedding), or where more than 5 %
    of the samples that differ elsewhere coincide (the last token's), is a set of single points:
    constant, its dimension is 0. Of the other levels' samples, one that repeats another at any
    level is set aside at all of them.

    Args:
        hidden_states: One matrix per level, the same samples in the same order.
        level_names: One per level, for messages.
        first_levels: Indices of the embedding outputs, where stacks begin: no block led there,
            so they have no increment.
        discard_fraction: Share of the largest ratios that the line fit leaves out.
        num_quantiles: Points kept of each level's distribution of ratios.
        device: Where neighbours are searched; by default where the states are.

    Raises:
        NonFiniteStatesError: A level holds NaN or infinity.
        TooFewSamplesError: Fewer than 50 samples differ at every level that varies.
        HiddenStatesError: The levels do not hold the same samples, or all distances tie.

    Warns:
        ConstantStatesWarning: Some levels are constant.
        DuplicateSamplesWarning: More than 5 % of the samples were set aside.
        UnstableDimensionWarning: Line and likelihood do not confirm each other at some levels.
    """
    states = [
        as_tensor(level, where=f" at level {name!r}")
        for name, level in zip(level_names, hidden_states, strict=True)
    ]
    num_samples = len(states[0])
    if any(len(level) != num_samples for level in states):
        raise HiddenStatesError(
            f"All levels must hold the same samples; got {[len(level) for level in states]} rows."
        )
    varying = _varying_levels(states, level_names)
    samples = distinct_samples(
        [states[i] for i in varying], level_names=[level_names[i] for i in varying], device=device
    )
    _warn_of_duplicates(num_samples, samples.num_duplicates, samples.num_near_duplicates)

    num_used = len(samples.kept)
    levels = [_Level(None, np.empty((num_used, 0), dtype=np.int64)) for _ in states]
    for i, distances, neighbors in zip(varying, samples.distances, samples.neighbors, strict=True):
        levels[i] = _Level(log_ratios(distances), neighbors)
    series = {
        f"twonn_{estimator.method}": _series(levels, estimator, first_levels)
        for estimator in (TwoNN("line", discard_fraction), TwoNN("likelihood"))
    }
    _warn_of_disagreement(series["twonn_line"], series["twonn_likelihood"], level_names)
    fractions = (np.arange(num_quantiles) + 0.5) / num_quantiles
    return LevelEstimates(
        series=series,
        num_used=num_used,
        num_duplicates=samples.num_duplicates,
        num_near_duplicates=samples.num_near_duplicates,
        constant_levels=tuple(i for i in range(len(states)) if i not in varying),
        log_mu_quantiles=tuple(
            () if level.log_mu is None else tuple(np.quantile(level.log_mu, fractions).tolist())
            for level in levels
        ),
    )


def _varying_levels(
    states: Sequence[Float[Tensor, "samples _"]], level_names: Sequence[str]
) -> list[int]:
    """Return the indices of the levels that are not constant; warn of those that are."""
    num_samples = len(states[0])
    copies = {i: first_copies(level) for i, level in enumerate(states) if not is_constant(level)}
    if not copies:
        raise TooFewSamplesError(
            f"All {num_samples} samples are the same at every level. Measure on texts that differ."
        )
    # Samples alike at every level are one text given often, and say nothing about a level.
    num_texts = len(np.unique(np.stack(list(copies.values())), axis=1).T)
    values = {i: len(np.unique(first)) for i, first in copies.items()}
    fewest = (1 - MAX_SHARE_SET_ASIDE) * num_texts
    varying = [i for i, count in values.items() if count >= fewest]
    constant = [i for i in range(len(states)) if i not in varying]
    if constant:
        listed = ", ".join(f"{level_names[i]!r} ({values.get(i, 1)})" for i in constant)
        warnings.warn(
            f"The dimension is 0 at levels whose states repeat over {num_texts} distinct samples"
            f" (values taken): {listed}. That is usual for embeddings pooled at the first or last"
            " token; the rules count no growth out of such a level.",
            ConstantStatesWarning,
            stacklevel=3,
        )
    return varying


def _series(
    levels: Sequence[_Level], estimator: TwoNN, first_levels: Sequence[int]
) -> DimensionSeries:
    """Fit all levels by one estimator, and take the increments from the level before each."""
    fits = [level.fit(estimator) for level in levels]
    ends = [i for i in range(len(levels)) if i not in first_levels]
    return DimensionSeries(
        dimensions=tuple(fit.dimension for fit in fits),
        standard_errors=tuple(
            graph_standard_error(fit.influence, level.neighbors)
            for fit, level in zip(fits, levels, strict=True)
        ),
        increments=tuple(fits[i].dimension - fits[i - 1].dimension for i in ends),
        increment_standard_errors=tuple(
            graph_standard_error(
                fits[i].influence - fits[i - 1].influence,
                np.hstack([levels[i].neighbors, levels[i - 1].neighbors]),
            )
            for i in ends
        ),
    )


def _warn_of_duplicates(num_samples: int, num_duplicates: int, num_near_duplicates: int) -> None:
    num_set_aside = num_duplicates + num_near_duplicates
    if num_set_aside > MAX_SHARE_SET_ASIDE * num_samples:
        warnings.warn(
            f"{num_set_aside} of {num_samples} samples were set aside: {num_duplicates} copies and"
            f" {num_near_duplicates} near-copies of others. The estimates rest on the other"
            f" {num_samples - num_set_aside}.",
            DuplicateSamplesWarning,
            stacklevel=3,
        )


def _warn_of_disagreement(
    line: DimensionSeries, likelihood: DimensionSeries, level_names: Sequence[str]
) -> None:
    doubtful = [
        f"{name!r} {by_line:.1f} or {by_likelihood:.1f}"
        for name, by_line, by_likelihood, *errors in zip(
            level_names,
            line.dimensions,
            likelihood.dimensions,
            line.standard_errors,
            likelihood.standard_errors,
            strict=True,
        )
        if abs(by_line - by_likelihood)
        > max(3 * math.hypot(*errors), MAX_DISAGREEMENT * min(by_line, by_likelihood))
    ]
    if doubtful:
        warnings.warn(
            "The dimension depends on the estimator (by line or by likelihood) at levels: "
            f"{', '.join(doubtful)}. The texts may hold near-copies, such as pairs that share a"
            " sentence, or the states noise; read the ranks with care, and compare the figure of"
            " the fit.",
            UnstableDimensionWarning,
            stacklevel=3,
        )
