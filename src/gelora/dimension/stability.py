"""How far each level's dimension is to be trusted, and one warning of each kind for what is not.

It brings together the estimate at other scales (`decimation.py`), the verdicts (`verdicts.py`),
the levels so high-dimensional that bias matters, and the share of variance in outlier
coordinates. It estimates no increment: see `levels.py`.
"""

import inspect
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch.distributed import ProcessGroup

from gelora.dimension.decimation import decimate_levels
from gelora.dimension.levels import MAX_SHARE_SET_ASIDE, Level, LevelEstimates
from gelora.dimension.profile import DecimatedDimensions, Verdict
from gelora.dimension.remedies import DOUBTFUL, REMEDIES, advice_on
from gelora.dimension.verdicts import BIASED_FROM, judge_level
from gelora.errors import (
    ConstantStatesWarning,
    DuplicateSamplesWarning,
    GeloraWarning,
    UnstableDimensionWarning,
)

_TOP_COORDINATES = 3
_TILE_BYTES = 32 * 2**20


@dataclass(frozen=True)
class LevelTrust:
    """What speaks for and against the dimension of each level.

    Attributes:
        decimation: The estimate on ever smaller parts of the samples, the whole first.
        verdicts: One per level.
        biased_levels: Indices of the levels whose dimension is so high that bias may matter.
        top_variance_shares: One per level: the share of the variance that the three coordinates
            of largest variance carry; 0 where a level does not vary at all.
    """

    decimation: tuple[DecimatedDimensions, ...]
    verdicts: tuple[Verdict, ...]
    biased_levels: tuple[int, ...]
    top_variance_shares: tuple[float, ...]


def assess_levels(
    hidden_states: Sequence[Level],
    found: LevelEstimates,
    *,
    level_names: Sequence[str],
    estimator: str = "twonn_line",
    discard_fraction: float = 0.1,
    seed: int = 0,
    device: torch.device | str | None = None,
    process_group: ProcessGroup | None = None,
) -> LevelTrust:
    """Judge what `estimate_levels` found, and warn of what cannot be trusted in it.

    Args:
        hidden_states: As they were given to `estimate_levels`.
        found: What it returned.
        level_names: One per level, for the warnings.
        estimator: One of `ESTIMATORS`, and among `found.series`.
        discard_fraction: As it was given to `estimate_levels`.
        seed: Draws the parts of the samples, the same at every level.
        device: Where neighbours are searched; by default where the states are.
        process_group: Processes that share the search, each calling with the same states.

    Warns:
        ConstantStatesWarning: Some levels are constant.
        DuplicateSamplesWarning: More than 5 % of the samples were set aside.
        UnstableDimensionWarning: Some levels are noisy, duplicated, or of too few samples.
    """
    decimation = decimate_levels(
        hidden_states,
        found,
        estimator=estimator,
        discard_fraction=discard_fraction,
        seed=seed,
        device=device,
        process_group=process_group,
    )
    dimensions = found.series[estimator].dimensions
    verdicts: tuple[Verdict, ...] = tuple(
        judge_level(found, decimation, i, estimator=estimator) for i in range(len(dimensions))
    )
    _warn_of_constant_levels(found, level_names)
    _warn_of_duplicates(found)
    _warn_of_verdicts(verdicts, dimensions, level_names, estimator=estimator)
    return LevelTrust(
        decimation=decimation,
        verdicts=verdicts,
        biased_levels=tuple(i for i, d in enumerate(dimensions) if d >= BIASED_FROM[estimator]),
        top_variance_shares=tuple(_top_share(level, found.kept) for level in hidden_states),
    )


def _warn_of_constant_levels(found: LevelEstimates, level_names: Sequence[str]) -> None:
    if found.constant_levels:
        listed = ", ".join(repr(level_names[i]) for i in found.constant_levels)
        _warn(
            f"The dimension is 0 at levels whose states repeat over distinct samples: {listed}."
            " That is usual for embeddings pooled at the first or last token; the rules count no"
            " growth out of such a level.",
            ConstantStatesWarning,
        )


def _warn_of_duplicates(found: LevelEstimates) -> None:
    num_set_aside = found.num_duplicates + found.num_near_duplicates
    num_samples = found.num_used + num_set_aside
    if num_set_aside > MAX_SHARE_SET_ASIDE * num_samples:
        _warn(
            f"{num_set_aside} of {num_samples} samples were set aside: {found.num_duplicates}"
            f" copies and {found.num_near_duplicates} near-copies of others. The estimates rest on"
            f" the other {found.num_used}.",
            DuplicateSamplesWarning,
        )


def _warn_of_verdicts(
    verdicts: Sequence[Verdict],
    dimensions: Sequence[float],
    level_names: Sequence[str],
    *,
    estimator: str,
) -> None:
    """Name the levels of each doubtful verdict with their dimension, and what to do."""
    doubts = []
    for verdict in DOUBTFUL:
        levels = [i for i, given in enumerate(verdicts) if given == verdict]
        if levels:
            listed = ", ".join(f"{level_names[i]!r} ({dimensions[i]:.1f})" for i in levels)
            advice = advice_on(verdict, estimator=estimator)
            doubts.append(f"at {listed} it {REMEDIES[verdict].seen} ({advice})")
    if doubts:
        _warn(
            f"The dimension cannot be trusted at some levels: {'; '.join(doubts)}.",
            UnstableDimensionWarning,
        )


def _warn(message: str, category: type[GeloraWarning]) -> None:
    """Warn at the line that called gelora, however many of its functions lie between."""
    level, frame = 1, inspect.currentframe()
    while frame and frame.f_globals.get("__name__", "").startswith("gelora."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _top_share(level: Level, rows: Int[np.ndarray, " rows"]) -> float:
    """Return the three largest variances' share of all, in float64, holding one tile of rows."""
    width = level.shape[1]
    # Near the mean, so that squares keep their digits.
    first = torch.as_tensor(level[rows[:1]]).double()[0]
    sums, squares = torch.zeros_like(first), torch.zeros_like(first)
    for tile in np.array_split(rows, math.ceil(len(rows) * width * 8 / _TILE_BYTES)):
        moved = torch.as_tensor(level[tile]).double() - first
        sums += moved.sum(0)
        squares += moved.square().sum(0)
    variances = squares - sums.square() / len(rows)
    total = float(variances.sum())
    top = float(variances.topk(min(_TOP_COORDINATES, width)).values.sum())
    return top / total if total > 0 else 0.0
