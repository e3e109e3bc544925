"""Spectra of every block's two Jacobians, on a few texts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from gelora.errors import DataError
from gelora.hidden_states.architectures import adapted_modules, find_architecture, find_backbone
from gelora.hidden_states.batches import Texts, encode_texts, padded_batch
from gelora.lab.theory.block_maps import block_calls, block_maps
from gelora.lab.theory.range_finder import leading_spectrum
from gelora.lab.theory.record import BlockJacobian, JacobianOf
from gelora.lab.theory.spectra import DEFAULT_TOLERANCE, Spectrum
from gelora.settings import Count, Pooling, checked

BOTH: tuple[JacobianOf, ...] = get_args(JacobianOf)


def block_jacobians(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Texts,
    *,
    target_modules: str | Sequence[str] = "attention",
    pooling: Pooling | None = None,
    num_samples: int = 4,
    max_rank: int = 384,
    max_length: int | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    seed: int = 0,
    progress: bool = False,
) -> tuple[BlockJacobian, ...]:
    """Find the leading singular values of every block's Jacobians by its input and its weights.

    For each text and block: at most `max_rank` + 16 products with each of two Jacobians and as
    many with its transpose. The model leaves as it came; one block at a time is copied in float64.

    Args:
        model: With or without a head or adapters (active ones take part).
        tokenizer: The model's own.
        texts: As `measure_dimensions` takes them.
        target_modules: Whose weights the second Jacobian is by, as in `plan_ranks`.
        pooling: How a sequence becomes one vector; by default as in `measure_dimensions`.
        num_samples: Texts drawn at most; `measure_dimensions` with the same seed draws the same
            ones first.
        max_rank: Singular values found at most of each Jacobian. If none of the rest can be left
            out, its rank is only known to be this or more.
        max_length: Tokens kept of each text; by default what the tokenizer and the model take.
        tolerance: Share of the largest below which no singular value is sought.
        seed: Chooses the texts and the directions.
        progress: Show a bar on stderr.

    Returns:
        Two per block, by "input" and then by "parameters", in the order of the blocks.

    Raises:
        ArchitectureError: No blocks, or no query, key, value and output where these are targets;
            quantised weights, or a block that torch cannot differentiate.
        ConfigError: An argument is out of its range.
        DataError: The texts are none, not text, empty, or not in the model's vocabulary.
        RankError: `target_modules` names a module that the blocks do not have.

    Warns:
        SkippedRowsWarning: Some texts drawn are longer than the limit, and are cut.
    """
    checked("num_samples", num_samples, Count)
    checked("max_length", max_length, Count | None)
    architecture, backbone = find_architecture(model), find_backbone(model)
    rows = encode_texts(
        tokenizer, backbone, texts, num_samples=num_samples, max_length=max_length, seed=seed
    )
    with tqdm(rows, desc="Differentiating", unit="text", disable=not progress) as bar:
        return sample_jacobians(
            model,
            (padded_batch([row], tokenizer) for row in bar),
            target_modules=target_modules,
            pooling=pooling or ("last" if architecture.is_causal else "mean"),
            max_rank=max_rank,
            tolerance=tolerance,
            seed=seed,
        )


def sample_jacobians(
    model: nn.Module,
    samples: Iterable[Mapping[str, Tensor]],
    *,
    target_modules: str | Sequence[str] = "attention",
    pooling: Pooling,
    max_rank: int = 384,
    tolerance: float = DEFAULT_TOLERANCE,
    seed: int = 0,
) -> tuple[BlockJacobian, ...]:
    """As `block_jacobians`, of samples that the model takes as they are: batches of one, unpadded.

    Raises:
        DataError: There are no samples, or one is not as it must be.
    """
    checked("pooling", pooling, Pooling)
    architecture = find_architecture(model)
    modules = [module.name for module in adapted_modules(architecture, target_modules)]
    generator = torch.Generator().manual_seed(seed)
    spectra: dict[tuple[str, JacobianOf], list[Spectrum]] = {
        (block, by): [] for block in architecture.blocks for by in BOTH
    }
    for sample in samples:
        for call in block_calls(model, sample):
            for by, linear_map in block_maps(call, modules=modules, pooling=pooling).items():
                spectrum = leading_spectrum(
                    linear_map, max_rank=max_rank, tolerance=tolerance, generator=generator
                )
                spectra[call.block, by].append(spectrum)
    if not all(spectra.values()):
        raise DataError("There are no samples to differentiate at.")
    return tuple(BlockJacobian(block, by, tuple(all_)) for (block, by), all_ in spectra.items())
