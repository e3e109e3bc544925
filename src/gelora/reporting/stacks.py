"""Which levels and blocks belong together: one stack of blocks, or an encoder and a decoder.

Only names and positions; nothing is drawn or written here.
"""

from dataclasses import dataclass

from gelora.dimension.profile import DimensionProfile


@dataclass(frozen=True)
class StackLayout:
    """One stack of blocks as the report shows it.

    Attributes:
        name: "" where the model has one stack, otherwise what tells it apart.
        levels: Indices of its levels; the first is its embeddings.
        blocks: Indices of its blocks.
        positions: Place of each level on a figure's horizontal axis; stacks stand apart.
    """

    name: str
    levels: range
    blocks: range
    positions: range

    def labels(self) -> list[str]:
        """Return a name for every level: "embeddings", "block 1", ..."""
        prefix = f"{self.name} " if self.name else ""
        numbered = [f"{prefix}block {number}" for number in range(1, len(self.levels))]
        return [f"{prefix}embeddings", *numbered]


def stack_layouts(profile: DimensionProfile) -> tuple[StackLayout, ...]:
    """Return the profile's stacks, in the order they run."""
    blocks = set(profile.blocks)
    starts = [index for index, level in enumerate(profile.levels) if level not in blocks]
    ends = [*starts[1:], len(profile.levels)]
    layouts: list[StackLayout] = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        name = profile.levels[end - 1].split(".")[0] if len(starts) > 1 else ""
        # Every stack has one level more than blocks, and stands one position further right.
        own_blocks = range(start - number, end - number - 1)
        positions = range(start + number, end + number)
        layouts.append(StackLayout(name, range(start, end), own_blocks, positions))
    return tuple(layouts)
