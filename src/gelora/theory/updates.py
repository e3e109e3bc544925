"""The bound in use: how much of the rank it was given a trained adapter uses, module by module.

Everything is read from the adapter's files, and no update is ever formed: the singular values of
scale * B A are those of a matrix as small as its rank.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gelora.adapters import verify_saved_ranks
from gelora.errors import RankError
from gelora.exports.saved import Factors, read_adapter
from gelora.ranks.plan import RankPlan
from gelora.theory.record import ModuleUpdate
from gelora.theory.spectra import DEFAULT_TOLERANCE, Spectrum


@dataclass(frozen=True)
class ModuleUse:
    """One module's rank: as needed, as given, and as used.

    Attributes:
        module: Its path from the backbone's root.
        block: Its block's path.
        bound: The paper's lower bound of its block; with halves of blocks, the larger of those
            that have adapters.
        planned_rank: The rank that it was given.
        numerical_rank: How many of the update's singular values are above the tolerance.
        stable_rank: Of the update; needs no tolerance, and at most the rank.
        effective_rank: Of the update, by the entropy of its singular values.
        share_used: The numerical rank over the planned one.
    """

    module: str
    block: str
    bound: int
    planned_rank: int
    numerical_rank: int
    stable_rank: float
    effective_rank: float
    share_used: float


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
    prefix = min(factors).removesuffix(min(plan.modules))
    return tuple(
        ModuleUpdate(
            module=name,
            block=_block_of(name, plan),
            rank=rank,
            spectrum=_spectrum(factors[f"{prefix}{name}"]),
        )
        for name, rank in plan.modules.items()
    )


def bound_in_use(
    updates: Sequence[ModuleUpdate], plan: RankPlan, tolerance: float = DEFAULT_TOLERANCE
) -> tuple[ModuleUse, ...]:
    """Compare what every module's rank is used for with what was planned.

    Args:
        updates: Of the plan's modules.
        plan: Ranks and bounds.
        tolerance: Share of the largest singular value above which one counts.

    Returns:
        One per update, in their order.

    Raises:
        RankError: An update is of a module that the plan does not have, or has at another rank.
    """
    return tuple(_use(update, plan, tolerance) for update in updates)


def _use(update: ModuleUpdate, plan: RankPlan, tolerance: float) -> ModuleUse:
    planned = plan.modules.get(update.module)
    if planned != update.rank:
        raise RankError(
            f"The update of {update.module} is of rank {update.rank}, and the plan says "
            f"{planned}: it is of another plan's adapter."
        )
    spectrum = update.spectrum
    rank = spectrum.numerical_rank(tolerance).value
    return ModuleUse(
        module=update.module,
        block=update.block,
        bound=_bound(update.block, plan),
        planned_rank=update.rank,
        numerical_rank=rank,
        stable_rank=spectrum.stable_rank,
        effective_rank=spectrum.effective_rank,
        share_used=rank / update.rank,
    )


def _bound(block: str, plan: RankPlan) -> int:
    per_block = len(plan.steps) // len(plan.blocks)
    first = plan.blocks.index(block) * per_block
    steps = range(first, first + per_block)
    return max(plan.bounds[step] for step in steps if plan.ranks[step] > 0)


def _block_of(module: str, plan: RankPlan) -> str:
    return next(block for block in plan.blocks if module.startswith(f"{block}."))


def _spectrum(factors: Factors) -> Spectrum:
    """Return that of scale * B A: Q R of B and of A^T leave it to the product of both R."""
    left = torch.linalg.qr(factors.b.double(), mode="r").R
    right = torch.linalg.qr(factors.a.double().T, mode="r").R
    values = abs(factors.scale) * torch.linalg.svdvals(left @ right.T)
    size = min(factors.b.shape[0], factors.a.shape[1])
    return Spectrum(tuple(values.tolist()), size=size)
