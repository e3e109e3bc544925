"""The log-probability that a model with a head gives to the labels of one sample.

It is computed from the head's scores. Losses of models have different scales: some are means over
tokens, some over the two ends of a span.
"""

from collections.abc import Mapping

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


def log_likelihood(model: nn.Module, sample: Mapping[str, Tensor]) -> Float[Tensor, ""]:
    """Return log p(y|x) of one sample, in float32 or better, with its graph.

    - One class of several: its log-probability.
    - The span of an answer: the sum of its start's and its end's.
    - A language model: the sum over the tokens that carry loss, each given those before it.
    - A number: that of a Gaussian of unit variance about the model's output, but for its constant.

    Args:
        model: With a head, and an adapter or none.
        sample: What the model takes, of one row, with `labels`, or `start_positions` and
            `end_positions`, as its own loss takes them.

    Raises:
        DataError: There is more than one row, or there are no labels, or none of these kinds.
    """
    labels = {name: sample[name] for name in LABELS if name in sample}
    inputs = {name: values for name, values in sample.items() if name not in LABELS}
    rows = {len(values) for values in sample.values()}
    if rows != {1}:
        raise DataError(f"A batch must hold one sample. Got {max(rows, default=0)} rows.")
    if not labels:
        raise DataError(
            f"A sample has no {' nor '.join(LABELS)} among {', '.join(sample)}: the Fisher "
            "information is of labelled data."
        )
    output = model(**inputs)
    if "labels" not in labels:
        ends = zip((output.start_logits, output.end_logits), SPAN, strict=True)
        return torch.stack([_of_classes(scores, labels[name]) for scores, name in ends]).sum()
    target, scores = labels["labels"], output.logits
    if scores.ndim == 3 and target.ndim == 2:
        return _of_tokens(model, scores, target)
    if scores.shape == (1, 1):
        return -((_precise(scores)[0] - target) ** 2).sum() / 2
    if scores.ndim == 2 and target.shape == (1,) and not target.is_floating_point():
        return _of_classes(scores, target)
    raise DataError(
        f"Labels of shape {tuple(target.shape)} and type {target.dtype} for scores of shape "
        f"{tuple(scores.shape)} are neither a class nor a number."
    )


def _of_tokens(
    model: nn.Module, scores: Float[Tensor, "1 tokens vocabulary"], target: Tensor
) -> Tensor:
    bare = without_wrapper(model)
    writes = isinstance(bare, PreTrainedModel) and bare.get_output_embeddings() is not None
    if not (writes and find_architecture(model).is_causal):
        raise DataError(
            f"Labels for every token are understood of causal language models alone. Got a "
            f"{type(bare).__name__}."
        )
    following = target[0, 1:]
    if (following == NO_LABEL).all():
        raise DataError(
            f"None of a sample's {target.shape[1]} tokens carries loss: leave such samples out."
        )
    return _of_classes(scores[0, :-1], following)


def _of_classes(scores: Float[Tensor, "rows classes"], target: Tensor) -> Tensor:
    return -cross_entropy(_precise(scores), target, reduction="sum", ignore_index=NO_LABEL)


def _precise(scores: Tensor) -> Tensor:
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
