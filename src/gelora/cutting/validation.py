"""Validation losses of an adapter that is cut in the model's memory, and the smallest good one."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from jaxtyping import Float
from peft import PeftModel
from torch import Tensor

from gelora.cutting.directions import Directions, cut_factors
from gelora.cutting.layers import live_factors
from gelora.cutting.order import CutOrder
from gelora.cutting.record import CutPoint
from gelora.errors import DataError
from gelora.exports.saved import Factors
from gelora.hidden_states.forward import evaluation_mode
from gelora.likelihood import row_losses

logger = logging.getLogger(__name__)

Batch = Mapping[str, Tensor]
Losses = Float[np.ndarray, " rows"]
RowScores = Callable[[PeftModel, Batch], Float[Tensor, " rows"]]


class CutValidation:
    """Measures the loss of an adapter with other ranks on the same rows, each set of ranks once.

    Args:
        model: With the uncut adapter; its weights are as before after each measurement.
        batches: Labelled rows. They are read once and kept, so that every measurement has the same.
        directions: Directions of every adapted module.
        score_rows: The loss of every row of a batch; None for what `row_losses` says.
        adapter_name: Which of the model's adapters.

    Raises:
        DataError: There are no rows, or the uncut adapter's loss of one is not finite.
    """

    def __init__(
        self,
        model: PeftModel,
        batches: Iterable[Batch],
        directions: Mapping[str, Directions],
        *,
        score_rows: RowScores | None = None,
        adapter_name: str = "default",
    ) -> None:
        self._model = model
        self._batches = list(batches)
        self._directions = directions
        self._score_rows = score_rows
        self._adapter_name = adapter_name
        self._points: dict[tuple[int, ...], CutPoint] = {}
        self._uncut = self._measure()
        if not len(self._uncut) or not np.isfinite(self._uncut).all():
            raise DataError(
                f"The validation losses of {len(self._uncut)} rows are not all finite, or there "
                "are none: give labelled validation rows, and a model in float32."
            )

    @property
    def num_rows(self) -> int:
        """Rows that losses are means over."""
        return len(self._uncut)

    def point(self, ranks: Mapping[str, int]) -> CutPoint:
        """Return the loss of the adapter with these ranks, beside the uncut adapter's."""
        key = tuple(ranks[name] for name in sorted(ranks))
        if key not in self._points:
            with _with_ranks(self._model, self._directions, ranks, self._adapter_name):
                losses = self._measure()
            self._points[key] = point = paired_point(self._parameters(ranks), losses, self._uncut)
            logger.info(
                "%s parameters: validation loss %.4f, %+.4f ± %.4f",
                f"{point.parameters:,}",
                point.loss,
                point.difference,
                point.standard_error,
            )
        return self._points[key]

    def curve(self) -> tuple[CutPoint, ...]:
        """Return all points that were measured, by ascending parameters; the uncut one is last."""
        ranks = {n: len(part.reduce) for n, part in self._directions.items()}
        whole = self._parameters(ranks)
        points = {point.parameters: point for point in self._points.values()}
        points[whole] = CutPoint(whole, float(self._uncut.mean()), 0.0, 0.0)
        return tuple(points[parameters] for parameters in sorted(points))

    def _parameters(self, ranks: Mapping[str, int]) -> int:
        factors = live_factors(self._model, self._adapter_name)
        return sum(factors[name].cost * rank for name, rank in ranks.items())

    def _measure(self) -> Losses:
        return measure_rows(self._model, self._batches, self._score_rows)


def measure_rows(
    model: PeftModel, batches: Iterable[Batch], score_rows: RowScores | None = None
) -> Losses:
    """Return the loss of every row, in the order of the batches.

    Args:
        model: With its adapter and head.
        batches: Labelled rows.
        score_rows: The loss of every row of a batch; None for what `row_losses` says.
    """
    score_rows = score_rows or _losses
    with evaluation_mode(model):
        scores = [
            score_rows(model, {name: values.to(model.device) for name, values in batch.items()})
            for batch in batches
        ]
    return np.concatenate([s.double().cpu().numpy() for s in scores] or [np.empty(0)])


def paired_point(parameters: int, losses: Losses, uncut: Losses) -> CutPoint:
    """Return the mean loss, and its difference from the uncut adapter's on the same rows.

    Args:
        parameters: Parameters of the adapter's factors.
        losses: Of every row.
        uncut: The uncut adapter's, of the same rows.
    """
    differences = losses - uncut
    spread = differences.std(ddof=1) if len(losses) > 1 else 0.0
    return CutPoint(
        parameters=parameters,
        loss=float(losses.mean()),
        difference=float(differences.mean()),
        standard_error=float(spread / math.sqrt(len(losses))),
    )


def measure_curve(order: CutOrder, validation: CutValidation) -> None:
    """Measure adapters with half of the directions, a quarter, and so on, and with none."""
    for count in [*_halvings(len(order))[1:], 0]:
        validation.point(order.ranks(count))


def smallest_within(order: CutOrder, validation: CutValidation, tolerance: float) -> int:
    """Return the smallest number of directions whose loss is no more than the tolerance higher.

    The number is halved until the loss is too high, and then bisected, as if the loss never fell
    when a direction is dropped.
    """

    def is_good(count: int) -> bool:
        return validation.point(order.ranks(count)).difference <= tolerance

    good, bad = len(order), 0
    for count in _halvings(len(order))[1:]:
        if not is_good(count):
            bad = count
            break
        good = count
    while good - bad > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if is_good(middle) else (good, middle)
    return good


def _halvings(count: int) -> list[int]:
    return [count >> shift for shift in range(count.bit_length())]


def _losses(model: PeftModel, batch: Batch) -> Float[Tensor, " rows"]:
    return row_losses(model, batch).losses


@contextmanager
def _with_ranks(
    model: PeftModel,
    directions: Mapping[str, Directions],
    ranks: Mapping[str, int],
    adapter_name: str,
) -> Iterator[None]:
    """Give the model's factors lower ranks, padded with zeros, and their own values back."""
    live = live_factors(model, adapter_name)
    before = {name: Factors(f.a.clone(), f.b.clone(), f.scale) for name, f in live.items()}
    try:
        for name, factors in live.items():
            kept = cut_factors(before[name].cpu(), directions[name], ranks[name])
            factors.a.zero_()[: ranks[name]] = kept.a.to(factors.a.device)
            factors.b.zero_()[:, : ranks[name]] = kept.b.to(factors.b.device)
        yield
    finally:
        for name, factors in live.items():
            factors.a.copy_(before[name].a)
            factors.b.copy_(before[name].b)
