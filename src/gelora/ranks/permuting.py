"""Give the ranks of a plan to other sublayers, as a control of where they are placed.

Ranks change places among sublayers whose adapted modules have the same shapes (in most models all
blocks are such), so that the plan costs what it did.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gelora.dimension.profile import DimensionProfile
from gelora.errors import RankError
from gelora.ranks.plan import RankPlan, whole


def reversed_order(plan: RankPlan, profile: DimensionProfile) -> tuple[int, ...]:
    """Return the sublayers back to front, for `permuted`."""
    order = list(range(len(plan.sublayers)))
    for alike in _alike_sublayers(plan, profile):
        for sublayer, source in zip(alike, reversed(alike), strict=True):
            order[sublayer] = source
    return tuple(order)


def shuffled_order(plan: RankPlan, profile: DimensionProfile, *, seed: int) -> tuple[int, ...]:
    """Return the sublayers in a random order that changes the ranks of some, if any can change."""
    generator = np.random.default_rng(seed)
    groups = _alike_sublayers(plan, profile)
    can_change = any(len({plan.ranks[sublayer] for sublayer in alike}) > 1 for alike in groups)
    while True:
        order = list(range(len(plan.sublayers)))
        for alike in groups:
            for sublayer, source in zip(alike, generator.permutation(alike).tolist(), strict=True):
                order[sublayer] = source
        if not can_change or any(
            plan.ranks[source] != plan.ranks[sublayer] for sublayer, source in enumerate(order)
        ):
            return tuple(order)


def permuted(plan: RankPlan, profile: DimensionProfile, order: Sequence[int]) -> RankPlan:
    """Return a plan in which every sublayer has the rank of another.

    Args:
        plan: Made from `profile`.
        profile: Says which modules work in which sublayer.
        order: For every sublayer, the index of the sublayer whose rank it gets; that rank's
            probabilities and parameters go with it.

    Raises:
        RankError: Some sublayer is there twice or not at all, or gets its rank from one whose
            adapted modules have other shapes.
    """
    if sorted(order) != list(range(len(plan.sublayers))):
        raise RankError(f"{list(order)} is not an order of {len(plan.sublayers)} sublayers.")
    for alike in _alike_sublayers(plan, profile):
        stray = [sublayer for sublayer in alike if order[sublayer] not in alike]
        if stray:
            sublayer, source = plan.sublayers[stray[0]], plan.sublayers[order[stray[0]]]
            raise RankError(
                f"{sublayer} cannot have the rank of {source}, whose adapted modules have other "
                "shapes."
            )
    ranks = tuple(plan.ranks[source] for source in order)
    modules = {
        module.name: min(
            ranks[profile.sublayer_of(module)], module.in_features, module.out_features
        )
        for module in profile.modules
        if module.name in plan.modules
    }
    return replace(
        plan,
        ranks=ranks,
        rank_probabilities=tuple(plan.rank_probabilities[source] for source in order),
        modules=modules,
        alphas={name: whole(plan.scaling * rank) for name, rank in modules.items()},
        parameters=tuple(plan.parameters[source] for source in order),
    )


def _alike_sublayers(plan: RankPlan, profile: DimensionProfile) -> list[list[int]]:
    """Return the sublayers in groups whose adapted modules have the same shapes."""
    shapes: list[list[tuple[int, int]]] = [[] for _ in plan.sublayers]
    for module in profile.modules:
        if module.name in plan.modules:
            shapes[profile.sublayer_of(module)].append((module.in_features, module.out_features))
    groups: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for sublayer, shapes_inside in enumerate(shapes):
        groups.setdefault(tuple(sorted(shapes_inside)), []).append(sublayer)
    return list(groups.values())
