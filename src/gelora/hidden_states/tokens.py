"""Texts as tokens, cut where a model reads no further, and how many texts were cut."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from transformers import PreTrainedTokenizerBase

from gelora.errors import ConfigError, SkippedRowsWarning


def text_tokens(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    *,
    limit: int | None,
) -> tuple[dict[str, list[list[int]]], int]:
    """Tokenise texts, or pairs of texts, without padding.

    Args:
        tokenizer: The model's own; it leaves as it came.
        texts: At least one.
        pairs: The second text of each pair; None for single texts.
        limit: Tokens at most, special ones and both texts of a pair together: these stay, and the
            longer text of a pair is cut first. None to cut nothing.

    Returns:
        The tokenizer's columns, always with an `attention_mask`; and how many texts were cut.

    Raises:
        ConfigError: The limit leaves no room for text.
    """
    num_special = tokenizer.num_special_tokens_to_add(pair=pairs is not None)
    if limit is not None and limit <= num_special:
        raise ConfigError(
            f"max_length {limit} leaves no room for text beside {num_special} special tokens."
        )

    def encode(rows: Sequence[int], **options: Any) -> dict[str, list[list[int]]]:
        second = None if pairs is None else [pairs[row] for row in rows]
        return dict(tokenizer([texts[row] for row in rows], second, **options))

    with left_as_it_came(tokenizer):
        columns = encode(
            range(len(texts)),
            truncation=limit is not None,
            max_length=limit,
            return_attention_mask=True,  # whatever the tokenizer gives by itself
        )
        # What was cut now has as many tokens as it may; not all that has was cut.
        full = [row for row, ids in enumerate(columns["input_ids"]) if len(ids) == limit]
        whole = encode(full, verbose=False)["input_ids"] if full else []
    return columns, sum(len(ids) != limit for ids in whole)


def warn_of_cut(where: str, cut: int, total: int, limit: int | None) -> None:
    """Warn of texts that are cut.

    Args:
        where: What the texts are, or are for.
        cut: So many of them are.
        total: The number of all.
        limit: In tokens.

    Warns:
        SkippedRowsWarning: There are some.
    """
    if cut:
        warnings.warn(
            f"{where}: {cut} of {total} texts are longer than {limit} tokens and are cut: raise "
            "--max_length if the model takes more.",
            SkippedRowsWarning,
            stacklevel=4,
        )


@contextmanager
def left_as_it_came(tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    """Undo what a call leaves in a fast tokenizer, which would be saved with it."""
    fast: Any = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        yield
        return
    truncation, padding = fast.truncation, fast.padding
    try:
        yield
    finally:
        fast.no_truncation() if truncation is None else fast.enable_truncation(**truncation)
        fast.no_padding() if padding is None else fast.enable_padding(**padding)
