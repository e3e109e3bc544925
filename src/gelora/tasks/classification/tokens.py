"""The texts of a split, or its pairs of texts, as tokens with their labels."""

from typing import Any

from datasets import Dataset, concatenate_datasets
from transformers import PreTrainedTokenizerBase

from gelora.hidden_states.tokens import text_tokens, warn_of_cut

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
            nothing. `batches.token_limit` says what the model takes.
        named: What the split is called where texts are cut; None not to tell.

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
