"""Evaluate a causal model by the perplexity of held-out completions.

Each token of a completion counts once, given its prompt and the tokens before it. The model is not
changed.
"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.errors import DataError, SkippedRowsWarning
from gelora.hidden_states.batches import chunks_by_length, in_chunks, padded_batch, token_limit
from gelora.hidden_states.forward import evaluation_mode
from gelora.tasks.instruction_tuning.chats import (
    TokenizedExample,
    count_lengths,
    tokenize_examples,
)
from gelora.tasks.metrics import Metric
from gelora.tasks.sharing import shared_map
from gelora.tasks.task_data import TaskData, labelled_validation

if TYPE_CHECKING:
    from peft import PeftModel

_MAX_LOSS = 500
"""Largest loss per token that is taken as a number; exp of 710 overflows float64."""
_MAX_LOGITS = 2**26
"""Logits of one forward pass: 256 MB of float32."""


def evaluate(
    model: "PreTrainedModel | PeftModel",
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    batch_size: int = 64,
    max_length: int | None = None,
) -> dict[str, Metric]:
    """Return the perplexity of the validation split's completions.

    Raises:
        ConfigError: The tokenizer has no chat template for messages, or no end-of-text token.
        DataError: There are fewer than two examples, or the model's scores are not finite.

    Warns:
        SkippedRowsWarning: Some examples are longer than the limit, or have no completion.
    """
    losses, tokens = validation_losses(
        model, tokenizer, data, batch_size=batch_size, max_length=max_length
    )
    return {"perplexity": perplexity(losses, tokens)}


def validation_losses(
    model: "PreTrainedModel | PeftModel",
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    batch_size: int = 64,
    max_length: int | None = None,
) -> tuple[Float[np.ndarray, " samples"], Int[np.ndarray, " samples"]]:
    """Return the summed loss of every completion, and the number of its tokens.

    Raises:
        As `evaluate`, which also warns of what is cut.
    """
    validation = labelled_validation(data)
    limit = token_limit(tokenizer, model, max_length)
    examples = tokenize_examples(validation, tokenizer)
    counts = count_lengths(examples, limit)
    if counts.cut or counts.empty:
        warnings.warn(f"{data.name}, validation: {counts}.", SkippedRowsWarning, stacklevel=4)
    kept = [example for example in (e.cut(limit) for e in examples) if example.num_predicted]
    losses = completion_losses(model, tokenizer, kept, batch_size=batch_size)
    return losses, np.array([example.num_predicted for example in kept], dtype=np.int64)


def perplexity(
    losses: Float[np.ndarray, " samples"], tokens: Int[np.ndarray, " samples"]
) -> Metric:
    """Return exp of the mean loss per token over all texts, with its standard error.

    The error is that of a ratio of two sums over texts, by the delta method: texts are drawn, not
    tokens, and those of one text resemble each other (Cochran, Sampling Techniques, 1977, 2.11).

    Args:
        losses: The sum of -log of the probability of each token, for each text.
        tokens: The number of tokens of each text.

    Raises:
        DataError: There are fewer than two texts, or a loss is not finite or beyond all bounds.

    >>> metric = perplexity(np.log([2.0, 8.0]), np.array([1, 1]))
    >>> round(metric.value, 6), round(metric.standard_error, 6), metric.num_samples
    (4.0, 2.772589, 2)
    """
    num_samples = len(losses)
    if num_samples < 2:
        raise DataError(
            f"Perplexity needs at least 2 examples with completions, got {num_samples}."
        )
    unusable = int(np.sum(~(losses < _MAX_LOSS * tokens)))
    if unusable:
        raise DataError(
            f"{unusable} of {num_samples} losses are NaN or above {_MAX_LOSS} a token: training "
            "diverged or half precision overflowed; lower the learning rate or use float32."
        )
    total = int(tokens.sum())
    mean = float(losses.sum() / total)
    residuals = losses - mean * tokens
    variance = float(residuals @ residuals) * num_samples / (num_samples - 1) / total**2
    value = float(np.exp(mean))
    return Metric(value, value * variance**0.5, num_samples)


def completion_losses(
    model: "PreTrainedModel | PeftModel",
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[TokenizedExample],
    *,
    batch_size: int,
) -> Float[np.ndarray, " samples"]:
    """Return the summed loss of every example's completion, in their order, as float64.

    Args:
        model: A causal language model.
        tokenizer: Its own.
        examples: Each with a completion.
        batch_size: Examples in one forward pass at most; fewer where the scores of all their
            tokens would take more than 256 MB.
    """
    rows = [{"input_ids": e.tokens, "attention_mask": [1] * len(e.tokens)} for e in examples]
    max_tokens = _MAX_LOGITS // model.config.get_text_config().vocab_size
    batches = [
        batch
        for chunk in chunks_by_length(rows, max_tokens)
        for batch in in_chunks(chunk, batch_size)
    ]

    def batch_losses(batch: Sequence[int]) -> list[float]:
        inputs = padded_batch([rows[row] for row in batch], tokenizer)
        logits = model(**{name: tensor.to(model.device) for name, tensor in inputs.items()}).logits
        # One column for every token but the first, which nothing predicts.
        by_token = torch.nn.functional.cross_entropy(
            logits[:, :-1].transpose(1, 2).float(),
            inputs["input_ids"][:, 1:].to(logits.device),
            reduction="none",
        )
        by_token = by_token.cpu().double()
        sums: list[float] = []
        for losses, example in zip(by_token, (examples[row] for row in batch), strict=True):
            start = max(example.completion_start, 1)
            sums.append(losses[start - 1 : len(example.tokens) - 1].sum().item())
        return sums

    losses = np.zeros(len(examples))
    with evaluation_mode(model):
        for batch, values in zip(batches, shared_map(batch_losses, batches), strict=True):
            losses[batch] = values
    return losses
