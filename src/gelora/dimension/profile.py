"""`DimensionProfile`: the dimension after every block with its error, frozen, and as JSON.

A profile is what measuring leaves and all that planning needs: it also lists the blocks and the
modules of the model, so that ranks can be planned on a machine that has no model.
"""

# pandas and matplotlib have partly unknown types
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from gelora.artifacts import PROFILE_FILE, Artifact
from gelora.errors import ArtifactError
from gelora.settings import Granularity, MeasurementSettings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

Role = Literal["query", "key", "value", "query_key_value", "output", "mixer", "mlp"]
"""What a module does in its block; `query_key_value` is a fused projection, `mixer` what else mixes
tokens: linear attention, a state space, latent attention."""

Verdict = Literal["stable", "noisy", "duplicated", "too few samples", "constant"]
"""How far the dimension of a layer can be trusted."""

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
    """One estimator's dimensions of every layer and increments of every sublayer.

    Attributes:
        dimensions: One per layer; 0.0 where the layer is constant.
        standard_errors: One per layer, in dimensions.
        increments: One per sublayer: the dimension after it less the dimension before it.
        increment_standard_errors: One per sublayer, from the same samples on both sides.
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
        dimensions: One per layer, the mean over the disjoint parts.
        standard_errors: One per layer, of that mean.
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


@dataclass(frozen=True, repr=False)
class DimensionProfile(Artifact):
    """The intrinsic dimension after every block of a model, on one set of texts.

    A *layer* is a place where the hidden states are read: the embeddings, then each block's
    output. With two stacks (encoder and decoder) each begins with its own embeddings, so
    there are as many layers as blocks and stacks together. A *sublayer* is what leads from one
    layer to the next: a block or, with granularity "sublayer", its attention half
    ("PATH/attention") or its MLP half ("PATH/mlp"). Increment `i` belongs to `sublayers[i]` and is
    the difference of the layer that bears the sublayer's name and the layer before it.

    Attributes:
        settings: How it was measured, with the pooling that was used. `settings.estimator`, a key
            of `series`, is the estimator that the ranks come from.
        series: What each estimator gave.
        layers: Name of every layer: the sublayer's that ends there, or "embeddings"
            ("encoder.embeddings" and "decoder.embeddings" where there are two stacks).
        blocks: Path of every block from the backbone's root, in the order they run.
        modules: Every Linear and Conv1D of every block.
        fingerprint: Tells the model: type, architecture hash and samples of its weights.
        seed: Seed that chose the texts.
        num_texts: Texts or other samples measured, before any was set aside: those used and both
            kinds of copies.
        stopped_by: Why no more texts were measured.
        num_used: Samples that every estimate rests on, the same in each layer.
        num_duplicates: Texts set aside as exact copies.
        num_near_duplicates: Texts set aside as copies up to rounding.
        forward_tokens: Tokens, patches or frames, padding too, that went through the model.
        constant_layers: Indices of the layers that do not vary; their dimension is 0.
        log_mu_quantiles: For every layer, log(r2/r1) at evenly spaced fractions
            (i + 0.5) / len; empty for a constant layer. For the figure of the fit.
        decimation: The estimate on ever smaller parts of the samples, the whole first.
        verdicts: One per layer: how far to trust it.
        biased_layers: Indices of the layers whose dimension is so high that the estimator's bias
            may matter (docs/accuracy.md).
        top_variance_shares: One per layer: the share of the variance that the three coordinates
            of largest variance carry, between 0 and 1.
        left_out: Weights of the blocks that no adapter can be put on.
        data: What is known of the data, JSON-able: `texts_sha256`, `source` and the columns from
            the command line; `inputs_sha256` for batches of inputs. Empty for texts in Python.
    """

    FILE: ClassVar[str] = PROFILE_FILE
    KIND: ClassVar[str] = "dimension_profile"

    settings: MeasurementSettings
    series: Mapping[str, DimensionSeries]
    layers: tuple[str, ...]
    blocks: tuple[str, ...]
    modules: tuple[BlockModule, ...]
    fingerprint: Mapping[str, Any]
    seed: int
    num_texts: int
    stopped_by: StopReason
    num_used: int
    num_duplicates: int
    num_near_duplicates: int
    forward_tokens: int
    constant_layers: tuple[int, ...]
    log_mu_quantiles: tuple[tuple[float, ...], ...]
    decimation: tuple[DecimatedDimensions, ...]
    verdicts: tuple[Verdict, ...]
    biased_layers: tuple[int, ...]
    top_variance_shares: tuple[float, ...]
    left_out: tuple[LeftOut, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_frame(self) -> "DataFrame":
        """Return the profile as a table with a row for every layer.

        Returns:
            Columns `dimension`, `standard_error`, `increment`, `increment_standard_error` (NaN at
            the embeddings), all float64 in dimensions, and `verdict`; the index is the layer.
        """
        import pandas as pd  # noqa: PLC0415 - a third of a second that only this needs

        # Series are put beside the layers by name: the embeddings have no increment.
        increments = pd.Series(self.increments, self.sublayers)
        errors = pd.Series(self.increment_standard_errors, self.sublayers)
        return pd.DataFrame(
            {
                "dimension": self.dimensions,
                "standard_error": self.standard_errors,
                "increment": increments,
                "increment_standard_error": errors,
                "verdict": self.verdicts,
            },
            index=pd.Index(self.layers, name="layer"),
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the dimension at every layer with a band of one standard error.

        Args:
            ax: Where to draw; None for a new figure, which is `returned.figure`.

        Returns:
            The axes.
        """
        import numpy as np  # noqa: PLC0415 - only this needs it
        from matplotlib.figure import Figure  # noqa: PLC0415

        axes = ax if ax is not None else Figure(layout="constrained").subplots()
        places = range(len(self.layers))
        dimensions, errors = np.array(self.dimensions), np.array(self.standard_errors)
        axes.fill_between(places, dimensions - errors, dimensions + errors, alpha=0.2)
        axes.plot(places, dimensions, marker="o")
        axes.set(xlabel="layer of hidden states", ylabel="intrinsic dimension")
        return axes

    def __repr__(self) -> str:
        first, last = self.dimensions[0], self.dimensions[-1]
        return (
            f"DimensionProfile({self.fingerprint.get('model_type')}, {len(self.blocks)} blocks, "
            f"dimension {first:.1f} at {self.layers[0]} to {last:.1f} at {self.layers[-1]}, "
            f"{self.num_used:,} samples, {self.settings.estimator})"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.to_frame().round(2).to_html()}"

    def check(self) -> None:
        """Check that there is a value for every layer and every sublayer.

        Raises:
            ArtifactError: There is not.
        """
        _check_lengths(self)
        _check_indices(self)

    @property
    def sublayers(self) -> tuple[str, ...]:
        """Name of every sublayer, in the order they run: the layers but for the embeddings."""
        return sublayer_names(self.blocks, self.settings.granularity)

    @property
    def dimensions(self) -> tuple[float, ...]:
        """Dimension of every layer, by the profile's estimator."""
        return self.series[self.settings.estimator].dimensions

    @property
    def standard_errors(self) -> tuple[float, ...]:
        """Standard error of every layer's dimension."""
        return self.series[self.settings.estimator].standard_errors

    @property
    def increments(self) -> tuple[float, ...]:
        """Growth of the dimension in every sublayer; negative where it shrinks."""
        return self.series[self.settings.estimator].increments

    @property
    def increment_standard_errors(self) -> tuple[float, ...]:
        """Standard error of every sublayer's increment, from paired samples."""
        return self.series[self.settings.estimator].increment_standard_errors

    @property
    def largest_increment_error(self) -> float:
        """Largest standard error of the increments that count: none out of a constant layer.

        More texts teach nothing of such a sublayer, and no rule counts its increment.
        """
        errors = enumerate(self.increment_standard_errors)
        return max(
            (e for sublayer, e in errors if not self.has_constant_input(sublayer)), default=0.0
        )

    def layer_of(self, sublayer: int) -> int:
        """Return the index of a sublayer's output among the layers; its input is the one before."""
        return self.layers.index(self.sublayers[sublayer])

    def sublayer_of(self, module: BlockModule) -> int:
        """Return the sublayer that a module works in, whose increment its rank follows."""
        if self.settings.granularity == "block":
            return module.block
        return len(HALVES) * module.block + (module.role == "mlp")

    def has_constant_input(self, sublayer: int) -> bool:
        """Return whether a sublayer's input does not vary, so that its growth says nothing."""
        return self.layer_of(sublayer) - 1 in self.constant_layers


def sublayer_names(blocks: Sequence[str], granularity: Granularity) -> tuple[str, ...]:
    """Return the name of every sublayer of the blocks.

    >>> sublayer_names(["layer.0"], "sublayer")
    ('layer.0/attention', 'layer.0/mlp')
    """
    if granularity == "block":
        return tuple(blocks)
    return tuple(f"{block}/{half}" for block in blocks for half in HALVES)


def _check_lengths(profile: DimensionProfile) -> None:
    if profile.settings.estimator not in profile.series:
        raise ArtifactError(
            f"The dimension profile has no values by {profile.settings.estimator}, only by "
            f"{', '.join(sorted(profile.series))}."
        )
    for name, series in profile.series.items():
        per_layer = len(series.dimensions), len(series.standard_errors)
        per_sublayer = len(series.increments), len(series.increment_standard_errors)
        if {*per_layer} != {len(profile.layers)} or {*per_sublayer} != {len(profile.sublayers)}:
            raise ArtifactError(
                f"The dimension profile has {len(profile.layers)} layers and "
                f"{len(profile.sublayers)} sublayers, and {name} has {per_layer} and "
                f"{per_sublayer} values and errors of them."
            )
    if not set(profile.sublayers) <= set(profile.layers):
        raise ArtifactError("The dimension profile has sublayers that are not among its layers.")
    names = ("verdicts", "top_variance_shares", "log_mu_quantiles")
    lists = [(name, getattr(profile, name)) for name in names]
    lists += [("dimensions of a part", part.dimensions) for part in profile.decimation]
    for name, values in lists:
        if len(values) != len(profile.layers):
            raise ArtifactError(
                f"The dimension profile has {len(profile.layers)} layers and {len(values)} {name}."
            )


def _check_indices(profile: DimensionProfile) -> None:
    for name in ("constant_layers", "biased_layers"):
        for layer in getattr(profile, name):
            if layer not in range(len(profile.layers)):
                raise ArtifactError(
                    f"The dimension profile's {name} says {layer}, and it has "
                    f"{len(profile.layers)} layers."
                )
