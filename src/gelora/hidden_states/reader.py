"""Read texts or other inputs through the model into the store: in parts, and each distinct once."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, cast

from torch import Tensor, nn
from torch.distributed import ProcessGroup
from tqdm.std import tqdm
from transformers import PreTrainedTokenizerBase

from gelora.hidden_states.activations import pooled_states
from gelora.hidden_states.batches import Encoding, chunks_by_length, padded_batch
from gelora.hidden_states.processes import rank_in, shares, total
from gelora.hidden_states.store import HiddenStatesRecord, HiddenStatesStore
from gelora.settings import Pooling


class Drawn(Protocol):
    """Samples in the order in which they were drawn: texts, or a model's inputs."""

    @property
    def keys(self) -> Sequence[Hashable]:
        """One key per sample, equal for copies."""
        ...

    @property
    def data(self) -> Mapping[str, Any]:
        """What the profile records of the data."""
        ...

    @property
    def first(self) -> Mapping[str, Tensor]:
        """A batch of one sample, to try the model on."""
        ...

    def chunks(self, places: Sequence[int]) -> Sequence[Sequence[int]]:
        """Return the places of every batch, from those of all samples to measure."""
        ...

    def batches(self, chunks: Sequence[Sequence[int]]) -> Iterator[Mapping[str, Tensor]]:
        """Yield the inputs of some of the batches, in order."""
        ...


class DrawnTexts:
    """Texts drawn and tokenised; see `Drawn`."""

    def __init__(
        self, rows: Sequence[Encoding], tokenizer: PreTrainedTokenizerBase, batch_tokens: int
    ) -> None:
        self._rows, self._tokenizer, self._batch_tokens = rows, tokenizer, batch_tokens
        self.keys = [tuple(row["input_ids"]) for row in rows]
        self.data: dict[str, Any] = {}  # the caller knows where the texts are from
        self.first: dict[str, Tensor] = padded_batch(rows[:1], tokenizer)

    def chunks(self, places: Sequence[int]) -> list[list[int]]:
        """Return batches of like lengths, the longest first."""
        chunks = chunks_by_length([self._rows[place] for place in places], self._batch_tokens)
        return [[places[i] for i in chunk] for chunk in chunks]

    def batches(self, chunks: Sequence[Sequence[int]]) -> Iterator[dict[str, Tensor]]:
        """Yield the padded tokens of each chunk."""
        for chunk in chunks:
            yield padded_batch([self._rows[place] for place in chunk], self._tokenizer)


@dataclass(frozen=True)
class Reader:
    """A model, and the samples that it reads.

    Attributes:
        model: With or without a head.
        drawn: All samples.
        store: Where the states go.
        group: Processes that share the batches.
        bar: Shows how many samples have passed.
    """

    model: nn.Module
    drawn: Drawn
    store: HiddenStatesStore
    group: ProcessGroup | None
    bar: "tqdm[Any]"

    @cached_property
    def _distinct(self) -> list[int]:
        """Places in the draw of the samples that are no copies of an earlier one, ascending."""
        places: dict[Hashable, int] = {}
        for place, key in enumerate(self.drawn.keys):
            places.setdefault(key, place)
        return list(places.values())

    def read(self, num_texts: int, before: HiddenStatesRecord) -> HiddenStatesRecord:
        """Read on until this many samples of the draw are in the store, copies counted.

        Args:
            num_texts: So many of the draw, from its beginning.
            before: What was read so far.

        Returns:
            What has been read now.
        """
        places = [place for place in self._distinct if place < num_texts]
        row_of = {place: row for row, place in enumerate(places)}
        dealt = shares(self.drawn.chunks(places[before.num_rows :]), self.group)
        mine = dealt[rank_in(self.group)]
        pooled = pooled_states(
            self.model,
            self.drawn.batches(mine),
            pooling=cast("Pooling", before.settings.pooling),  # chosen by now
            granularity=before.settings.granularity,
            states=before.settings.states,
        )
        num_tokens = 0
        for chunk, batch in zip(mine, pooled, strict=True):
            self.store.write([row_of[place] for place in chunk], batch.layers)
            self.bar.update(len(chunk))
            num_tokens += batch.num_tokens
        self.store.exchange([[row_of[p] for chunk in share for p in chunk] for share in dealt])
        self.bar.update(len(places) - self.bar.n)  # what others read
        return replace(
            before,
            num_texts=num_texts,
            num_copies=num_texts - len(places),
            num_rows=len(places),
            forward_tokens=before.forward_tokens + total(num_tokens, self.group),
        )
