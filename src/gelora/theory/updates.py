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
    verify_saved_ranks(folder, plan)
    factors = adapter.factors()
    raise NotImplementedError


def bound_in_use(
    updates: Sequence[ModuleUpdate], plan: RankPlan, tolerance: float = DEFAULT_TOLERANCE
) -> tuple[ModuleUse, ...]:
    """Compare what every module's rank is used for with what was planned.

    Args:
        updates: Of the plan's modules.
        plan: Ranks and bounds.
        tolerance: Share of the largest singular value above which one counts.
    """
    raise NotImplementedError
