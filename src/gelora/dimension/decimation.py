"""Decimation: the same estimate on random halves, quarters, ... of the samples.

With fewer samples the neighbours are farther, so the estimate looks at a larger scale. On a
manifold seen well it stays; noise raises it at small scales, and what bends or nearly repeats
within the neighbours' distance lowers it there. `verdicts.py` draws the conclusions.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch.distributed import ProcessGroup

from gelora.dimension.estimators import make_estimator
from gelora.dimension.fitting import Estimator, graph_standard_error
from gelora.dimension.levels import Level, LevelEstimates
from gelora.dimension.neighbors import nearest_neighbors
from gelora.dimension.profile import DecimatedDimensions

MIN_PART = 200
"""Fewest samples in a part: the error of its estimate by TwoNN is then 8 %. Of 500, 1,000 or
4,000 texts a fifth may be set aside before a scale is lost."""


def decimate_levels(
    hidden_states: Sequence[Level],
    found: LevelEstimates,
    *,
    estimator: str,
    discard_fraction: float,
    seed: int,
    device: torch.device | str | None = None,
    process_group: ProcessGroup | None = None,
) -> tuple[DecimatedDimensions, ...]:
    """Estimate every level on ever smaller parts of the samples that were used.

    The samples are divided into two parts at random, into four, and so on while each holds 200;
    the parts are the same at every level, and all are used, so that the mean over them has about
    the error of the whole. The search takes as long as that of the whole again.

    Args:
        hidden_states: As they were given to `estimate_levels`.
        found: What it returned.
        estimator: One of `ESTIMATORS`, and among `found.series`.
        discard_fraction: As it was given to `estimate_levels`.
        seed: Draws the parts.
        device: Where neighbours are searched; by default where the states are.
        process_group: Processes that share the search, each calling with the same states.

    Returns:
        The whole first; 0 where a level is constant.
    """
    fitted = make_estimator(estimator, discard_fraction=discard_fraction)
    order = np.random.default_rng(seed).permutation(found.kept)
    whole = found.series[estimator]
    scales = [DecimatedDimensions(len(order), whole.dimensions, whole.standard_errors)]
    num_parts = 2
    while len(order) // num_parts >= MIN_PART:
        parts = [np.sort(part) for part in np.array_split(order, num_parts)]
        dimensions, errors = np.zeros((2, len(hidden_states)))
        for i, level in enumerate(hidden_states):
            if i not in found.constant_levels:
                dimensions[i], errors[i] = _mean_over(
                    parts, level, fitted, device=device, process_group=process_group
                )
        scales.append(
            DecimatedDimensions(
                len(order) // num_parts, tuple(dimensions.tolist()), tuple(errors.tolist())
            )
        )
        num_parts *= 2
    return tuple(scales)


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
