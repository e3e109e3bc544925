"""One rank for every module, padded with zeros, for readers that know no rank per module.

Zero rows of A and zero columns of B add nothing to BA, so not one weight changes. What the
exported adapter loses is only what says that ranks differ.
"""

import warnings
from collections.abc import Set
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn.functional import pad

from gelora.errors import RankError, ServingWarning
from gelora.exports.folders import copy_files, new_folder
from gelora.exports.readers import reader_notes
from gelora.exports.saved import (
    A_SUFFIX,
    B_SUFFIX,
    CONFIG_NAME,
    SavedAdapter,
    check_form,
    read_adapter,
    verify_same_update,
    write_adapter,
)
from gelora.ranks.plan import whole

UNIFORM_RANKS = (8, 16, 32, 64, 128, 256, 512)
"""Ranks that every server takes: vLLM's list without 1 and 320, LoRAX's 8 and multiples of 16."""

_KEPT = frozenset({".md", ".json", ".jinja", ".txt", ".model", ".svg", ".png"})
"""Cards, figures, our two files and tokenizers; not a checkpoint's optimiser."""


def export_uniform(
    adapter_folder: str | Path,
    destination: str | Path,
    *,
    rank: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Pad an adapter with zeros to one rank in every module, without a change of its function.

    The new adapter has no patterns, `lora_alpha` is the rank times the scale, and rank-stabilised
    scaling and the initialisation, which have done their work, are off: some readers do not know
    them. A head, DoRA's magnitudes, the card and gelora's two files are as they were. The update of
    every module is compared with the original's from the files that were written.

    Args:
        adapter_folder: As PEFT saved it; made by gelora or not.
        destination: The new folder.
        rank: One of `UNIFORM_RANKS`. None keeps the rank of an adapter that has one rank in all
            modules, and is the smallest of `UNIFORM_RANKS` that fits otherwise.
        overwrite: Replace an adapter that the destination holds.

    Returns:
        The destination.

    Raises:
        ArtifactError: There is no LoRA adapter in the folder.
        OutputExistsError: The destination holds something.
        RankError: The rank is below the adapter's largest or none of the above, or the adapter
            cannot be padded: its modules have different scales, or it is another form of LoRA.

    Warns:
        ServingWarning: A server is known to refuse the exported adapter, too.
    """
    padded = _padded(read_adapter(adapter_folder), rank, str(adapter_folder))
    for note in reader_notes(padded):
        warnings.warn(note, ServingWarning, stacklevel=2)
    with new_folder(
        destination, holds=CONFIG_NAME, overwrite=overwrite, source=adapter_folder
    ) as folder:
        write_adapter(padded, folder)
        verify_same_update(adapter_folder, folder)
        copy_files(Path(adapter_folder), folder, suffixes=_KEPT)
    return Path(destination)


def _padded(adapter: SavedAdapter, rank: int | None, folder: str) -> SavedAdapter:
    check_form(adapter, folder, doing="padded", instead="Export --merged")
    rank = _choose_rank(rank, _ranks(adapter))
    config: dict[str, Any] = {
        **adapter.config,
        "r": rank,
        "lora_alpha": whole(_scale(adapter) * rank),
        "rank_pattern": {},
        "alpha_pattern": {},
        "use_rslora": False,
        "init_lora_weights": True,
    }
    return SavedAdapter(config, {n: _pad(n, t, rank) for n, t in adapter.tensors.items()})


def _pad(name: str, tensor: Tensor, rank: int) -> Tensor:
    """Add zero rows to an A, zero columns to a B, nothing to others."""
    if name.endswith(A_SUFFIX):
        return pad(tensor, (0, 0, 0, rank - tensor.shape[0]))
    if name.endswith(B_SUFFIX):
        return pad(tensor, (0, rank - tensor.shape[1]))
    return tensor


def uniform_rank(adapter_folder: str | Path) -> int | None:
    """Return the rank of a saved adapter that needs no padding, or None.

    It has one rank in all modules, and its configuration has neither patterns nor anything else
    that `export_uniform` changes for the sake of servers.

    Raises:
        ArtifactError: There is no LoRA adapter in the folder.
    """
    adapter = read_adapter(adapter_folder)
    ranks, config = _ranks(adapter), adapter.config
    changed = [config.get(name) for name in ("rank_pattern", "alpha_pattern", "use_rslora")]
    if len(ranks) != 1 or any(changed) or config.get("init_lora_weights", True) is not True:
        return None
    return config["r"] if {config["r"]} == ranks else None


def _ranks(adapter: SavedAdapter) -> set[int]:
    return {len(factors.a) for factors in adapter.factors().values()}


def _choose_rank(rank: int | None, ranks: Set[int]) -> int:
    largest = max(ranks)
    fitting = [size for size in UNIFORM_RANKS if size >= largest]
    if rank is None and len(ranks) == 1:
        return largest
    if rank is None and fitting:
        return fitting[0]
    if rank not in fitting:
        raise RankError(
            f"The uniform rank must be one of {', '.join(map(str, UNIFORM_RANKS))}, and no less "
            f"than the adapter's largest, {largest}. Got {rank}."
        )
    return rank


def _scale(adapter: SavedAdapter) -> float:
    """Return the scale of all modules, which must be one: a padded adapter has no other.

    Raises:
        RankError: It differs between modules.
    """
    scales = {name: one.scale for name, one in adapter.factors().items()}
    low, high = min(scales, key=scales.__getitem__), max(scales, key=scales.__getitem__)
    if scales[high] - scales[low] > 1e-6 * scales[high]:
        raise RankError(
            f"The scale alpha/r is {scales[low]:g} in {low} and {scales[high]:g} in {high}, and an "
            "adapter of one rank has one: to pad it would round its weights. Export --merged."
        )
    return scales[high]
