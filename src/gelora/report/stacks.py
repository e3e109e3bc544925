"""Which layers and sublayers belong together: one stack of blocks, or an encoder and a decoder.

Only names and positions; nothing is drawn or written here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gelora.dimension.profile import HALVES, DimensionProfile
from gelora.report.text import list_runs

HALF_NAMES = dict(zip(HALVES, ("attention", "MLP"), strict=True))


@dataclass(frozen=True)
class StackLayout:
    """One stack of blocks as the report shows it.

    Attributes:
        name: "" where the model has one stack, otherwise what tells it apart.
        layers: Indices of its layers; the first is its embeddings.
        sublayers: Indices of its sublayers.
        positions: Place of each layer on a figure's horizontal axis; stacks stand apart.
        halves: What the sublayers of a block are called: nothing, or "attention" and "MLP".
    """

    name: str
    layers: range
    sublayers: range
    positions: range
    halves: tuple[str, ...]

    def labels(self) -> list[str]:
        """Return a name for every layer: "embeddings", "block 1", ... or "block 1 attention"."""
        prefix = f"{self.name} " if self.name else ""
        sublayers = [divmod(sublayer, len(self.halves)) for sublayer in range(len(self.sublayers))]
        numbered = [f"{prefix}block {i + 1} {self.halves[half]}".rstrip() for i, half in sublayers]
        return [f"{prefix}embeddings", *numbered]


def stack_layouts(profile: DimensionProfile) -> tuple[StackLayout, ...]:
    """Return the profile's stacks, in the order they run."""
    sublayers = set(profile.sublayers)
    starts = [index for index, layer in enumerate(profile.layers) if layer not in sublayers]
    ends = [*starts[1:], len(profile.layers)]
    halves = tuple(HALF_NAMES.values()) if profile.settings.granularity == "sublayer" else ("",)
    layouts: list[StackLayout] = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        name = profile.layers[start].split(".")[0] if len(starts) > 1 else ""
        # Every stack has one layer more than sublayers, and stands one position further right.
        own_sublayers = range(start - number, end - number - 1)
        positions = range(start + number, end + number)
        layouts.append(StackLayout(name, range(start, end), own_sublayers, positions, halves))
    return tuple(layouts)


def layer_names(profile: DimensionProfile) -> list[str]:
    """Return the name of every layer in words."""
    return [label for layout in stack_layouts(profile) for label in layout.labels()]


def list_layers(profile: DimensionProfile, layers: Iterable[int]) -> str:
    """Name layers, runs of three or more by their ends: "embeddings and block 2 to block 5"."""
    return list_runs(layer_names(profile), layers, everything="all layers")


def describe_layers(profile: DimensionProfile, values: Sequence[float]) -> str:
    """Return a value for every layer in words."""
    named = zip(layer_names(profile), values, strict=True)
    return ", ".join(f"{name} {value:.2f}" for name, value in named)


def short_names(profile: DimensionProfile) -> list[str]:
    """Return the same, short enough for a panel or a table's first column."""
    names = layer_names(profile)
    if len(stack_layouts(profile)) > 1:
        return [name.replace("block ", "").replace("embeddings", "emb") for name in names]
    if profile.settings.granularity == "sublayer":
        return [name.replace("block ", "") for name in names]
    return names
