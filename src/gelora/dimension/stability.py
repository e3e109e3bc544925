"""How far each layer's dimension is to be trusted, and one warning of each kind for what is not.

It brings together the estimate at other scales (`decimation.py`), the verdicts (`verdicts.py`),
the layers so high-dimensional that bias matters, and the share of variance in outlier
coordinates. It estimates no increment: see `layers.py`.
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

from gelora.dimension.decimation import decimate_layers
from gelora.dimension.diagnostics import DOUBTFUL, REMEDIES, advice_on
from gelora.dimension.layers import MAX_SHARE_SET_ASIDE, LayerEstimates, LayerStates
from gelora.dimension.profile import DecimatedDimensions, Verdict
from gelora.dimension.verdicts import BIASED_FROM, judge_layer
from gelora.errors import (
    ConstantStatesWarning,
    DuplicateSamplesWarning,
    GeloraWarning,
    UnstableDimensionWarning,
)

_TOP_COORDINATES = 3
_TILE_BYTES = 32 * 2**20


@dataclass(frozen=True)
class LayerDiagnostics:
    """What speaks for and against the dimension of each layer.

    Attributes:
        decimation: The estimate on ever smaller parts of the samples, the whole first.
        verdicts: One per layer.
        biased_layers: Indices of the layers whose dimension is so high that bias may matter.
        top_variance_shares: One per layer: the share of the variance that the three coordinates
            of largest variance carry; 0 where a layer does not vary at all.
    """

    decimation: tuple[DecimatedDimensions, ...]
    verdicts: tuple[Verdict, ...]
    biased_layers: tuple[int, ...]
    top_variance_shares: tuple[float, ...]


def assess_layers(
    hidden_states: Sequence[LayerStates],
    estimates: LayerEstimates,
    *,
    layer_names: Sequence[str],
    estimator: str = "twonn_linfit",
    discard_fraction: float = 0.1,
    seed: int = 0,
    device: torch.device | str | None = None,
    process_group: ProcessGroup | None = None,
) -> LayerDiagnostics:
    """Judge what `estimate_layers` found, and warn of what cannot be trusted in it.

    Args:
        hidden_states: As they were given to `estimate_layers`.
        estimates: What it returned.
        layer_names: One per layer, for the warnings.
        estimator: One of `ESTIMATORS`, and among `estimates.series`.
        discard_fraction: As it was given to `estimate_layers`.
        seed: Draws the parts of the samples, the same at every layer.
        device: Where neighbours are searched; by default where the states are.
        process_group: Processes that share the search, each calling with the same states.

    Warns:
        ConstantStatesWarning: Some layers are constant.
        DuplicateSamplesWarning: More than 5 % of the samples were set aside.
        UnstableDimensionWarning: Some layers are noisy, duplicated, or of too few samples.
    """
    decimation = decimate_layers(
        hidden_states,
        estimates,
        estimator=estimator,
        discard_fraction=discard_fraction,
        seed=seed,
        device=device,
        process_group=process_group,
    )
    dimensions = estimates.series[estimator].dimensions
    verdicts: tuple[Verdict, ...] = tuple(
        judge_layer(estimates, decimation, i, estimator=estimator) for i in range(len(dimensions))
    )
    _warn_of_constant_layers(estimates, layer_names)
    _warn_of_duplicates(estimates)
    _warn_of_verdicts(verdicts, dimensions, layer_names, estimator=estimator)
    return LayerDiagnostics(
        decimation=decimation,
        verdicts=verdicts,
        biased_layers=tuple(i for i, d in enumerate(dimensions) if d >= BIASED_FROM[estimator]),
        top_variance_shares=tuple(_top_share(layer, estimates.kept) for layer in hidden_states),
    )


def _warn_of_constant_layers(estimates: LayerEstimates, layer_names: Sequence[str]) -> None:
    if estimates.constant_layers:
        listed = ", ".join(repr(layer_names[i]) for i in estimates.constant_layers)
        _warn(
            f"The dimension is 0 at layers whose states repeat over distinct samples: {listed}."
            " That is usual for embeddings pooled at the first or last token; the rules count no"
            " growth out of such a layer.",
            ConstantStatesWarning,
        )


def _warn_of_duplicates(estimates: LayerEstimates) -> None:
    num_set_aside = estimates.num_duplicates + estimates.num_near_duplicates
    num_samples = estimates.num_used + num_set_aside
    if num_set_aside > MAX_SHARE_SET_ASIDE * num_samples:
        _warn(
            f"{num_set_aside} of {num_samples} samples were set aside: {estimates.num_duplicates}"
            f" copies and {estimates.num_near_duplicates} near-copies of others. The estimates"
            f" rest on the other {estimates.num_used}.",
            DuplicateSamplesWarning,
        )


def _warn_of_verdicts(
    verdicts: Sequence[Verdict],
    dimensions: Sequence[float],
    layer_names: Sequence[str],
    *,
    estimator: str,
) -> None:
    """Name the layers of each doubtful verdict with their dimension, and what to do."""
    doubts: list[str] = []
    for verdict in DOUBTFUL:
        layers = [i for i, judged in enumerate(verdicts) if judged == verdict]
        if layers:
            listed = ", ".join(f"{layer_names[i]!r} ({dimensions[i]:.1f})" for i in layers)
            advice = advice_on(verdict, estimator=estimator)
            doubts.append(f"at {listed} it {REMEDIES[verdict].seen} ({advice})")
    if doubts:
        _warn(
            f"The dimension cannot be trusted at some layers: {'; '.join(doubts)}.",
            UnstableDimensionWarning,
        )


def _warn(message: str, category: type[GeloraWarning]) -> None:
    """Warn at the line that called gelora, however many of its functions lie between."""
    depth, frame = 1, inspect.currentframe()
    while frame and frame.f_globals.get("__name__", "").startswith("gelora."):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, category, stacklevel=depth)


def _top_share(layer: LayerStates, rows: Int[np.ndarray, " rows"]) -> float:
    """Return the three largest variances' share of all, in float64, holding one tile of rows."""
    width = layer.shape[1]
    # Near the mean, so that squares keep their digits.
    first = torch.as_tensor(layer[rows[:1]]).double()[0]
    sums, squares = torch.zeros_like(first), torch.zeros_like(first)
    for tile in np.array_split(rows, math.ceil(len(rows) * width * 8 / _TILE_BYTES)):
        moved = torch.as_tensor(layer[tile]).double() - first
        sums += moved.sum(0)
        squares += moved.square().sum(0)
    variances = squares - sums.square() / len(rows)
    total = float(variances.sum())
    top = float(variances.topk(min(_TOP_COORDINATES, width)).values.sum())
    return top / total if total > 0 else 0.0
