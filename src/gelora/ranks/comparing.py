"""Two profiles of one architecture side by side: what moved, and what the rule now asks for.

Before and after a model was tuned on another task, say, or at two of its checkpoints. Both were
measured; nothing is measured here.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gelora.dimension.profile import DimensionProfile
from gelora.errors import ConfigError, ModelMismatchError, ProfileMismatchWarning
from gelora.ranks.plan import RankPlan, plan_ranks
from gelora.settings import EstimatorName, RankSettings

MAX_SIZE_DIFFERENCE = 0.05
"""Estimates from so many more samples have a smaller scale: they differ for that alone."""

ARCHITECTURE = ("model_type", "architecture")
"""The part of a fingerprint that training does not change."""

SETTINGS = ("granularity", "states", "pooling", "discard_fraction")
"""What decides which states are measured and how, so that it has to be the same."""


@dataclass(frozen=True)
class Change:
    """A measured number before and after.

    Attributes:
        before: In the first profile.
        before_standard_error: Its error.
        after: In the second.
        after_standard_error: Its error.
    """

    before: float
    before_standard_error: float
    after: float
    after_standard_error: float

    @property
    def difference(self) -> float:
        """After less before."""
        return self.after - self.before

    @property
    def standard_error(self) -> float:
        """Error of the difference: the root of the sum of both squares.

        That is right for two sets of texts. Where they are the same, most of what chance did to
        one profile it did to the other, and the difference is better known than this says.
        """
        return math.hypot(self.before_standard_error, self.after_standard_error)

    @property
    def is_clear(self) -> bool:
        """Whether the difference exceeds two of its standard errors.

        >>> Change(8.0, 0.3, 9.5, 0.4).is_clear
        True
        """
        return abs(self.difference) > 2 * self.standard_error

    def to_dict(self) -> dict[str, float]:
        """Return both numbers and their difference, with errors."""
        return {
            **asdict(self),
            "difference": self.difference,
            "standard_error": self.standard_error,
        }


@dataclass(frozen=True)
class ProfileComparison:
    """Two profiles side by side, and the plan that one rule makes of each.

    Attributes:
        before: The first profile, by the estimator that is compared.
        after: The second, by the same.
        profile_hashes: `content_hash` of both as they were given.
        plans: The plan made of each, by the same rule.
        dimensions: One per layer.
        increments: One per sublayer; each increment has its paired error, from the same samples on
            both sides of the sublayer.
    """

    before: DimensionProfile
    after: DimensionProfile
    profile_hashes: tuple[str, str]
    plans: tuple[RankPlan, RankPlan]
    dimensions: tuple[Change, ...]
    increments: tuple[Change, ...]

    @property
    def total_ranks(self) -> tuple[int, int]:
        """Sum of the ranks of all sublayers, before and after."""
        before, after = self.plans
        return sum(before.ranks), sum(after.ranks)

    @property
    def ranks_saved(self) -> int:
        """Total rank that the second plan asks for less than the first; negative if more."""
        before, after = self.total_ranks
        return before - after

    @property
    def parameters_saved(self) -> int:
        """Trainable parameters that the second plan has less than the first."""
        before, after = self.plans
        return before.trainable_parameters - after.trainable_parameters

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as it stands in a file, but the profiles, which have their own.

        Lists of two are before and after.
        """
        layers = zip(self.before.layers, self.dimensions, strict=True)
        sublayers = zip(self.before.sublayers, self.increments, strict=True)
        return {
            "estimator": self.before.settings.estimator,
            "profile_hashes": list(self.profile_hashes),
            "rule": self.plans[0].settings.rule,
            "dimensions": [{"layer": name, **change.to_dict()} for name, change in layers],
            "increments": [{"sublayer": name, **change.to_dict()} for name, change in sublayers],
            "ranks": [list(plan.ranks) for plan in self.plans],
            "certainties": [list(plan.certainties) for plan in self.plans],
            "total_ranks": list(self.total_ranks),
            "parameters": [list(plan.parameters) for plan in self.plans],
            "trainable_parameters": [plan.trainable_parameters for plan in self.plans],
        }


def compare_profiles(
    before: DimensionProfile,
    after: DimensionProfile,
    *,
    estimator: EstimatorName | None = None,
    settings: RankSettings | None = None,
    **changes: Any,
) -> ProfileComparison:
    """Put two profiles of one architecture side by side, and plan the ranks of both by one rule.

    Args:
        before: The first, such as of a model as it was published.
        after: The second, such as of that model tuned on another task, on the same texts.
        estimator: Whose dimensions are compared and planned with; None for the first profile's.
        settings: How ranks are chosen, as for `plan_ranks`.
        **changes: Fields of `RankSettings` to change.

    Returns:
        The differences with their errors, and both plans.

    Raises:
        ModelMismatchError: The profiles are of different architectures.
        ConfigError: They were measured in different ways, one has no dimensions by the estimator,
            or the rule is unknown.
        RankError: As `plan_ranks`.

    Warns:
        ProfileMismatchWarning: Their numbers of samples differ by more than a twentieth.
    """
    _check_architectures(before, after)
    _check_settings(before, after)
    _check_sizes(before, after)
    profile_hashes = before.content_hash(), after.content_hash()
    before, after = (
        _by(estimator or before.settings.estimator, profile) for profile in (before, after)
    )
    return ProfileComparison(
        before=before,
        after=after,
        profile_hashes=profile_hashes,
        plans=(plan_ranks(before, settings, **changes), plan_ranks(after, settings, **changes)),
        dimensions=_changes(
            *(before.dimensions, before.standard_errors),
            *(after.dimensions, after.standard_errors),
        ),
        increments=_changes(
            *(before.increments, before.increment_standard_errors),
            *(after.increments, after.increment_standard_errors),
        ),
    )


def _by(estimator: EstimatorName, profile: DimensionProfile) -> DimensionProfile:
    if estimator not in profile.series:
        raise ConfigError(
            f"One of the profiles has no dimensions by {estimator}, only by "
            f"{', '.join(sorted(profile.series))}: measure both with --estimator {estimator} or "
            "--all_estimators."
        )
    return replace(profile, settings=replace(profile.settings, estimator=estimator))


def _changes(*columns: Sequence[float]) -> tuple[Change, ...]:
    return tuple(Change(*row) for row in zip(*columns, strict=True))


def _check_architectures(before: DimensionProfile, after: DimensionProfile) -> None:
    if any(before.fingerprint[key] != after.fingerprint[key] for key in ARCHITECTURE):
        first, second = (
            f"{profile.fingerprint['model_type']} model of {len(profile.blocks)} blocks"
            for profile in (before, after)
        )
        raise ModelMismatchError(
            f"The first profile is of a {first} and the second of "
            f"{'another, with other modules or shapes' if first == second else f'a {second}'}: "
            "only those of one architecture have the same blocks to compare."
        )


def _check_settings(before: DimensionProfile, after: DimensionProfile) -> None:
    for name in SETTINGS:
        first, second = getattr(before.settings, name), getattr(after.settings, name)
        if first != second:
            raise ConfigError(
                f"The first profile was measured with {name} {first} and the second with {second}, "
                "which gives other dimensions of the same model: measure both alike."
            )


def _check_sizes(before: DimensionProfile, after: DimensionProfile) -> None:
    first, second = before.num_used, after.num_used
    if abs(first - second) > MAX_SIZE_DIFFERENCE * max(first, second):
        warnings.warn(
            f"The first profile rests on {first:,} samples and the second on {second:,}: an "
            "estimate from more samples has a smaller scale and may differ for that alone. Measure "
            "both with the same --num_samples, on the same texts, and --precision 0.",
            ProfileMismatchWarning,
            stacklevel=3,
        )
