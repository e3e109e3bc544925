"""`DimensionProfile`: the dimension after every block with its error, frozen, and as JSON.

A profile is what measuring leaves and all that planning needs: it also lists the blocks and the
modules of the model, so that ranks can be planned on a machine that has no model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal, Self, get_args

from gelora.artifacts import PROFILE_FILE, Artifact, reading_fields
from gelora.errors import ArtifactError

Role = Literal["query", "key", "value", "query_key_value", "output", "mixer", "mlp"]
"""What a module does in its block; `query_key_value` is a fused projection, `mixer` what else mixes
tokens: linear attention, a state space, latent attention."""

Granularity = Literal["block", "sublayer"]
"""Where states are read: after every block, or after both halves of it."""

States = Literal["raw", "normalized"]
"""As the block returns them, or as the norm that reads them next hands them on."""

Verdict = Literal["stable", "noisy", "duplicated", "too few samples", "constant"]
"""How far the dimension of a level is to be trusted; see `remedies.py`."""

StopReason = Literal["num_samples", "precision", "stable_ranks"]
"""Why no more texts were measured: all that were asked for, or one of the two early stops."""

HALVES = ("attention", "mlp")


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
    """One estimator's dimensions of every level and increments of every step.

    Attributes:
        dimensions: One per level; 0.0 where the level is constant.
        standard_errors: One per level, in dimensions.
        increments: One per step: the dimension after it less the dimension before it.
        increment_standard_errors: One per step, from the same samples on both sides.
    """

    dimensions: tuple[float, ...]
    standard_errors: tuple[float, ...]
    increments: tuple[float, ...]
    increment_standard_errors: tuple[float, ...]


@dataclass(frozen=True)
class DecimatedDimensions:
    """The profile's estimator on random parts of the samples, at a larger scale therefore.

    Attributes:
        num_samples: Samples in each part.
        dimensions: One per level, the mean over the disjoint parts.
        standard_errors: One per level, of that mean.
    """

    num_samples: int
    dimensions: tuple[float, ...]
    standard_errors: tuple[float, ...]


NOT_LINEAR = "not a Linear"
"""The reason of weights that are in no module to adapt, such as fused experts."""


@dataclass(frozen=True)
class LeftOut:
    """Weights of the blocks that no adapter can be put on, whatever the targets.

    Attributes:
        name: Path of a module or a parameter inside its blocks, the same in all of them.
        reason: Why.
        weights: How many, in all blocks.
    """

    name: str
    reason: str
    weights: int


@dataclass(frozen=True)
class DimensionProfile(Artifact):
    """The intrinsic dimension after every block of a model, on one set of texts.

    A *level* is a place where the hidden states are read: the embeddings, then each block's
    output. With two stacks (encoder and decoder) each begins with its own embeddings, so
    there are as many levels as blocks and stacks together. A *step* is what leads from one level
    to the next: a block or, with granularity "sublayer", its attention half ("PATH/attention")
    or its MLP half ("PATH/mlp"). Increment `i` belongs to `steps[i]` and is the difference of
    the level that bears the step's name and the level before it.

    Attributes:
        estimator: Name of the estimator that the ranks come from, a key of `series`.
        series: What each estimator gave.
        levels: Name of every level: the step's that ends there, or "embeddings"
            ("encoder.embeddings" and "decoder.embeddings" where there are two stacks).
        blocks: Path of every block from the backbone's root, in the order they run.
        modules: Every Linear and Conv1D of every block.
        fingerprint: Tells the model: type, architecture hash and samples of its weights.
        granularity: "block" or "sublayer".
        states: "raw", or "normalized" if each was read behind the norm that takes it on.
        pooling: How a sequence became one vector: "mean", "last" or "first".
        discard_fraction: Share of the largest ratios that the line fit left out.
        seed: Seed that chose the texts.
        num_texts: Texts measured, before any was set aside: those used and both kinds of copies.
        precision: Standard error, in dimensions, that every increment was to reach, or None.
        stopped_by: Why no more texts were measured.
        num_used: Samples that every estimate rests on, the same in each level.
        num_duplicates: Texts set aside as exact copies.
        num_near_duplicates: Texts set aside as copies up to rounding.
        forward_tokens: Input tokens, padding too, that went through the model: its cost.
        constant_levels: Indices of the levels that do not vary; their dimension is 0.
        log_mu_quantiles: For every level, log(r2/r1) at evenly spaced fractions
            (i + 0.5) / len; empty for a constant level. For the figure of the fit.
        decimation: The estimate on ever smaller parts of the samples, the whole first.
        verdicts: One per level: how far to trust it.
        biased_levels: Indices of the levels whose dimension is so high that the estimator's bias
            may matter (docs/accuracy.md).
        top_variance_shares: One per level: the share of the variance that the three coordinates
            of largest variance carry, between 0 and 1.
        left_out: Weights of the blocks that no adapter can be put on; the file has no such field
            where there are none.
        data: What is known of the texts, JSON-able: `texts_sha256`, `source`, the columns. Empty
            where nothing is, as in Python; the file then has no such field.
    """

    FILE: ClassVar[str] = PROFILE_FILE
    KIND: ClassVar[str] = "dimension_profile"

    estimator: str
    series: Mapping[str, DimensionSeries]
    levels: tuple[str, ...]
    blocks: tuple[str, ...]
    modules: tuple[BlockModule, ...]
    fingerprint: Mapping[str, Any]
    granularity: Granularity
    states: States
    pooling: str
    discard_fraction: float
    seed: int
    num_texts: int
    precision: float | None
    stopped_by: StopReason
    num_used: int
    num_duplicates: int
    num_near_duplicates: int
    forward_tokens: int
    constant_levels: tuple[int, ...]
    log_mu_quantiles: tuple[tuple[float, ...], ...]
    decimation: tuple[DecimatedDimensions, ...]
    verdicts: tuple[Verdict, ...]
    biased_levels: tuple[int, ...]
    top_variance_shares: tuple[float, ...]
    left_out: tuple[LeftOut, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def steps(self) -> tuple[str, ...]:
        """Name of every step, in the order they run: the levels but for the embeddings."""
        return step_names(self.blocks, self.granularity)

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
        """Growth of the dimension in every step; negative where it shrinks."""
        return self.series[self.estimator].increments

    @property
    def increment_standard_errors(self) -> tuple[float, ...]:
        """Standard error of every step's increment, from paired samples."""
        return self.series[self.estimator].increment_standard_errors

    @property
    def largest_increment_error(self) -> float:
        """Largest standard error of the increments that count: none out of a constant level.

        More texts teach nothing of such a step, and no rule counts its increment.
        """
        errors = enumerate(self.increment_standard_errors)
        return max((e for step, e in errors if not self.has_constant_input(step)), default=0.0)

    def level_of(self, step: int) -> int:
        """Return the index of a step's output among the levels; its input is the one before."""
        return self.levels.index(self.steps[step])

    def step_of(self, module: BlockModule) -> int:
        """Return the step that a module works in, whose increment its rank follows."""
        if self.granularity == "block":
            return module.block
        return len(HALVES) * module.block + (module.role == "mlp")

    def has_constant_input(self, step: int) -> bool:
        """Return whether a step begins from a constant level, so that its growth says nothing."""
        return self.level_of(step) - 1 in self.constant_levels

    def to_dict(self) -> dict[str, Any]:
        """Return the profile as it stands in its file: the estimator's series at the top."""
        payload = asdict(self)
        series = payload.pop("series")
        for name in ("data", "left_out"):
            if not payload[name]:
                del payload[name]
        return {**payload, **series.pop(self.estimator), "other_estimates": series}

    @classmethod
    def from_dict(cls, payload: Mapping[str, Any]) -> Self:
        """Rebuild a profile from `to_dict`'s form.

        Raises:
            ArtifactError: A field is missing or of the wrong shape.
        """
        values = dict(payload)
        with reading_fields("dimension profile"):
            own = {name.name: values.pop(name.name) for name in fields(DimensionSeries)}
            others = values.pop("other_estimates")
            series = {values["estimator"]: own, **others}
            values["series"] = {name: _series(one) for name, one in series.items()}
            values["modules"] = tuple(BlockModule(**module) for module in values["modules"])
            values["left_out"] = tuple(LeftOut(**part) for part in values.get("left_out", ()))
            values["log_mu_quantiles"] = tuple(map(tuple, values["log_mu_quantiles"]))
            values["decimation"] = tuple(map(_decimated, values["decimation"]))
            for name in _TUPLES:
                values[name] = tuple(values[name])
            profile = cls(**values)
        _check_lengths(profile)
        _check_values(profile)
        return profile


def step_names(blocks: Sequence[str], granularity: Granularity) -> tuple[str, ...]:
    """Return the name of every step of the blocks.

    >>> step_names(["layer.0"], "sublayer")
    ('layer.0/attention', 'layer.0/mlp')
    """
    if granularity == "block":
        return tuple(blocks)
    return tuple(f"{block}/{half}" for block in blocks for half in HALVES)


_TUPLES = (
    *("levels", "blocks", "constant_levels", "verdicts"),
    *("biased_levels", "top_variance_shares"),
)


def _series(values: Mapping[str, list[float]]) -> DimensionSeries:
    return DimensionSeries(**{name: tuple(numbers) for name, numbers in values.items()})


def _decimated(values: Mapping[str, Any]) -> DecimatedDimensions:
    return DecimatedDimensions(
        values["num_samples"], tuple(values["dimensions"]), tuple(values["standard_errors"])
    )


def _check_lengths(profile: DimensionProfile) -> None:
    for name, series in profile.series.items():
        per_level = len(series.dimensions), len(series.standard_errors)
        per_step = len(series.increments), len(series.increment_standard_errors)
        if {*per_level} != {len(profile.levels)} or {*per_step} != {len(profile.steps)}:
            raise ArtifactError(
                f"The dimension profile has {len(profile.levels)} levels and {len(profile.steps)} "
                f"steps, and {name} has {per_level} and {per_step} values and errors of them."
            )
    if not set(profile.steps) <= set(profile.levels):
        raise ArtifactError("The dimension profile has steps that are not among its levels.")
    names = ("verdicts", "top_variance_shares", "log_mu_quantiles")
    lists = [(name, getattr(profile, name)) for name in names]
    lists += [("dimensions of a part", part.dimensions) for part in profile.decimation]
    for name, values in lists:
        if len(values) != len(profile.levels):
            raise ArtifactError(
                f"The dimension profile has {len(profile.levels)} levels and {len(values)} {name}."
            )


def _check_values(profile: DimensionProfile) -> None:
    indices = range(len(profile.levels))
    allowed: tuple[tuple[str, Sequence[object], Sequence[object]], ...] = (
        ("granularity", [profile.granularity], get_args(Granularity)),
        ("states", [profile.states], get_args(States)),
        ("stopped_by", [profile.stopped_by], get_args(StopReason)),
        ("verdicts", profile.verdicts, get_args(Verdict)),
        ("constant_levels", profile.constant_levels, indices),
        ("biased_levels", profile.biased_levels, indices),
    )
    for name, values, choices in allowed:
        for value in values:
            if value not in choices:
                raise ArtifactError(
                    f"The dimension profile's {name} says {value!r}, and knows {list(choices)}."
                )
