"""Which levels and steps belong together: one stack of blocks, or an encoder and a decoder.

Only names and positions; nothing is drawn or written here.
"""

from dataclasses import dataclass

from gelora.dimension.profile import HALVES, DimensionProfile

HALF_NAMES = dict(zip(HALVES, ("attention", "MLP"), strict=True))


@dataclass(frozen=True)
class StackLayout:
    """One stack of blocks as the report shows it.

    Attributes:
        name: "" where the model has one stack, otherwise what tells it apart.
        levels: Indices of its levels; the first is its embeddings.
        steps: Indices of its steps.
        positions: Place of each level on a figure's horizontal axis; stacks stand apart.
        halves: What the steps of a block are called: nothing, or "attention" and "MLP".
    """

    name: str
    levels: range
    steps: range
    positions: range
    halves: tuple[str, ...]

    def labels(self) -> list[str]:
        """Return a name for every level: "embeddings", "block 1", ... or "block 1 attention"."""
        prefix = f"{self.name} " if self.name else ""
        steps = [divmod(step, len(self.halves)) for step in range(len(self.steps))]
        numbered = [f"{prefix}block {i + 1} {self.halves[half]}".rstrip() for i, half in steps]
        return [f"{prefix}embeddings", *numbered]


def stack_layouts(profile: DimensionProfile) -> tuple[StackLayout, ...]:
    """Return the profile's stacks, in the order they run."""
    steps = set(profile.steps)
    starts = [index for index, level in enumerate(profile.levels) if level not in steps]
    ends = [*starts[1:], len(profile.levels)]
    halves = tuple(HALF_NAMES.values()) if profile.granularity == "sublayer" else ("",)
    layouts: list[StackLayout] = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        name = profile.levels[start].split(".")[0] if len(starts) > 1 else ""
        # Every stack has one level more than steps, and stands one position further right.
        own_steps = range(start - number, end - number - 1)
        positions = range(start + number, end + number)
        layouts.append(StackLayout(name, range(start, end), own_steps, positions, halves))
    return tuple(layouts)


def level_names(profile: DimensionProfile) -> list[str]:
    """Return the name of every level in words."""
    return [label for layout in stack_layouts(profile) for label in layout.labels()]


def short_names(profile: DimensionProfile) -> list[str]:
    """Return the same, short enough for a panel or a table's first column."""
    names = level_names(profile)
    if len(stack_layouts(profile)) > 1:
        return [name.replace("block ", "").replace("embeddings", "emb") for name in names]
    if profile.granularity == "sublayer":
        return [name.replace("block ", "") for name in names]
    return names


def block_names(profile: DimensionProfile) -> list[str]:
    """Return the name of every whole block, "block 1", in the profile's order."""
    return [
        f"{layout.name} block {index + 1}".lstrip()
        for layout in stack_layouts(profile)
        for index in range(len(layout.steps) // len(layout.halves))
    ]


def block_positions(profile: DimensionProfile) -> list[int]:
    """Return the place of every whole block's output on a figure's horizontal axis."""
    return [
        position
        for layout in stack_layouts(profile)
        for position in layout.positions[len(layout.halves) :: len(layout.halves)]
    ]
