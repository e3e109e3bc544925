"""How far each level's dimension is to be trusted: at other scales, with copies, at its height.

An estimate on a random half of the samples looks at a larger scale: neighbours are farther. On a
manifold seen well it says the same; noise raises the small scales, curvature not yet resolved the
large ones. The verdicts' thresholds were chosen by simulation; docs/accuracy.md has how often
they err. It estimates no increment: see `levels.py`.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch.distributed import ProcessGroup

from gelora.dimension.estimators import make_estimator
from gelora.dimension.fitting import Estimator, graph_standard_error
from gelora.dimension.levels import MAX_SHARE_SET_ASIDE, Level, LevelEstimates
from gelora.dimension.neighbors import nearest_neighbors
from gelora.dimension.profile import DecimatedDimensions, Verdict
from gelora.errors import ConstantStatesWarning, DuplicateSamplesWarning, UnstableDimensionWarning

MIN_PART = 250
"""Fewest samples in a part: the error of its estimate is then 6 to 8 %."""

MAX_DISAGREEMENT = 0.2
"""Line and likelihood that differ by more than this share, and by more than three standard
errors, do not confirm each other. On clean manifolds they stay within a tenth."""

SIGNIFICANT = 3.0
"""Standard errors beyond which a difference is none of chance: 1 in 700 levels."""

MAX_RELATIVE_ERROR = 0.1
"""A standard error of a larger share of the dimension leaves the rank open."""

DRIFT = 0.06
"""Share by which the dimension may fall or rise with each halving, for edges pull it down and
curvature up the more, the fewer the samples."""

BIASED_FROM = 6.0
"""From this dimension the bias is above a tenth on a cube."""

_TILE_BYTES = 32 * 2**20

_ADVICE = {
    "noisy": "higher among near neighbours than among far ones, so the states hold noise finer"
    " than their shape: trust the comparison of levels rather than the numbers, or estimate by"
    " gride_8",
    "duplicated": "made small by near-copies, such as pairs that share a sentence: measure on one"
    " text of each pair",
    "too few samples": "still changing, or its error too large: measure on more texts",
}


@dataclass(frozen=True)
class LevelTrust:
    """What speaks for and against the dimension of each level.

    Attributes:
        decimation: The estimate on ever smaller parts of the samples, the whole first.
        verdicts: One per level.
        biased_levels: Indices of the levels whose dimension is so high that bias may matter.
        top_variance_shares: One per level: the share of the variance that the three coordinates
            of largest variance carry.
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
    """Judge what `estimate_levels` found, and warn of what it cannot be trusted in.

    It searches neighbours once more in the halves, quarters, ... of the samples, which costs
    about as much as the estimates did.

    Args:
        hidden_states: As they were given to `estimate_levels`.
        found: What it returned.
        level_names: One per level, for the warnings.
        estimator: One of `ESTIMATORS`, and among `found.series`.
        discard_fraction: As it was given to `estimate_levels`.
        seed: Draws the parts, the same at every level.
        device: Where neighbours are searched; by default where the states are.
        process_group: Processes that share the search, each calling with the same states.

    Warns:
        ConstantStatesWarning: Some levels are constant.
        DuplicateSamplesWarning: More than 5 % of the samples were set aside.
        UnstableDimensionWarning: Some levels' dimensions are noisy, duplicated, or of too few
            samples.
    """
    fitted = make_estimator(estimator, discard_fraction=discard_fraction)
    varying = [i for i in range(len(level_names)) if i not in found.constant_levels]
    order = np.random.default_rng(seed).permutation(found.kept)
    whole = found.series[estimator]
    decimation = [DecimatedDimensions(len(order), whole.dimensions, whole.standard_errors)]
    num_parts = 2
    while len(order) // num_parts >= MIN_PART:
        parts = [np.sort(part) for part in np.array_split(order, num_parts)]
        dimensions, errors = np.zeros((2, len(level_names)))
        for i in varying:
            dimensions[i], errors[i] = _mean_over(
                parts, hidden_states[i], fitted, device=device, process_group=process_group
            )
        decimation.append(
            DecimatedDimensions(
                len(order) // num_parts, tuple(dimensions.tolist()), tuple(errors.tolist())
            )
        )
        num_parts *= 2
    verdicts: list[Verdict] = [_verdict(found, decimation, i) for i in range(len(level_names))]
    _warn(found, level_names, verdicts, whole.dimensions)
    return LevelTrust(
        decimation=tuple(decimation),
        verdicts=tuple(verdicts),
        biased_levels=tuple(i for i, d in enumerate(whole.dimensions) if d >= BIASED_FROM),
        top_variance_shares=tuple(_top_share(level, found.kept) for level in hidden_states),
    )


def _mean_over(
    parts: Sequence[Int[np.ndarray, " part"]],
    level: Level,
    estimator: Estimator,
    *,
    device: torch.device | str | None,
    process_group: ProcessGroup | None,
) -> tuple[float, float]:
    """Return the mean dimension over disjoint parts, which are independent, and its error."""
    dimensions, errors = [], []
    for rows in parts:
        distances, neighbors = nearest_neighbors(
            level,
            num_neighbors=estimator.num_neighbors,
            rows=rows,
            device=device,
            process_group=process_group,
        )
        fit = estimator.fit(distances)
        dimensions.append(fit.dimension)
        errors.append(graph_standard_error(fit.influence, neighbors))
    return float(np.mean(dimensions)), math.hypot(*errors) / len(parts)


def _verdict(
    found: LevelEstimates, decimation: Sequence[DecimatedDimensions], level: int
) -> Verdict:
    """Judge one level; the first that applies."""
    if level in found.constant_levels:
        return "constant"
    whole, *parts = decimation
    dimension, error = whole.dimensions[level], whole.standard_errors[level]
    if error > MAX_RELATIVE_ERROR * dimension or not parts:
        return "too few samples"
    num_samples = found.num_used + found.num_duplicates + found.num_near_duplicates
    if found.set_aside_by_level[level] > MAX_SHARE_SET_ASIDE * num_samples:
        return "duplicated"
    line, likelihood = found.series["twonn_line"], found.series["twonn_likelihood"]
    by_line, by_likelihood = line.dimensions[level], likelihood.dimensions[level]
    errors = math.hypot(line.standard_errors[level], likelihood.standard_errors[level])
    if by_line - by_likelihood > max(SIGNIFICANT * errors, MAX_DISAGREEMENT * by_likelihood):
        return "duplicated"
    return _across_scales(decimation, level)


def _across_scales(decimation: Sequence[DecimatedDimensions], level: int) -> Verdict:
    whole, *parts = decimation
    dimension, error = whole.dimensions[level], whole.standard_errors[level]
    for halvings, part in enumerate(parts, start=1):
        rise = part.dimensions[level] - dimension
        chance = SIGNIFICANT * math.hypot(part.standard_errors[level], error)
        if abs(rise) > chance + ((1 + DRIFT) ** halvings - 1) * dimension:
            return "too few samples" if rise > 0 else "noisy"
    return "stable"


def _warn(
    found: LevelEstimates,
    level_names: Sequence[str],
    verdicts: Sequence[Verdict],
    dimensions: Sequence[float],
) -> None:
    constant = [repr(level_names[i]) for i in found.constant_levels]
    if constant:
        warnings.warn(
            f"The dimension is 0 at levels whose states repeat over distinct samples:"
            f" {', '.join(constant)}. That is usual for embeddings pooled at the first or last"
            " token; the rules count no growth out of such a level.",
            ConstantStatesWarning,
            stacklevel=3,
        )
    num_set_aside = found.num_duplicates + found.num_near_duplicates
    num_samples = found.num_used + num_set_aside
    if num_set_aside > MAX_SHARE_SET_ASIDE * num_samples:
        warnings.warn(
            f"{num_set_aside} of {num_samples} samples were set aside: {found.num_duplicates}"
            f" copies and {found.num_near_duplicates} near-copies of others. The estimates rest on"
            f" the other {found.num_used}.",
            DuplicateSamplesWarning,
            stacklevel=3,
        )
    doubtful = [
        f"at levels {listed} it is {advice}"
        for verdict, advice in _ADVICE.items()
        if (
            listed := ", ".join(
                f"{name!r} ({dimension:.1f})"
                for name, given, dimension in zip(level_names, verdicts, dimensions, strict=True)
                if given == verdict
            )
        )
    ]
    if doubtful:
        warnings.warn(
            f"The dimension cannot be trusted everywhere: {'; '.join(doubtful)}.",
            UnstableDimensionWarning,
            stacklevel=3,
        )


def _top_share(level: Level, rows: Int[np.ndarray, " rows"]) -> float:
    """Return the three largest variances' share of all, in float64, holding one tile of rows."""
    values = torch.as_tensor(level)
    width = values.shape[1]
    first = values[rows[0]].double()  # about the common mean, so that squares keep their digits
    sums, squares = torch.zeros_like(first), torch.zeros_like(first)
    for tile in np.array_split(rows, math.ceil(len(rows) * width * 8 / _TILE_BYTES)):
        moved = values[tile].double() - first
        sums += moved.sum(0)
        squares += moved.square().sum(0)
    variances = squares - sums.square() / len(rows)
    total = float(variances.sum())
    return float(variances.topk(min(3, width)).values.sum()) / total if total > 0 else 0.0
