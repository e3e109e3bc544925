"""Headline metrics of resampled items, many draws at once.

A draw is how often each item was taken, which is the item's weight in the metric's formula.
Nothing here knows methods or seeds of runs.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from gelora.errors import ArtifactError
from gelora.lab.comparison.results import Reference
from gelora.tasks.metrics import FORMULAS, Items, Values, Weights, draw_chunks


def draw_items(num_items: int, *, draws: int, seed: int) -> Iterator[Weights]:
    """Yield how often each item is taken in each draw of as many items, some draws at a time."""
    generator = np.random.default_rng(seed)
    for chunk in draw_chunks(num_items, draws):
        size = chunk.stop - chunk.start
        taken = generator.multinomial(num_items, np.full(num_items, 1 / num_items), size=size)
        yield taken.astype(np.float64)


def weighted_metric(
    metric: str, predictions: Mapping[str, Sequence[float]], reference: Reference, weights: Weights
) -> Values:
    """Return a metric of every draw.

    Args:
        metric: Its name.
        predictions: The values of `Predictions`.
        reference: What they are scored by.
        weights: How often each item counts in each draw.

    Raises:
        ArtifactError: The predictions are not of as many items, or the metric is not known.
    """
    columns = {name: np.asarray(values, np.float64) for name, values in predictions.items()}
    num_items = weights.shape[1]
    lengths = {len(values) for values in columns.values()}
    if reference.labels:
        lengths.add(len(reference.labels))
    if lengths != {num_items}:
        raise ArtifactError(
            f"Predictions and labels have {sorted(lengths)} items where {num_items} are resampled: "
            "they are of different data; run the comparison again."
        )
    formulas = FORMULAS[reference.problem]
    if metric not in formulas:
        raise ArtifactError(
            f"{metric!r} of {reference.problem} cannot be resampled; known are "
            f"{', '.join(formulas)}."
        )
    items = Items(columns, np.asarray(reference.labels), reference.num_labels)
    return formulas[metric](items, weights)


def item_count(predictions: Mapping[str, Sequence[float]]) -> int:
    """Return how many items a run predicted."""
    return len(next(iter(predictions.values())))
