"""Rank and spectrum of every block's Jacobians, on a few texts.

Both Jacobians are defined in `block_maps`; here the texts are drawn, and the spectra collected.
"""

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from gelora.model.batches import Texts
from gelora.model.pooling import Pooling
from gelora.theory.record import BlockJacobian
from gelora.theory.spectra import DEFAULT_TOLERANCE


def block_jacobians(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Texts,
    *,
    target_modules: str | Sequence[str] = "attention",
    pooling: Pooling | None = None,
    num_samples: int = 8,
    max_rank: int = 128,
    max_length: int | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    seed: int = 0,
    progress: bool = False,
) -> tuple[BlockJacobian, ...]:
    """Find the spectra of every block's Jacobians by its pooled input and by its weights.

    Returns:
        Two per block, by "input" and then by "parameters", in the order of the blocks.
    """
    raise NotImplementedError


def sample_jacobians(
    model: nn.Module,
    samples: Iterable[Mapping[str, Tensor]],
    *,
    target_modules: str | Sequence[str] = "attention",
    pooling: Pooling,
    max_rank: int = 128,
    tolerance: float = DEFAULT_TOLERANCE,
    seed: int = 0,
) -> tuple[BlockJacobian, ...]:
    """As `block_jacobians`, of samples that the model takes as they are (batches of one)."""
    raise NotImplementedError
