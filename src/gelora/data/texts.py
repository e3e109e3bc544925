"""The texts of a split as they are, and as tokens."""

from typing import Any

from datasets import Dataset, concatenate_datasets
from transformers import PreTrainedTokenizerBase

from gelora.model.batches import Texts

_TOKENIZE_ROWS = 1000


def texts_of(dataset: Dataset) -> Texts:
    """Return the texts of a split of `TaskData`, the pairs, or the prompts with completions."""
    if "completion" in dataset.column_names:
        return dataset.select_columns(["prompt", "completion"]).to_list()
    texts = list(dataset["text"])
    if "text_pair" not in dataset.column_names:
        return texts
    return list(zip(texts, dataset["text_pair"], strict=True))


def tokenize(
    dataset: Dataset, tokenizer: PreTrainedTokenizerBase, *, max_length: int | None
) -> Dataset:
    """Tokenise a split of `TaskData`, in memory.

    Args:
        dataset: The split.
        tokenizer: The model's own.
        max_length: Tokens at most, special ones and both texts of a pair together; None to cut
            nothing. `batches.token_limit` says what the model takes.

    Returns:
        The tokenizer's columns (`input_ids`, `attention_mask`, for some `token_type_ids`), not
        padded, and `labels` unless unlabelled.
    """
    parts: list[Dataset] = []
    for start in range(0, len(dataset), _TOKENIZE_ROWS):
        rows: dict[str, list[Any]] = dataset[start : start + _TOKENIZE_ROWS]
        pairs = rows.get("text_pair")
        cut = {"truncation": max_length is not None, "max_length": max_length}
        encoded = tokenizer(rows["text"], pairs, **cut, return_attention_mask=True)
        labels = {"labels": rows["label"]} if "label" in rows else {}
        parts.append(Dataset.from_dict({**encoded, **labels}))
    return concatenate_datasets(parts)
