"""From texts to the batches that a model reads: draw, check, cut, tokenise, sort, pad.

Padding is done here, always on the right: real tokens then have the same positions in any batch,
in models that count positions without looking at the mask too. The tokenizer is not changed.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.errors import ConfigError, DataError
from gelora.hidden_states.architectures import find_backbone, input_embedding
from gelora.hidden_states.tokens import left_as_it_came, text_tokens, warn_of_cut
from gelora.settings import Count, checked


@runtime_checkable
class TokenSource(Protocol):
    """Texts that make their own tokens, as chats do by a template."""

    def __len__(self) -> int:
        """Count the texts."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """Yield the texts as JSON-able values, by which records tell them from others."""
        ...

    def tokens(self, tokenizer: PreTrainedTokenizerBase, rows: Sequence[int]) -> list[list[int]]:
        """Return the tokens of some of the texts, uncut."""
        ...


Texts = Sequence[str] | Sequence[tuple[str, str]] | TokenSource
Encoding = Mapping[str, list[int]]
"""One tokenised text: `input_ids`, `attention_mask` and, for some models, `token_type_ids`."""

# Tokenizers without a limit say 1e30.
NO_LIMIT = 10**9


def encode_texts(
    tokenizer: PreTrainedTokenizerBase | None,
    backbone: nn.Module,
    texts: Texts,
    *,
    num_samples: int,
    max_length: int | None,
    seed: int,
) -> list[Encoding]:
    """Draw texts without replacement and tokenise them without padding.

    Args:
        tokenizer: The model's own.
        backbone: Tells how many positions and tokens the model knows.
        texts: Single texts, pairs, or texts that make their own tokens.
        num_samples: Texts drawn at most.
        max_length: Tokens kept of each; the tokenizer's and the model's limits hold as well.
        seed: Chooses the texts and their order.

    Returns:
        One row per text drawn, in the order of the draw: the first n are the draw of n texts.

    Raises:
        ConfigError: There is no tokenizer, or the length leaves no room for text.
        DataError: The texts are none, not text, empty, or not in the model's vocabulary.

    Warns:
        SkippedRowsWarning: Some are longer than the limit.
    """
    if tokenizer is None:
        raise ConfigError(
            "Texts need the model's tokenizer, and tokenizer is None: give it, or give batches of "
            "the model's inputs instead of texts."
        )
    texts = _checked(texts)
    drawn = draw(len(texts), num_samples, seed)
    limit = token_limit(tokenizer, backbone, max_length)
    rows, cut = _rows(tokenizer, texts, drawn, limit)
    num_special = 0
    if not isinstance(texts, TokenSource):
        num_special = tokenizer.num_special_tokens_to_add(pair=not isinstance(texts[0], str))
    _check_rows(rows, drawn, num_special, vocabulary=len(input_embedding(backbone)))
    warn_of_cut("Measuring", cut, len(rows), limit)
    return rows


def draw(num_rows: int, num_samples: int, seed: int) -> list[int]:
    """Return the indices of the texts or samples to measure, in random order."""
    return np.random.default_rng(seed).permutation(num_rows)[:num_samples].tolist()


def token_lengths(tokenizer: PreTrainedTokenizerBase, texts: Texts) -> Int[np.ndarray, " texts"]:
    """Return the number of tokens of every text, special ones included, with nothing cut.

    Args:
        tokenizer: The model's own.
        texts: As for `encode_texts`.

    Raises:
        DataError: The texts are none, or not text.
    """
    texts = _checked(texts)
    rows, _ = _rows(tokenizer, texts, range(len(texts)), None)
    return np.array([len(row["input_ids"]) for row in rows])


def token_limit(
    tokenizer: PreTrainedTokenizerBase, model: nn.Module, max_length: int | None
) -> int | None:
    """Return the tokens kept of each text, the same for measuring, training and evaluating.

    Args:
        tokenizer: The model's own; its limit holds.
        model: With or without a head or adapters; the positions it has hold.
        max_length: The user's limit, None for none.

    Returns:
        The least of the three, None where none of them says anything.

    Raises:
        ConfigError: `max_length` is no whole number of 1 or more.
    """
    if max_length is not None:
        max_length = checked("max_length", max_length, Count)
    limit = min(max_length or math.inf, tokenizer.model_max_length, _position_limit(model))
    return int(limit) if limit < NO_LIMIT else None


def longest_first(rows: Sequence[Encoding]) -> list[int]:
    """Return the indices of the rows, the longest first.

    What does not fit in memory then fails at once, and like lengths leave little to pad.
    """
    return sorted(range(len(rows)), key=lambda i: -len(rows[i]["input_ids"]))


def in_chunks(items: Sequence[int], size: int) -> list[Sequence[int]]:
    """Return the items in their order, `size` at a time, the last of them fewer.

    >>> in_chunks([3, 1, 2], 2)
    [[3, 1], [2]]
    """
    return [items[start : start + size] for start in range(0, len(items), size)]


def chunks_by_length(rows: Sequence[Encoding], max_tokens: int) -> list[list[int]]:
    """Return the indices of every batch's rows, the longest first.

    Args:
        rows: Of any length.
        max_tokens: Of a batch, padding too; a longer row is a batch of its own.
    """
    chunks: list[list[int]] = []
    room = 0
    for i in longest_first(rows):
        if room == 0:
            chunks.append([])
            room = max(max_tokens // len(rows[i]["input_ids"]), 1)
        chunks[-1].append(i)
        room -= 1
    return chunks


def padded_batch(
    rows: Sequence[Encoding], tokenizer: PreTrainedTokenizerBase
) -> dict[str, Int[Tensor, "batch tokens"]]:
    """Pad rows to the longest of them, on the right."""
    longest = max(len(row["input_ids"]) for row in rows)
    padding = _padding(tokenizer)
    return {
        name: torch.tensor([row[name] + [fill] * (longest - len(row[name])) for row in rows])
        for name, fill in padding.items()
        if name in rows[0]
    }


def _rows(
    tokenizer: PreTrainedTokenizerBase,
    texts: TokenSource | list[Any],
    chosen: Sequence[int],
    limit: int | None,
) -> tuple[list[Encoding], int]:
    """Tokenise the chosen texts, keep their beginnings, and say how many are cut."""
    if isinstance(texts, TokenSource):
        with left_as_it_came(tokenizer):
            whole = texts.tokens(tokenizer, chosen)
        kept = [tokens[:limit] for tokens in whole]
        cut = sum(len(ids) > (limit or math.inf) for ids in whole)
        return [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in kept], cut
    drawn = [texts[i] for i in chosen]
    firsts, seconds = (drawn, None) if isinstance(drawn[0], str) else zip(*drawn, strict=True)
    encoded, cut = text_tokens(tokenizer, firsts, seconds, limit=limit)
    names = [name for name in _padding(tokenizer) if name in encoded]
    columns = [encoded[name] for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)], cut


def _padding(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Return what each column is padded with; without a pad token any masked one will do."""
    candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    token = next(candidate for candidate in candidates if isinstance(candidate, int))
    types = tokenizer.pad_token_type_id
    return {"input_ids": token, "attention_mask": 0, "token_type_ids": types}


def _checked(texts: Texts) -> TokenSource | list[Any]:
    """Return the texts, as a list whatever holds them (a column of a table, say)."""
    if isinstance(texts, str):
        raise DataError("texts must be a sequence of texts. Got one text: put it in a list.")
    rows = texts if isinstance(texts, TokenSource) else list(texts)
    if not len(rows):
        raise DataError("There are no texts to measure.")
    if isinstance(rows, TokenSource):
        return rows
    kinds = [_kind(row) for row in rows]
    expected = kinds[0] or "pair of strings"
    wrong = [i for i, kind in enumerate(kinds) if kind != expected]
    if wrong:
        raise DataError(
            f"{len(wrong)} of {len(rows)} texts are no {expected}, the first at index {wrong[0]}: "
            f"{rows[wrong[0]]!r}. Give texts that are all strings or all pairs of strings, and "
            "chats as gelora.Chats(chats)."
        )
    return rows


def _kind(text: object) -> str | None:
    """Say what one text is, if it is any that can be measured."""
    match text:
        case str():
            return "string"
        case [str(), str()]:
            return "pair of strings"
        case _:
            return None


def _position_limit(model: nn.Module) -> float:
    """Return how many tokens the model has positions for, infinity where it says nothing."""
    backbone = find_backbone(model)
    for path, module in backbone.named_modules():
        if path.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # RoBERTa and its kin begin after the padding's index.
            skipped = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - skipped
    if not isinstance(backbone, PreTrainedModel):
        return math.inf
    config = backbone.config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None) or math.inf
    return limit if limit > 0 else math.inf  # XLNet says -1 for none


def _check_rows(
    rows: Sequence[Encoding], drawn: Sequence[int], num_special: int, *, vocabulary: int
) -> None:
    empty = [i for i, row in zip(drawn, rows, strict=True) if len(row["input_ids"]) <= num_special]
    if empty:
        raise DataError(
            f"{len(empty)} of {len(rows)} texts drawn are empty, the first at index {min(empty)}: "
            "leave them out."
        )
    highest = {i: max(row["input_ids"]) for i, row in zip(drawn, rows, strict=True)}
    unknown = [i for i, token in highest.items() if token >= vocabulary]
    if unknown:
        raise DataError(
            f"The tokenizer gives token {highest[min(unknown)]} for the text at index "
            f"{min(unknown)}, and the model knows {vocabulary} tokens: it is not this model's "
            "tokenizer, or the model's embeddings were not resized."
        )
