"""Batches of a model's keyword inputs, such as images and audio, from a data loader."""

import hashlib
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler

from gelora.errors import ConfigError, DataError
from gelora.hidden_states.architectures import input_embedding
from gelora.hidden_states.batches import Texts, TokenSource, draw, in_chunks
from gelora.settings import MeasurementSettings

Inputs = Iterable[Mapping[str, Tensor]]
"""Batches of a model's keyword inputs: a `DataLoader`, or anything else that is read again."""

Sample = Mapping[str, Tensor]
"""The inputs of one sample, without the axis of the batch."""

_MASKS = ("attention_mask", "decoder_attention_mask")


def are_inputs(data: Texts | Inputs) -> bool:
    """Return whether data are batches of tensors; they are texts otherwise."""
    if isinstance(data, DataLoader):
        return True
    if isinstance(data, str | TokenSource) or not isinstance(data, Iterable):
        return False
    first = next(iter(data), None)
    return isinstance(first, Mapping) and any(isinstance(v, Tensor) for v in first.values())


class DrawnInputs:
    """Samples drawn from the batches of a loader.

    The loader is read once to count and hash its samples, and again for every part that is
    measured. Not more than the samples of one batch are held.

    Attributes:
        keys: Tells every sample of the draw from others that are not its copies; padding that
            `attention_mask` marks does not count.
        data: What the profile records of the data: `inputs_sha256`, over all samples in order.
        first: A batch of one sample.
    """

    def __init__(
        self,
        loader: Inputs,
        backbone: nn.Module,
        settings: MeasurementSettings,
        *,
        max_length: int | None,
        seed: int,
    ) -> None:
        """Read the loader once, and draw.

        Args:
            loader: Gives the same samples in the same order each time.
            backbone: The model without its head; inputs that it does not take are dropped.
            settings: How to measure.
            max_length: Must be None: it cuts texts.
            seed: Chooses the samples, as it chooses texts.

        Raises:
            ConfigError: A setting has no effect on inputs, or the loader shuffles.
            DataError: There are no batches, or a batch holds no inputs of the model.
        """
        _check_settings(settings, max_length)
        if isinstance(loader, DataLoader) and isinstance(loader.sampler, RandomSampler):
            raise ConfigError(
                "The DataLoader shuffles, so no two readings of it agree: make it with "
                "shuffle=False. The seed draws the samples."
            )
        self._loader, self._backbone = loader, backbone
        self._batch_size = 0
        self._digests: list[bytes] = []
        self._shapes: list[dict[str, torch.Size]] = []
        self.first: dict[str, Tensor] = {}
        for batch in self._batches():
            self.first = self.first or {name: values[:1] for name, values in batch.items()}
            samples = _samples(batch)
            self._batch_size = max(self._batch_size, len(samples))
            self._digests += [_digest(sample) for sample in samples]
            self._shapes += [{name: v.shape for name, v in sample.items()} for sample in samples]
        if not self._digests:
            raise DataError("There are no batches to measure: the loader is empty.")
        self._drawn = draw(len(self._digests), settings.num_samples, seed)
        self.keys = [self._digests[index] for index in self._drawn]
        digest = hashlib.sha256(b"".join(self._digests))
        self.data: dict[str, Any] = {"inputs_sha256": digest.hexdigest()}

    def chunks(self, places: Sequence[int]) -> list[Sequence[int]]:
        """Return the places of every batch's samples: of one shape, and in the loader's order."""
        ordered = sorted(places, key=self._drawn.__getitem__)
        chunks: list[Sequence[int]] = []
        for _, alike in groupby(ordered, key=lambda place: self._shapes[self._drawn[place]]):
            chunks += in_chunks(list(alike), self._batch_size)
        return chunks

    def batches(self, chunks: Sequence[Sequence[int]]) -> Iterator[dict[str, Tensor]]:
        """Yield the inputs of chunks, which are in the order of `chunks`.

        Raises:
            DataError: The loader gives other samples than at first.
        """
        samples = self._read([self._drawn[place] for chunk in chunks for place in chunk])
        for chunk in chunks:
            rows = [next(samples) for _ in chunk]
            yield {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    def _read(self, indices: Sequence[int]) -> Iterator[Sample]:
        """Yield samples by their ascending indices, each of which must be what it was at first."""
        remaining = iter(indices)
        index = next(remaining, None)
        start = 0
        for batch in self._batches() if indices else ():
            samples = _samples(batch)
            while index is not None and index < start + len(samples):
                sample = samples[index - start]
                if _digest(sample) != self._digests[index]:
                    raise _changed(f"another sample at index {index}")
                yield sample
                index = next(remaining, None)
            if index is None:
                return
            start += len(samples)
        if index is not None:
            raise _changed(f"{start} samples, not {len(self._digests)},")

    def _batches(self) -> Iterator[dict[str, Tensor]]:
        """Read the loader, and yield what the model takes of every batch."""
        with torch.random.fork_rng(devices=[]):  # a DataLoader draws a seed when it starts
            batches = iter(self._loader)
        for batch in batches:
            yield _model_inputs(batch, self._backbone)


def _check_settings(settings: MeasurementSettings, max_length: int | None) -> None:
    if max_length is not None:
        raise ConfigError(
            "max_length cuts texts, and here are batches of a model's inputs: leave it out, and "
            "cut the inputs where the loader makes them."
        )
    if settings.measure_batch_tokens != MeasurementSettings.measure_batch_tokens:
        raise ConfigError(
            "measure_batch_tokens makes batches of texts, and batches of a model's inputs keep "
            "their size: leave it out, and set the batch_size of the DataLoader."
        )


def _model_inputs(batch: Any, backbone: nn.Module) -> dict[str, Tensor]:
    """Return what the model takes of a batch; labels are dropped.

    Raises:
        DataError: The batch is no mapping of tensors with a common first axis, or holds nothing
            that the model takes or a token that it does not have.
    """
    if not isinstance(batch, Mapping):
        raise DataError(
            f"A batch is a {type(batch).__name__}, not a mapping of a model's inputs such as "
            "{'pixel_values': tensor}: give the DataLoader a collate_fn that returns one."
        )
    parameters = inspect.signature(backbone.forward).parameters
    known = [name for name in parameters if name != "labels"]
    inputs = {
        name: value
        for name, value in batch.items()
        if name in (*known, *_MASKS) and value is not None
    }
    wrong = {name: value for name, value in inputs.items() if not isinstance(value, Tensor)}
    if wrong:
        name, value = next(iter(wrong.items()))
        raise DataError(f"{name} of a batch is a {type(value).__name__}: give tensors.")
    if not inputs.keys() - {*_MASKS}:
        raise DataError(
            f"A batch holds {', '.join(batch) or 'nothing'}, of which {type(backbone).__name__} "
            f"takes nothing: it reads {next(iter(known), 'nothing')}."
        )
    sizes = {name: value.shape[0] if value.ndim else None for name, value in inputs.items()}
    if len(set(sizes.values())) > 1 or max(value.ndim for value in inputs.values()) < 2:
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in inputs.items())
        raise DataError(
            f"A batch has tensors without a common first axis for its samples ({shapes}): stack "
            "the samples along the first axis, as a DataLoader does."
        )
    if "input_ids" in inputs and inputs["input_ids"].numel():
        token, vocabulary = inputs["input_ids"].max().item(), len(input_embedding(backbone))
        if token >= vocabulary:
            raise DataError(
                f"A batch holds token {token}, and the model knows {vocabulary} tokens: take this "
                "model's tokenizer, or resize the model's embeddings."
            )
    return inputs


def _samples(batch: Mapping[str, Tensor]) -> list[Sample]:
    """Return the samples of a batch."""
    size = len(next(iter(batch.values())))
    return [{name: values[row] for name, values in batch.items()} for row in range(size)]


def _digest(sample: Sample) -> bytes:
    """Return a hash of a sample that does not depend on its padding."""
    mask = sample.get("attention_mask")
    digest = hashlib.sha256()
    for name, values in sorted(sample.items()):
        if mask is not None and values.shape[: mask.ndim] == mask.shape:
            values = values[mask.bool()]  # noqa: PLW2901 - the real positions of the same values
        values = values.detach().cpu().contiguous()  # noqa: PLW2901
        digest.update(f"{name} {values.dtype} {tuple(values.shape)} ".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return digest.digest()


def _changed(what: str) -> DataError:
    return DataError(
        f"The loader gave {what} when it was read again: make it without shuffling and random "
        "augmentation, or give list(loader)."
    )
