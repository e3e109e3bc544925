"""Give the ranks of a plan to other steps: controls that ask if it matters which step has them.

Ranks change places among steps whose adapted modules have the same shapes (in most models all
blocks are such), so that the plan costs what it did.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gelora.dimension.profile import DimensionProfile
from gelora.errors import RankError
from gelora.ranks.plan import RankPlan, whole


def reversed_order(plan: RankPlan, profile: DimensionProfile) -> tuple[int, ...]:
    """Return the steps back to front, for `permuted`."""
    order = list(range(len(plan.steps)))
    for alike in _alike_steps(plan, profile):
        for step, source in zip(alike, reversed(alike), strict=True):
            order[step] = source
    return tuple(order)


def shuffled_order(plan: RankPlan, profile: DimensionProfile, *, seed: int) -> tuple[int, ...]:
    """Return the steps in a random order that changes the ranks of some, if any can change."""
    generator = np.random.default_rng(seed)
    groups = _alike_steps(plan, profile)
    can_change = any(len({plan.ranks[step] for step in alike}) > 1 for alike in groups)
    while True:
        order = list(range(len(plan.steps)))
        for alike in groups:
            for step, source in zip(alike, generator.permutation(alike).tolist(), strict=True):
                order[step] = source
        if not can_change or any(
            plan.ranks[source] != plan.ranks[step] for step, source in enumerate(order)
        ):
            return tuple(order)


def permuted(plan: RankPlan, profile: DimensionProfile, order: Sequence[int]) -> RankPlan:
    """Return a plan in which every step has the rank of another.

    Args:
        plan: Made from `profile`.
        profile: Says which modules work in which step.
        order: For every step, the index of the step whose rank it gets; that rank's probabilities
            and parameters go with it.

    Raises:
        RankError: Some step is there twice or not at all, or gets its rank from one whose adapted
            modules have other shapes.
    """
    if sorted(order) != list(range(len(plan.steps))):
        raise RankError(f"{list(order)} is not an order of {len(plan.steps)} steps.")
    for alike in _alike_steps(plan, profile):
        stray = [step for step in alike if order[step] not in alike]
        if stray:
            step, source = plan.steps[stray[0]], plan.steps[order[stray[0]]]
            raise RankError(
                f"{step} cannot have the rank of {source}, whose adapted modules have other shapes."
            )
    ranks = tuple(plan.ranks[source] for source in order)
    modules = {
        module.name: min(ranks[profile.step_of(module)], module.in_features, module.out_features)
        for module in profile.modules
        if module.name in plan.modules
    }
    return replace(
        plan,
        ranks=ranks,
        rank_probabilities=tuple(plan.rank_probabilities[source] for source in order),
        modules=modules,
        alphas={name: whole(plan.alpha_per_rank * rank) for name, rank in modules.items()},
        parameters=tuple(plan.parameters[source] for source in order),
    )


def _alike_steps(plan: RankPlan, profile: DimensionProfile) -> list[list[int]]:
    """Return the steps in groups whose adapted modules have the same shapes."""
    shapes: list[list[tuple[int, int]]] = [[] for _ in plan.steps]
    for module in profile.modules:
        if module.name in plan.modules:
            shapes[profile.step_of(module)].append((module.in_features, module.out_features))
    groups: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for step, found in enumerate(shapes):
        groups.setdefault(tuple(sorted(found)), []).append(step)
    return list(groups.values())
