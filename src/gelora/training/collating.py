"""Put tokenised rows together as batches of a Trainer, padded as in measuring and evaluating."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from gelora.hidden_states.batches import padded_batch

Collator = Callable[[list[Any]], dict[str, Tensor]]


def collator(tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]) -> Collator:
    """Return what makes a batch: padded on the right, so that positions stay where they are.

    Args:
        tokenizer: Says what to pad with.
        labels: The columns that hold one number for each row.
    """

    def collate(rows: list[Any]) -> dict[str, Tensor]:
        numbers = {name: torch.tensor([row[name] for row in rows]) for name in labels}
        return {**padded_batch(rows, tokenizer), **numbers}

    return collate
