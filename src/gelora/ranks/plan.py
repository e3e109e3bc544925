"""From a `DimensionProfile` to a `RankPlan`: one LoRA rank for every sublayer, and its probability.

A sublayer is a block, or one of its halves, as the profile was measured. The rules themselves are
in `rules.py`; here they meet the modules to adapt. No model and no data is needed.
"""

# pandas and matplotlib have partly unknown types
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Int

import gelora
from gelora.artifacts import PLAN_FILE, Artifact
from gelora.dimension.profile import BlockModule, DimensionProfile, sublayer_names
from gelora.errors import ArtifactError, RankError
from gelora.ranks.rules import RankLimits, budget_ranks, lower_bounds, paper_ranks
from gelora.ranks.targets import select_modules
from gelora.ranks.uncertainty import draw_dimensions, rank_probabilities, sufficient_ranks
from gelora.settings import Granularity, Natural, RankSettings, read_budget

if TYPE_CHECKING:
    from pandas import DataFrame
    from peft import LoraConfig


@dataclass(frozen=True, repr=False)
class RankPlan(Artifact):
    """A LoRA rank for every sublayer and every module in it.

    Attributes:
        settings: How the ranks were chosen, with the rule that was used.
        granularity: What a sublayer is: a "block", or with "sublayer" one of its two halves.
        blocks: Path of every block from the root of the backbone (the model without its head).
        sublayers: Name of every sublayer: its block's path, with the half's name after it.
        bounds: One per sublayer: the paper's lower bound max(d(i) - d(i-1), 0), rounded dimensions.
        ranks: One per sublayer; 0 where none of its modules is adapted.
        rank_probabilities: One per sublayer: the probability of every rank that the dimensions
            within their errors lead to, ascending; with rule "confident", of the paper's ranks
            before `max_rank`.
        modules: Rank of every adapted module, by its path from the backbone's root. It is its
            sublayer's rank, or the smaller side of its matrix where that is less.
        alphas: `lora_alpha` of every adapted module: its rank times `scaling`.
        scaling: alpha/r, which LoRA multiplies BA by, the same in every module.
        parameters: One per sublayer: trainable parameters of its adapters.
        trainable_parameters: Their sum, r x (in + out) over the adapted modules, without a head.
        budget: Parameters that could be spent, or None with the other rules.
        fingerprint: Tells the model, as in the profile.
        profile_hash: `content_hash` of the profile that the plan comes from.
        data: What the profile says of its texts; empty if it says nothing.
    """

    FILE: ClassVar[str] = PLAN_FILE
    KIND: ClassVar[str] = "rank_plan"

    settings: RankSettings
    granularity: Granularity
    blocks: tuple[str, ...]
    sublayers: tuple[str, ...]
    bounds: tuple[Natural, ...]
    ranks: tuple[Natural, ...]
    rank_probabilities: tuple[Mapping[int, float], ...]
    modules: Mapping[str, Natural]
    alphas: Mapping[str, int | float]
    scaling: float
    parameters: tuple[Natural, ...]
    trainable_parameters: int
    budget: int | None
    fingerprint: Mapping[str, Any]
    profile_hash: str
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def certainties(self) -> tuple[float, ...]:
        """Probability of every sublayer's rank; with rule "confident", that it suffices."""
        return tuple(
            sum(
                share
                for value, share in probabilities.items()
                if value == rank or (value < rank and self.settings.rule == "confident")
            )
            for rank, probabilities in zip(self.ranks, self.rank_probabilities, strict=True)
        )

    @property
    def rank_pattern(self) -> dict[str, int]:
        """PEFT's `rank_pattern`: the rank of every module that has not the largest one."""
        return self._rank_arguments["rank_pattern"]

    @property
    def alpha_pattern(self) -> dict[str, int | float]:
        """PEFT's `alpha_pattern`: the alpha of every module in `rank_pattern`."""
        return self._rank_arguments["alpha_pattern"]

    @property
    def _rank_arguments(self) -> dict[str, Any]:
        return rank_arguments(self.modules, self.alphas)

    def to_lora_config(self, model: Any, **lora_arguments: Any) -> "LoraConfig":
        """Return the `peft.LoraConfig` of this plan, as `gelora.lora_config(model, plan)` does.

        Args:
            model: The model to adapt, not yet wrapped.
            **lora_arguments: As for `gelora.lora_config`.

        Raises:
            ModelMismatchError: The plan was made for another model.
            RankError: An argument that the plan decides.
        """
        return gelora.lora_config(model, self, **lora_arguments)

    def to_frame(self) -> "DataFrame":
        """Return the plan as a table with a row for every sublayer.

        Returns:
            Columns `bound`, `rank`, `parameters` (int64) and `certainty` (float64, the rank's
            probability; with rule "confident", that it suffices); the index is the sublayer.
        """
        import pandas as pd  # noqa: PLC0415 - a third of a second that only this needs

        return pd.DataFrame(
            {
                "bound": self.bounds,
                "rank": self.ranks,
                "certainty": self.certainties,
                "parameters": self.parameters,
            },
            index=pd.Index(self.sublayers, name="sublayer"),
        )

    def __repr__(self) -> str:
        return (
            f"RankPlan({self.settings.rule}, ranks {list(self.ranks)}, "
            f"{len(self.modules)} modules, {self.trainable_parameters:,} parameters)"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.to_frame().round(2).to_html()}"

    def __post_init__(self) -> None:
        ascending = tuple(
            dict(sorted(probabilities.items())) for probabilities in self.rank_probabilities
        )
        object.__setattr__(self, "rank_probabilities", ascending)  # a file sorts them as strings

    def check(self) -> None:
        """Check that the plan says the same thing in all its fields.

        Raises:
            ArtifactError: It does not, as after an edit by hand.
        """
        _check_counts(self)
        _check_module_ranks(self)


def plan_ranks(
    profile: DimensionProfile, settings: RankSettings | None = None, **changes: Any
) -> RankPlan:
    """Choose the LoRA rank of every sublayer from how the dimension grows in it.

    Rule "paper" (GeLoRA, arXiv 2412.09250): with every dimension d rounded to a whole number,
    r(i) = max(d(i) - d(i-1), 0) + 1, kept within `min_rank` and `max_rank`.

    Rule "confident": the smallest rank that is, with probability 0.9, no smaller than the paper's,
    given the errors of the dimensions. Without errors it is the paper's.

    Rule "budget": ranks in proportion to max(increment, 0) + 1, with unrounded increments, that
    cost `budget` parameters to within one rank of one sublayer (largest remainder). No rank
    is below the paper's lower bound max(d(i) - d(i-1), 0), if the budget pays for all bounds.

    A module takes the rank of the sublayer it works in: its block or, in a profile of granularity
    "sublayer", the attention's half or the MLP's. No rule counts the growth out of a constant
    layer (the first token's embedding, say), which is the pooling's, not the sublayer's.

    Args:
        profile: The dimensions, and the modules of the model they were measured on.
        settings: How to choose; by default `RankSettings()`.
        **changes: Fields of `RankSettings` to change, such as `budget="r=8"`.

    Returns:
        The plan; the same profile and arguments give the same plan.

    Raises:
        RankError: Unknown modules, limits that contradict each other or exceed every matrix, or
            a budget below the cost of `min_rank` everywhere.
        ConfigError: As `RankSettings`.
    """
    settings = (settings or RankSettings()).updated(changes)
    targets = select_modules(profile.modules, settings.target_modules, left_out=profile.left_out)
    sublayer_of = {module.name: profile.sublayer_of(module) for module in targets}
    per_sublayer = [
        [m for m in targets if sublayer_of[m.name] == i] for i in range(len(profile.sublayers))
    ]
    sides = [max(map(_smaller_side, modules), default=0) for modules in per_sublayer]
    _check_limits(max(sides), min_rank=settings.min_rank, max_rank=settings.max_rank)
    ceilings = np.minimum(sides, settings.max_rank or max(sides))
    # Whether a rank suffices is asked of what is needed, which no `max_rank` lowers.
    is_confident = settings.rule == "confident"
    limits = RankLimits(settings.min_rank, np.array(sides) if is_confident else ceilings)
    costs = np.stack([_parameters(modules, max(sides)) for modules in per_sublayer])

    spend = None
    ranks_of = partial(paper_ranks, profile, rounding=settings.rounding, limits=limits)
    if settings.budget is not None:
        number, is_rank = read_budget(settings.budget)
        spend = int(costs[:, min(number, max(sides))].sum()) if is_rank else number
        ranks_of = partial(
            budget_ranks, *ranks_of.args, **ranks_of.keywords, costs=costs, budget=spend
        )
    drawn = ranks_of(draw_dimensions(profile))
    if is_confident:
        chosen = np.minimum(sufficient_ranks(drawn), ceilings)
    else:
        (chosen,) = ranks_of(np.array([profile.dimensions], dtype=float))
    ranks: list[int] = chosen.tolist()

    alpha = settings.lora_alpha
    scaling = settings.scaling if alpha is None else alpha / max(ranks)
    modules = {m.name: min(ranks[sublayer_of[m.name]], _smaller_side(m)) for m in targets}
    parameters = [int(costs[sublayer, rank]) for sublayer, rank in enumerate(ranks)]
    return RankPlan(
        settings=replace(settings, rank_rule=settings.rule),
        granularity=profile.settings.granularity,
        blocks=profile.blocks,
        sublayers=profile.sublayers,
        bounds=lower_bounds(profile, rounding=settings.rounding),
        ranks=tuple(ranks),
        rank_probabilities=rank_probabilities(drawn),
        modules=modules,
        alphas={name: whole(scaling * rank) for name, rank in modules.items()},
        scaling=scaling,
        parameters=tuple(parameters),
        trainable_parameters=sum(parameters),
        budget=spend,
        fingerprint=profile.fingerprint,
        profile_hash=profile.content_hash(),
        data=profile.data,
    )


def _check_counts(plan: RankPlan) -> None:
    """Check lengths, counts and sums."""
    per_sublayer = ("bounds", "ranks", "rank_probabilities", "parameters")
    for name in per_sublayer:
        if len(getattr(plan, name)) != len(plan.sublayers):
            raise ArtifactError(
                f"The rank plan has {len(plan.sublayers)} sublayers and "
                f"{len(getattr(plan, name))} {name}."
            )
    if plan.sublayers != sublayer_names(plan.blocks, plan.granularity):
        raise ArtifactError("The rank plan has sublayers that are not those of its blocks.")
    if plan.modules.keys() != plan.alphas.keys() or not plan.modules:
        raise ArtifactError("The rank plan has ranks and alphas of different modules, or of none.")
    if sum(plan.parameters) != plan.trainable_parameters:
        raise ArtifactError(
            f"The rank plan's parameters add up to {sum(plan.parameters):,}, and it says "
            f"{plan.trainable_parameters:,}."
        )


def _check_module_ranks(plan: RankPlan) -> None:
    """Check that modules have the ranks of their blocks, and alphas that go with these."""
    halves = len(plan.sublayers) // len(plan.blocks)
    for name, rank in plan.modules.items():
        block = next((i for i, path in enumerate(plan.blocks) if name.startswith(f"{path}.")), None)
        if block is None:
            raise ArtifactError(f"The rank plan has the module {name}, which is in no block.")
        ranks = plan.ranks[block * halves : (block + 1) * halves]
        # A module whose matrix is smaller than its block's rank has a smaller one.
        if not 1 <= rank <= max(ranks):
            raise ArtifactError(
                f"The rank plan gives {name} rank {rank} and its block {max(ranks)}: `ranks` and "
                "`modules` must agree, so plan again with min_rank, max_rank or a budget instead "
                "of editing the file."
            )
        if not math.isclose(plan.alphas[name], plan.scaling * rank, rel_tol=1e-6):
            raise ArtifactError(
                f"The rank plan gives {name} alpha {plan.alphas[name]} and rank {rank}, and its "
                f"scaling is {plan.scaling}."
            )
    for sublayer, rank in enumerate(plan.ranks):
        block = plan.blocks[sublayer // halves]
        inside = [r for name, r in plan.modules.items() if name.startswith(f"{block}.")]
        if rank > 0 and (not inside or (halves == 1 and max(inside) != rank)):
            raise ArtifactError(
                f"The rank plan gives {plan.sublayers[sublayer]} rank {rank}, and its modules have "
                f"{sorted(set(inside)) or 'none'}: `ranks` and `modules` must agree, so plan again "
                "instead of editing the file."
            )


def rank_arguments(ranks: Mapping[str, int], alphas: Mapping[str, int | float]) -> dict[str, Any]:
    """Return the arguments of LoraConfig that give every module its rank and alpha.

    Args:
        ranks: Rank of every module, by a name that matches no other module.
        alphas: Alpha of every module.
    """
    most = max(ranks, key=ranks.__getitem__)
    return {
        "r": ranks[most],
        "lora_alpha": alphas[most],
        "rank_pattern": {re.escape(n): rank for n, rank in ranks.items() if rank != ranks[most]},
        "alpha_pattern": {re.escape(n): alphas[n] for n in ranks if alphas[n] != alphas[most]},
        "target_modules": sorted(ranks),
    }


def whole(number: float) -> int | float:
    """Return an int where the number is one, but for rounding: other readers than PEFT want ints.

    >>> whole(16 / 49 * 49), whole(1.5)
    (16, 1.5)
    """
    nearest = round(number)
    return nearest if math.isclose(number, nearest, rel_tol=1e-9) else float(number)


def _smaller_side(module: BlockModule) -> int:
    return min(module.in_features, module.out_features)


def _parameters(modules: Sequence[BlockModule], largest: int) -> Int[np.ndarray, " ranks"]:
    """Count A, (rank, in), and B, (out, rank), at the ranks 0 to the largest.

    No module's rank exceeds its smaller side.
    """
    ranks = np.arange(largest + 1)
    return sum(
        (np.minimum(ranks, _smaller_side(m)) * (m.in_features + m.out_features) for m in modules),
        start=np.zeros_like(ranks),
    )


def _check_limits(largest: int, **limits: int | None) -> None:
    for name, limit in limits.items():
        if limit is not None and limit > largest:
            raise RankError(
                f"{name} {limit} is above {largest}, the smaller side of the largest adapted "
                "matrix; no update of such a matrix has a higher rank."
            )
