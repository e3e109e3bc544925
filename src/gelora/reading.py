"""Where the state of every level is read: which module's input or output it is.

Nothing is pooled or kept here.
"""

from dataclasses import dataclass
from typing import Literal

from gelora.architectures import Architecture
from gelora.dimension.profile import Granularity, step_names

Side = Literal["input", "output"]


@dataclass(frozen=True)
class ReadingPoint:
    """The place of one level.

    Attributes:
        level: Its name.
        stack: Name of the stack it belongs to, whose mask tells its real tokens.
        module: Path of a module from the backbone's root.
        side: Whether the state is what the module is given or what it returns.
    """

    level: str
    stack: str
    module: str
    side: Side


def level_names(architecture: Architecture, granularity: Granularity = "block") -> tuple[str, ...]:
    """Return the name of every level: each stack's embeddings, then its steps."""
    return tuple(
        level
        for stack in architecture.stacks
        for level in (_embeddings_name(stack.name), *step_names(stack.blocks, granularity))
    )


def reading_points(architecture: Architecture) -> tuple[ReadingPoint, ...]:
    """Return where each level is read, in the order of `level_names`."""
    points: list[ReadingPoint] = []
    for stack in architecture.stacks:
        embeddings = _embeddings_name(stack.name)
        points.append(ReadingPoint(embeddings, stack.name, stack.blocks[0], "input"))
        points += [ReadingPoint(block, stack.name, block, "output") for block in stack.blocks]
    return tuple(points)


def _embeddings_name(stack: str) -> str:
    return f"{stack}.embeddings" if stack else "embeddings"
