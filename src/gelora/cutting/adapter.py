"""A saved adapter of lower ranks: which can be cut, what it then holds, and reading it back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft.utils.other import get_pattern_key

from gelora.cutting.directions import Directions, cut_factors
from gelora.errors import RankError
from gelora.exports.saved import (
    A_SUFFIX,
    B_SUFFIX,
    CONFIG_NAME,
    PREFIX,
    Factors,
    SavedAdapter,
    check_form,
    read_adapter,
)
from gelora.ranks.plan import rank_arguments, whole

UNSET = ("exclude_modules", "layers_to_transform", "layers_pattern")
"""What LoraConfig says beside `target_modules`, and must not where those are full paths."""


def read_for_cut(folder: str | Path) -> SavedAdapter:
    """Read an adapter whose update of each module is scale * B A.

    Raises:
        ArtifactError: There is no LoRA adapter in the folder.
        RankError: It is a form of LoRA that cannot be cut, or a weight is not finite.
    """
    _check_one(Path(folder))
    adapter = read_adapter(folder)
    instead = "Convert it with peft.convert_to_lora first, and cut that"
    check_can_be_cut(adapter, folder, instead=instead)
    for name, tensor in adapter.tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise RankError(
                f"{name} in {folder} holds NaN or infinity: train again, or take a checkpoint "
                "from before."
            )
    return adapter


def check_can_be_cut(adapter: SavedAdapter, place: str | Path, *, instead: str) -> None:
    """Check that what an adapter adds to each module is scale * B A.

    Args:
        adapter: As it is saved, or would be.
        place: Where it is, for messages.
        instead: What to do if it adds anything else, as an imperative without its full stop.

    Raises:
        RankError: It is a form of LoRA that cannot be cut.
    """
    for name in ("use_dora", "lora_bias"):
        if adapter.config.get(name):
            raise RankError(
                f"The adapter in {place} has {name}=True: it adds more than B A to a module, so "
                f"it cannot be cut. {instead}."
            )
    check_form(adapter, place, doing="cut", instead=instead)


def cut_adapter(
    adapter: SavedAdapter, directions: Mapping[str, Directions], ranks: Mapping[str, int]
) -> SavedAdapter:
    """Return an adapter that keeps the best directions of every module.

    Each module keeps its scale. Modules of rank 0 leave the adapter; what is saved whole stays.

    Args:
        adapter: As `read_for_cut` returns it.
        directions: Directions of every module.
        ranks: New rank of every module, at most the rank of its factors.
    """
    factors = {
        name: cut_factors(before, directions[name], ranks[name])
        for name, before in adapter.factors().items()
        if ranks[name]
    }
    tensors = {
        name: tensor
        for name, tensor in adapter.tensors.items()
        if not name.endswith((A_SUFFIX, B_SUFFIX))
    }
    for name, kept in factors.items():
        tensors[f"{PREFIX}{name}{A_SUFFIX}"] = kept.a.contiguous()
        tensors[f"{PREFIX}{name}{B_SUFFIX}"] = kept.b.contiguous()
    return SavedAdapter(_config(adapter, factors), tensors)


def _config(adapter: SavedAdapter, factors: Mapping[str, Factors]) -> dict[str, Any]:
    """Return the adapter's configuration with a rank and an alpha for every module."""
    ranks = {name: len(kept.a) for name, kept in factors.items()}
    alphas = {name: whole(kept.scale * ranks[name]) for name, kept in factors.items()}
    decided = rank_arguments(ranks, alphas)
    config = {**adapter.config, **decided, "use_rslora": False, "init_lora_weights": True}
    config |= {name: None for name in ("eva_config", "lora_ga_config") if name in config}
    config |= {name: None for name in UNSET if name in config}
    if len(factors) == len(adapter.factors()):  # then the adapter's own words still hold
        config |= {name: adapter.config.get(name) for name in ("target_modules", *UNSET)}
    return config


def verify_cut(
    folder: str | Path,
    source: SavedAdapter,
    directions: Mapping[str, Directions],
    ranks: Mapping[str, int],
) -> None:
    """Check a written adapter as PEFT will read it: ranks, patterns, and every module's update.

    Raises:
        RankError: A module has another rank or another update than it should.
    """
    written = read_adapter(folder)
    before, after = source.factors(), written.factors()
    pattern: dict[str, int] = written.config["rank_pattern"]
    if {name for name, rank in ranks.items() if rank} != after.keys():
        raise RankError(f"{folder} holds other modules than were to be kept.")
    for name, factors in after.items():
        as_read = pattern.get(get_pattern_key(list(pattern), name), written.config["r"])
        if not len(factors.a) == as_read == ranks[name]:
            raise RankError(
                f"{name} in {folder} has rank {len(factors.a)}, PEFT would read {as_read}, and "
                f"{ranks[name]} was to be kept: PEFT cannot tell its name from another module's."
            )
        error = _distance(factors, before[name], directions[name], ranks[name])
        precision = torch.finfo(factors.a.dtype).eps
        if not error <= 100 * precision:
            raise RankError(
                f"The update of {name} in {folder} differs from the one to be kept by {error:.1e} "
                "of its size."
            )


def _distance(after: Factors, before: Factors, directions: Directions, rank: int) -> float:
    """Return the norm of what two updates differ by, relative to the update before the cut.

    Neither update is formed: the difference is a product of factors side by side.
    """
    a, b = before.a.double(), before.b.double()
    if rank < len(a):
        a, b = directions.reduce[:rank] @ a, b @ directions.expand[:, :rank]
    difference = Factors(
        torch.cat([after.a.double(), a]),
        torch.cat([after.scale * after.b.double(), -before.scale * b], dim=1),
        1.0,
    )
    return _norm(difference) / max(_norm(before), 1e-300)


def _norm(factors: Factors) -> float:
    """Return the Frobenius norm of an update."""
    left, right = factors.roots()
    return abs(factors.scale) * torch.linalg.norm(left @ right).item()


def _check_one(folder: Path) -> None:
    """Name the adapters in subfolders, where PEFT saves several, if the folder holds none itself.

    Raises:
        RankError: It does not, and they do.
    """
    named = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG_NAME}"))
    if named and not (folder / CONFIG_NAME).is_file():
        raise RankError(
            f"{folder} holds adapters of several names, {', '.join(named)}: give the folder of "
            f"one, as {folder / named[0]}."
        )
