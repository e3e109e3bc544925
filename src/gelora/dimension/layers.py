"""Dimensions and increments of all layers of a model, from the same samples at each layer.

It decides which samples count and which layers vary, fits the estimators, and pairs the layers.
`stability.py` says how far to trust what comes out; `hidden_states` reads the layers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributed import ProcessGroup

from gelora.dimension.duplicates import distinct_samples, first_copies, is_constant
from gelora.dimension.estimators import ESTIMATORS, make_estimator
from gelora.dimension.fitting import Estimator, Fit, graph_standard_error
from gelora.dimension.points import as_tensor
from gelora.dimension.profile import DimensionSeries
from gelora.dimension.twonn import log_ratios
from gelora.dimension.verdicts import MAX_SHARE_SET_ASIDE
from gelora.errors import HiddenStatesError, TooFewSamplesError

LayerStates = Float[Tensor, "samples _"] | Float[np.ndarray, "samples _"]
"""One layer's states: a tensor, an array, or an array in a file (`np.memmap`), read in tiles."""


@dataclass(frozen=True, eq=False)
class LayerEstimates:
    """What was estimated over all layers.

    Attributes:
        series: Dimensions and increments by estimator: both TwoNN, the one asked for, or all.
        kept: Row numbers of the samples that every estimate rests on, ascending.
        num_duplicates: Samples set aside as exact copies.
        num_near_duplicates: Samples set aside as copies up to rounding.
        set_aside_by_layer: Samples set aside for what they are at each layer.
        constant_layers: Indices of the layers that do not vary.
        log_mu_quantiles: For every layer, log(r2 / r1) at evenly spaced fractions
            (i + 0.5) / num_quantiles; empty for a constant layer.
    """

    series: Mapping[str, DimensionSeries]
    kept: Int[np.ndarray, " kept"]
    num_duplicates: int
    num_near_duplicates: int
    set_aside_by_layer: tuple[int, ...]
    constant_layers: tuple[int, ...]
    log_mu_quantiles: tuple[tuple[float, ...], ...]

    @property
    def num_used(self) -> int:
        """How many samples every estimate rests on, the same at each layer."""
        return len(self.kept)


@dataclass(frozen=True)
class _Neighborhoods:
    """One layer as the estimators see it; a constant one has no neighbours."""

    name: str
    distances: Float[np.ndarray, "samples links"]
    neighbors: Int[np.ndarray, "samples links"]

    @property
    def is_constant(self) -> bool:
        return self.distances.shape[1] == 0

    def fit(self, estimator: Estimator) -> Fit:
        if self.is_constant:
            return Fit(0.0, np.zeros(len(self.distances)))
        try:
            return estimator.fit_distances(self.distances)
        except HiddenStatesError as error:
            raise HiddenStatesError(f"At layer {self.name!r}: {error}") from error

    def quantiles(self, fractions: Float[np.ndarray, " quantiles"]) -> tuple[float, ...]:
        if self.is_constant:
            return ()
        return tuple(np.quantile(log_ratios(self.distances), fractions).tolist())


def estimate_layers(
    hidden_states: Sequence[LayerStates],
    *,
    layer_names: Sequence[str],
    first_layers: Sequence[int] = (0,),
    estimator: str = "twonn_linfit",
    all_estimators: bool = False,
    discard_fraction: float = 0.1,
    num_quantiles: int = 50,
    device: torch.device | str | None = None,
    process_group: ProcessGroup | None = None,
) -> LayerEstimates:
    """Estimate the dimension of every layer and the increment of every sublayer.

    A layer whose samples are all one vector (the first token's embedding), or where more than 5 %
    of the samples that differ elsewhere coincide (the last token's), is a set of single points:
    constant, its dimension is 0. Of the other layers' samples, one that repeats another at any
    layer is set aside at all of them.

    Args:
        hidden_states: One matrix per layer, the same samples in the same order.
        layer_names: One per layer, for messages.
        first_layers: Indices of the embedding outputs, where stacks begin: no sublayer led there,
            so they have no increment.
        estimator: One of `ESTIMATORS`, to be among the series beside both TwoNN.
        all_estimators: Whether to have all of them; that needs 20 neighbours in place of 2.
        discard_fraction: Share of the largest ratios that the line fit leaves out.
        num_quantiles: Points kept of each layer's distribution of ratios.
        device: Where neighbours are searched; by default where the states are.
        process_group: Processes that share the search, each calling with the same states.

    Raises:
        NonFiniteStatesError: A layer holds NaN or infinity.
        TooFewSamplesError: Fewer than 50 samples differ at every layer that varies.
        HiddenStatesError: The layers do not hold the same samples, or all distances tie.
        ConfigError: There is no such estimator, or no such fraction to discard.
    """
    names = ESTIMATORS if all_estimators else ("twonn_linfit", "twonn_mle", estimator)
    estimators = {name: make_estimator(name, discard_fraction=discard_fraction) for name in names}
    states = [
        as_tensor(layer, where=f" at layer {name!r}")
        for name, layer in zip(layer_names, hidden_states, strict=True)
    ]
    if any(len(layer) != len(states[0]) for layer in states):
        raise HiddenStatesError(
            f"All layers must hold the same samples; got {[len(layer) for layer in states]} rows."
        )
    varying = _varying_layers(states)
    samples = distinct_samples(
        [states[i] for i in varying],
        layer_names=[layer_names[i] for i in varying],
        num_neighbors=max(fitted.num_neighbors for fitted in estimators.values()),
        copies=list(varying.values()),
        device=device,
        process_group=process_group,
    )
    nothing = np.empty((len(samples.kept), 0))
    layers = [_Neighborhoods(name, nothing, nothing.astype(np.int64)) for name in layer_names]
    set_aside = [0] * len(states)
    for i, *links, count in zip(
        varying, samples.distances, samples.neighbors, samples.set_aside_by_layer, strict=True
    ):
        layers[i], set_aside[i] = _Neighborhoods(layer_names[i], *links), count
    fractions = (np.arange(num_quantiles) + 0.5) / num_quantiles
    return LayerEstimates(
        series={name: _series(layers, fitted, first_layers) for name, fitted in estimators.items()},
        kept=samples.kept,
        num_duplicates=samples.num_duplicates,
        num_near_duplicates=samples.num_near_duplicates,
        set_aside_by_layer=tuple(set_aside),
        constant_layers=tuple(i for i in range(len(states)) if i not in varying),
        log_mu_quantiles=tuple(layer.quantiles(fractions) for layer in layers),
    )


def _varying_layers(
    states: Sequence[Float[Tensor, "samples _"]],
) -> dict[int, Int[np.ndarray, " samples"]]:
    """Return the layers that are not constant by index, with the first copy of each sample."""
    num_samples = len(states[0])
    copies = {i: first_copies(layer) for i, layer in enumerate(states) if not is_constant(layer)}
    if not copies:
        raise TooFewSamplesError(
            f"No layer varies (samples: {num_samples}): measure on texts that differ."
        )
    # Samples alike at every layer are one text given often, and say nothing about a layer.
    num_texts = len(np.unique(np.stack(list(copies.values())), axis=1).T)
    fewest = (1 - MAX_SHARE_SET_ASIDE) * num_texts
    return {i: first for i, first in copies.items() if len(np.unique(first)) >= fewest}


def _series(
    layers: Sequence[_Neighborhoods], estimator: Estimator, first_layers: Sequence[int]
) -> DimensionSeries:
    """Fit all layers by one estimator, and take the increments from the layer before each."""
    fits = [layer.fit(estimator) for layer in layers]
    links = [layer.neighbors[:, : estimator.num_neighbors] for layer in layers]
    ends = [i for i in range(len(layers)) if i not in first_layers]
    return DimensionSeries(
        dimensions=tuple(fit.dimension for fit in fits),
        standard_errors=tuple(
            graph_standard_error(fit.influence, touched)
            for fit, touched in zip(fits, links, strict=True)
        ),
        increments=tuple(fits[i].dimension - fits[i - 1].dimension for i in ends),
        increment_standard_errors=tuple(
            graph_standard_error(
                fits[i].influence - fits[i - 1].influence, np.hstack([links[i], links[i - 1]])
            )
            for i in ends
        ),
    )
