"""The loss of every row of a batch, for models with any head that a Trainer of ours trains.

It is computed from the head's scores, because a model's own loss is one mean over the batch.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from gelora.errors import DataError
from gelora.hidden_states.architectures import find_architecture
from gelora.hidden_states.module_tree import without_wrapper

SPAN = ("start_positions", "end_positions")
LABELS = ("labels", *SPAN)

NO_LABEL = -100
"""Label of a token that carries no loss."""


class RowLosses(NamedTuple):
    """The losses of a batch's rows, with their graph, in float32 or better.

    Attributes:
        losses: Means over a row's terms, as the model's own loss of that row alone: cross-entropy
            of classes, of the two ends of a span among real tokens, or of tokens; squared error of
            a number.
        terms: Number of terms of each row; losses times terms are -log p(y|x), but for a constant.
            Of a number it is 1/2, for a Gaussian of unit variance.
    """

    losses: Float[Tensor, " rows"]
    terms: Float[Tensor, " rows"]


def row_losses(model: nn.Module, batch: Mapping[str, Tensor]) -> RowLosses:
    """Return the loss of every row of a batch.

    Args:
        model: With a head, and an adapter or none.
        batch: What the model takes, with `labels`, or `start_positions` and `end_positions`, as
            its own loss takes them.

    Raises:
        DataError: There are no labels, or none of a known kind.
    """
    labels = {name: batch[name] for name in LABELS if name in batch}
    if not labels:
        raise DataError(
            f"A batch has no {' nor '.join(LABELS)} among {', '.join(batch)}: a loss needs labels."
        )
    output = model(**{name: values for name, values in batch.items() if name not in LABELS})
    if "labels" not in labels:
        ends = zip((output.start_logits, output.end_logits), SPAN, strict=True)
        is_padding = batch.get("attention_mask", torch.ones_like(batch["input_ids"])) == 0
        losses = [
            _of_classes(scores.masked_fill(is_padding, -torch.inf), labels[name])
            for scores, name in ends
        ]
        return _mean(torch.stack(losses, dim=1))
    target, scores = labels["labels"], output.logits
    if scores.ndim == 3 and target.ndim == 2:
        return _of_tokens(model, scores, target)
    if scores.ndim == 2 and target.shape == scores.shape[:1]:
        if scores.shape[1] == 1:
            errors = (_precise(scores)[:, 0] - target) ** 2
            return RowLosses(errors, torch.full_like(errors, 0.5))
        if not target.is_floating_point():
            return _mean(_of_classes(scores, target)[:, None])
    raise DataError(
        f"Labels of shape {tuple(target.shape)} and type {target.dtype} for scores of shape "
        f"{tuple(scores.shape)} are neither classes nor numbers."
    )


def log_likelihood(model: nn.Module, sample: Mapping[str, Tensor]) -> Float[Tensor, ""]:
    """Return log p(y|x) of one sample, in float32 or better, with its graph.

    - One class of several: its log-probability.
    - The span of an answer: the sum of its start's and its end's.
    - A language model: the sum over the tokens that carry loss, each given those before it.
    - A number: that of a Gaussian of unit variance about the model's output, but for its constant.

    Args:
        model: With a head, and an adapter or none.
        sample: As for `row_losses`, of one row.

    Raises:
        DataError: There is more than one row, or as `row_losses`.
    """
    rows = {len(values) for values in sample.values()}
    if rows != {1}:
        raise DataError(f"A batch must hold one sample. Got {max(rows, default=0)} rows.")
    losses, terms = row_losses(model, sample)
    return -(losses * terms).sum()


def _of_tokens(
    model: nn.Module,
    scores: Float[Tensor, "rows tokens vocabulary"],
    target: Tensor,
) -> RowLosses:
    bare = without_wrapper(model)
    writes = isinstance(bare, PreTrainedModel) and bare.get_output_embeddings() is not None
    if not (writes and find_architecture(model).is_causal):
        raise DataError(
            "Labels for every token are understood of causal language models alone. Got a "
            f"{type(bare).__name__}."
        )
    following = target[:, 1:]
    carries = following != NO_LABEL
    if not carries.any(dim=1).all():
        row = int((~carries.any(dim=1)).nonzero()[0])
        raise DataError(
            f"None of the {target.shape[1]} tokens of row {row} of a batch carries loss: leave "
            "such rows out."
        )
    losses = _of_classes(scores[:, :-1].transpose(1, 2), following)
    terms = carries.sum(dim=1).to(losses.dtype)
    return RowLosses(losses.sum(dim=1) / terms, terms)


def _mean(losses: Float[Tensor, "rows terms"]) -> RowLosses:
    return RowLosses(losses.mean(dim=1), torch.full_like(losses[:, 0], losses.shape[1]))


def _of_classes(scores: Tensor, target: Tensor) -> Tensor:
    return cross_entropy(_precise(scores), target, reduction="none", ignore_index=NO_LABEL)


def _precise(scores: Tensor) -> Tensor:
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
