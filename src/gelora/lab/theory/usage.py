"""How much of its rank each module of a trained adapter uses."""

from collections.abc import Sequence
from dataclasses import dataclass

from gelora.errors import RankError
from gelora.lab.theory.record import ModuleUpdate
from gelora.lab.theory.spectra import DEFAULT_TOLERANCE
from gelora.ranks.plan import RankPlan


@dataclass(frozen=True)
class ModuleUse:
    """The rank that one module needs, the rank that it has, and the rank that it uses.

    Attributes:
        module: Its path from the backbone's root.
        block: Its block's path.
        bound: The paper's lower bound for its block, or the larger of the bounds of the block's
            adapted halves.
        planned_rank: The rank in the plan.
        numerical_rank: Number of the update's singular values above the tolerance.
        stable_rank: Of the update; at most its rank.
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
    per_block = len(plan.sublayers) // len(plan.blocks)
    first = plan.blocks.index(block) * per_block
    sublayers = range(first, first + per_block)
    return max(plan.bounds[sublayer] for sublayer in sublayers if plan.ranks[sublayer] > 0)
