"""`DimensionProfile`: the dimension after every block with its error, frozen, and as JSON.

A profile is what measuring leaves and all that planning needs: it also lists the blocks and the
modules of the model, so that ranks can be planned on a machine that has no model.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, Self

from gelora.artifacts import PROFILE_FILE, Artifact
from gelora.errors import ArtifactError

Role = Literal["query", "key", "value", "query_key_value", "output", "mlp"]
"""What a module does in its block; `query_key_value` is a fused projection."""


@dataclass(frozen=True)
class BlockModule:
    """One Linear (or Conv1D) inside a block.

    Attributes:
        name: Path from the root of the backbone (the model without its head).
        block: Index into the profile's `blocks`.
        role: Its part in the block.
        in_features: Width of its input.
        out_features: Width of its output.
    """

    name: str
    block: int
    role: Role
    in_features: int
    out_features: int


@dataclass(frozen=True)
class DimensionSeries:
    """One estimator's dimensions of every level and increments of every block.

    Attributes:
        dimensions: One per level; 0.0 where the level is constant.
        standard_errors: One per level, in dimensions.
        increments: One per block: the dimension after it less the dimension before it.
        increment_standard_errors: One per block, from the same samples on both sides.
    """

    dimensions: tuple[float, ...]
    standard_errors: tuple[float, ...]
    increments: tuple[float, ...]
    increment_standard_errors: tuple[float, ...]


@dataclass(frozen=True)
class DimensionProfile(Artifact):
    """The intrinsic dimension after every block of a model, on one set of texts.

    A *level* is a place where the hidden states are read: the embeddings, then each block's
    output. With two stacks (encoder and decoder) each begins with its own embeddings, so
    there are as many levels as blocks and stacks together. Increment `i` belongs to
    `blocks[i]` and is the difference of that block's level and the level before it.

    Attributes:
        estimator: Name of the estimator that the ranks come from, a key of `series`.
        series: What each estimator gave.
        levels: Name of every level: the block's path, or "embeddings" ("encoder.embeddings" and
            "decoder.embeddings" where there are two stacks).
        blocks: Path of every block from the backbone's root, in the order they run.
        modules: Every Linear and Conv1D of every block.
        fingerprint: Tells the model: type, architecture hash and samples of its weights.
        pooling: How a sequence became one vector: "mean", "last" or "first".
        discard_fraction: Share of the largest ratios that the line fit left out.
        seed: Seed that chose the texts.
        num_texts: Texts drawn, before any was set aside: those used and both kinds of copies.
        num_used: Samples that every estimate rests on, the same in each level.
        num_duplicates: Texts set aside as exact copies.
        num_near_duplicates: Texts set aside as copies up to rounding.
        forward_tokens: Input tokens, padding too, that went through the model: its cost.
        constant_levels: Indices of the levels that do not vary; their dimension is 0.
        log_mu_quantiles: For every level, log(r2/r1) at evenly spaced fractions
            (i + 0.5) / len; empty for a constant level. For the figure of the fit.
    """

    FILE: ClassVar[str] = PROFILE_FILE
    KIND: ClassVar[str] = "dimension_profile"

    estimator: str
    series: Mapping[str, DimensionSeries]
    levels: tuple[str, ...]
    blocks: tuple[str, ...]
    modules: tuple[BlockModule, ...]
    fingerprint: Mapping[str, Any]
    pooling: str
    discard_fraction: float
    seed: int
    num_texts: int
    num_used: int
    num_duplicates: int
    num_near_duplicates: int
    forward_tokens: int
    constant_levels: tuple[int, ...]
    log_mu_quantiles: tuple[tuple[float, ...], ...]

    @property
    def dimensions(self) -> tuple[float, ...]:
        """Dimension of every level, by the profile's estimator."""
        return self.series[self.estimator].dimensions

    @property
    def standard_errors(self) -> tuple[float, ...]:
        """Standard error of every level's dimension."""
        return self.series[self.estimator].standard_errors

    @property
    def increments(self) -> tuple[float, ...]:
        """Growth of the dimension in every block; negative where it shrinks."""
        return self.series[self.estimator].increments

    @property
    def increment_standard_errors(self) -> tuple[float, ...]:
        """Standard error of every block's increment, from paired samples."""
        return self.series[self.estimator].increment_standard_errors

    def level_of(self, block: int) -> int:
        """Return the index of a block's output among the levels; its input is the one before."""
        return self.levels.index(self.blocks[block])

    def has_constant_input(self, block: int) -> bool:
        """Return whether a block begins from a constant level, so that its growth says nothing."""
        return self.level_of(block) - 1 in self.constant_levels

    def to_dict(self) -> dict[str, Any]:
        """Return the profile as it stands in its file: the estimator's series at the top."""
        payload = asdict(self)
        series = payload.pop("series")
        return {**payload, **series.pop(self.estimator), "other_estimates": series}

    @classmethod
    def from_dict(cls, payload: Mapping[str, Any]) -> Self:
        """Rebuild a profile from `to_dict`'s form.

        Raises:
            ArtifactError: A field is missing or of the wrong shape.
        """
        values = dict(payload)
        try:
            own = {field.name: values.pop(field.name) for field in fields(DimensionSeries)}
            others = values.pop("other_estimates")
            series = {values["estimator"]: own, **others}
            values["series"] = {name: _series(one) for name, one in series.items()}
            values["modules"] = tuple(BlockModule(**module) for module in values["modules"])
            values["log_mu_quantiles"] = tuple(map(tuple, values["log_mu_quantiles"]))
            for name in ("levels", "blocks", "constant_levels"):
                values[name] = tuple(values[name])
            profile = cls(**values)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"The dimension profile lacks or mistypes a field: {error}."
            ) from error
        _check_lengths(profile)
        return profile


def _series(values: Mapping[str, list[float]]) -> DimensionSeries:
    return DimensionSeries(**{name: tuple(numbers) for name, numbers in values.items()})


def _check_lengths(profile: DimensionProfile) -> None:
    for name, series in profile.series.items():
        per_level = len(series.dimensions), len(series.standard_errors)
        per_block = len(series.increments), len(series.increment_standard_errors)
        if {*per_level} != {len(profile.levels)} or {*per_block} != {len(profile.blocks)}:
            raise ArtifactError(
                f"The dimension profile has {len(profile.levels)} levels and {len(profile.blocks)} "
                f"blocks, and {name} has {per_level} and {per_block} values and errors of them."
            )
    if not set(profile.blocks) <= set(profile.levels):
        raise ArtifactError("The dimension profile has blocks that are not among its levels.")
