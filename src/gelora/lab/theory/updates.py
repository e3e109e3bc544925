"""The spectrum of the update that a trained adapter makes to each module.

Everything is read from the adapter's files, and no update is ever formed: the singular values of
scale * B A are those of a matrix as small as its rank.
"""

from pathlib import Path

import torch

from gelora.adapters import saved_prefix, verify_saved_ranks
from gelora.errors import RankError
from gelora.exports.saved import Factors, read_adapter
from gelora.lab.theory.record import ModuleUpdate
from gelora.lab.theory.spectra import Spectrum
from gelora.ranks.plan import RankPlan


def module_updates(folder: str | Path, plan: RankPlan) -> tuple[ModuleUpdate, ...]:
    """Return the spectrum of scale * B A of every module of a saved adapter.

    Before training B is zero, and so is the update: its rank is 0. With DoRA it is that of B A,
    before the magnitudes.

    Args:
        folder: Holds adapter_config.json and adapter_model.safetensors.
        plan: What the adapter was made by; says which block a module belongs to.

    Returns:
        One per module, in the plan's order.

    Raises:
        ArtifactError: There is no LoRA adapter in the folder.
        RankError: Its ranks are not the plan's, or what it holds is not the update alone.
    """
    adapter = read_adapter(folder)
    if adapter.init_beyond_it is not None:
        raise RankError(
            f"The adapter in {folder} has init_lora_weights={adapter.init_beyond_it!r}, which "
            "moves a part of the base weights into it: its B A is not what training added. Save it "
            "with path_initial_model_for_weight_conversion first."
        )
    verify_saved_ranks(folder, plan)
    factors = adapter.factors()
    prefix = saved_prefix(factors, plan)
    return tuple(
        ModuleUpdate(
            module=name,
            block=_block_of(name, plan),
            rank=rank,
            spectrum=_spectrum(factors[f"{prefix}{name}"]),
        )
        for name, rank in plan.modules.items()
    )


def _block_of(module: str, plan: RankPlan) -> str:
    return next(block for block in plan.blocks if module.startswith(f"{block}."))


def _spectrum(factors: Factors) -> Spectrum:
    """Return the spectrum of scale * B A."""
    left, right = factors.roots()
    values = abs(factors.scale) * torch.linalg.svdvals(left @ right)
    size = min(factors.b.shape[0], factors.a.shape[1])
    return Spectrum(tuple(values.tolist()), size=size)
