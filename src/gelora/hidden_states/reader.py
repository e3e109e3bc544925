"""Read texts through the model into the store: in parts, and each distinct text once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

from torch import nn
from torch.distributed import ProcessGroup
from tqdm.std import tqdm
from transformers import PreTrainedTokenizerBase

from gelora.hidden_states.activations import pooled_states
from gelora.hidden_states.batches import Encoding, chunks_by_length, padded_batch
from gelora.hidden_states.processes import rank_in, shares
from gelora.hidden_states.store import HiddenStatesRecord, HiddenStatesStore
from gelora.settings import Pooling


@dataclass(frozen=True)
class Reader:
    """A model, and the texts that it is to read.

    Attributes:
        model: With or without a head.
        tokenizer: The model's own.
        drawn: All texts, tokenised, in the order in which they are read.
        batch_tokens: Tokens per batch at most, padding too.
        store: Where the states go.
        group: Processes that share the batches.
        bar: Shows how many texts have passed.
    """

    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    drawn: Sequence[Encoding]
    batch_tokens: int
    store: HiddenStatesStore
    group: ProcessGroup | None
    bar: "tqdm[Any]"

    @cached_property
    def _distinct(self) -> dict[tuple[int, ...], int]:
        """The place in the draw of every text that is no copy of one before it, ascending."""
        places: dict[tuple[int, ...], int] = {}
        for place, row in enumerate(self.drawn):
            places.setdefault(tuple(row["input_ids"]), place)
        return places

    def read(self, num_texts: int, before: HiddenStatesRecord) -> HiddenStatesRecord:
        """Read on until this many texts of the draw are in the store, copies counted.

        Args:
            num_texts: So many of the draw, from its beginning.
            before: What was read so far.

        Returns:
            What has been read now.
        """
        places = [place for place in self._distinct.values() if place < num_texts]
        rows = [self.drawn[place] for place in places[before.num_rows :]]
        chunks = chunks_by_length(rows, self.batch_tokens)
        dealt = shares(chunks, self.group)
        mine = dealt[rank_in(self.group)]
        pooled = pooled_states(
            self.model,
            (padded_batch([rows[i] for i in chunk], self.tokenizer) for chunk in mine),
            pooling=cast("Pooling", before.settings.pooling),  # chosen by now
            granularity=before.settings.granularity,
            states=before.settings.states,
        )
        for chunk, layers in zip(mine, pooled, strict=True):
            self.store.write([before.num_rows + i for i in chunk], layers)
            self.bar.update(len(chunk))
        self.store.exchange([[before.num_rows + i for c in share for i in c] for share in dealt])
        self.bar.update(len(places) - self.bar.n)  # what others read
        tokens = sum(len(chunk) * len(rows[chunk[0]]["input_ids"]) for chunk in chunks)
        return replace(
            before,
            num_texts=num_texts,
            num_copies=num_texts - len(places),
            num_rows=len(places),
            forward_tokens=before.forward_tokens + tokens,
        )
