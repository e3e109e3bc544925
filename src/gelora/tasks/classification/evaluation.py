"""Tokens, scores and metrics of texts with a class or a number each."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset, concatenate_datasets
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.hidden_states.batches import in_chunks, longest_first, padded_batch, token_limit
from gelora.hidden_states.forward import evaluation_mode
from gelora.hidden_states.tokens import text_tokens, warn_of_cut
from gelora.tasks.metrics import Metric, Scores, compute_metrics
from gelora.tasks.sharing import shared_map
from gelora.tasks.task_data import TaskData, labelled_validation

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import PeftModel

_TOKENIZE_ROWS = 1000


def tokenize(
    dataset: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int | None,
    named: str | None = None,
) -> Dataset:
    """Tokenise a split of `TaskData`, in memory.

    Args:
        dataset: The split.
        tokenizer: The model's own.
        max_length: Tokens at most, special ones and both texts of a pair together; None to cut
            nothing.
        named: Name of the split in the warning about cut texts; None for no warning.

    Returns:
        The tokenizer's columns (`input_ids`, `attention_mask`, for some `token_type_ids`), not
        padded, and `labels` unless unlabelled.

    Raises:
        ConfigError: The length leaves no room for text.

    Warns:
        SkippedRowsWarning: The split has a name, and some of its texts are cut.
    """
    parts: list[Dataset] = []
    cut = 0
    for start in range(0, len(dataset), _TOKENIZE_ROWS):
        rows: dict[str, list[Any]] = dataset[start : start + _TOKENIZE_ROWS]
        encoded, more = text_tokens(
            tokenizer, rows["text"], rows.get("text_pair"), limit=max_length
        )
        cut += more
        labels = {"labels": rows["label"]} if "label" in rows else {}
        parts.append(Dataset.from_dict({**encoded, **labels}))
    if named is not None:
        warn_of_cut(named, cut, len(dataset), max_length)
    return concatenate_datasets(parts)


def evaluate(
    model: "PreTrainedModel | PeftModel",
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    batch_size: int = 64,
    max_length: int | None = None,
) -> dict[str, Metric]:
    """Return the metrics of classes or numbers.

    Raises:
        DataError: As `compute_metrics`.

    Warns:
        SkippedRowsWarning: Some texts are cut.
    """
    validation = labelled_validation(data)
    scores = predict(
        model,
        tokenizer,
        validation,
        batch_size=batch_size,
        max_length=max_length,
        named=f"{data.name}, validation",
    )
    return compute_metrics(scores, np.asarray(validation["label"]), metrics=data.metrics)


def predict(
    model: "PreTrainedModel | PeftModel",
    tokenizer: PreTrainedTokenizerBase,
    dataset: "Dataset",
    *,
    batch_size: int = 64,
    max_length: int | None = None,
    named: str | None = None,
) -> Scores:
    """Return the model's scores (logits) of every text, in the dataset's order, as float32.

    One column per label, or one number per text where the model has a single output. Processes
    that were launched together all call, and share the batches.

    Args:
        model: With a head for labels.
        tokenizer: The model's own.
        dataset: Texts of `TaskData`, with or without labels.
        batch_size: Texts in one forward pass.
        max_length: Tokens after which a text is cut; the tokenizer's and the model's limits hold.
        named: As for `tokenize`, to warn of what is cut.
    """
    order, batches = length_sorted_batches(
        model, dataset, tokenizer, batch_size, max_length, named=named
    )

    def logits(batch: dict[str, Int[Tensor, "batch tokens"]]) -> Float[np.ndarray, "batch _"]:
        inputs = {name: tensor.to(model.device) for name, tensor in batch.items()}
        return model(**inputs).logits.float().cpu().numpy()

    with evaluation_mode(model):
        scores = np.concatenate(shared_map(logits, batches))[np.argsort(order)]
    return scores[:, 0] if scores.shape[1] == 1 else scores


def length_sorted_batches(
    model: nn.Module,
    dataset: "Dataset",
    tokenizer: PreTrainedTokenizerBase,
    batch_size: int,
    max_length: int | None,
    *,
    named: str | None = None,
) -> tuple[list[int], Iterator[dict[str, Int[Tensor, "batch tokens"]]]]:
    """Return the order of a dataset's rows, longest text first, and their batches in that order."""
    limit = token_limit(tokenizer, model, max_length)
    rows: list[Any] = tokenize(dataset, tokenizer, max_length=limit, named=named).to_list()
    order = longest_first(rows)
    chunks = in_chunks(order, batch_size)
    return order, (padded_batch([rows[row] for row in chunk], tokenizer) for chunk in chunks)
