"""Find the module whose input or output is the state of each layer.

After a block the state is what the block returns. Inside a block the place depends on the model,
so a short forward pass records what every module receives and returns. The place is where the
numbers add up.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from torch import Tensor, nn

from gelora.dimension.profile import sublayer_names
from gelora.errors import ArchitectureError
from gelora.hidden_states.architectures import Architecture
from gelora.hidden_states.module_tree import projections
from gelora.hidden_states.tracing import Side, TracedActivation, is_same, is_sum, trace
from gelora.settings import Granularity, States


@dataclass(frozen=True)
class HookPoint:
    """Where the state of one layer is read.

    Attributes:
        layer: Its name.
        stack: Name of the stack it belongs to, whose mask tells its real tokens.
        module: Path of a module from the backbone's root.
        side: Whether the state is what the module is given or what it returns.
        is_flat: Whether the module has all tokens of a batch along one axis.
    """

    layer: str
    stack: str
    module: str
    side: Side
    is_flat: bool = False


def layer_names(architecture: Architecture, granularity: Granularity = "block") -> tuple[str, ...]:
    """Return the name of every layer: each stack's embeddings, then its sublayers."""
    return tuple(
        layer
        for stack in architecture.stacks
        for layer in (_embeddings_name(stack.name), *sublayer_names(stack.blocks, granularity))
    )


def hook_points(
    backbone: nn.Module,
    architecture: Architecture,
    batch: Mapping[str, Tensor],
    *,
    granularity: Granularity,
    states: States,
) -> tuple[HookPoint, ...]:
    """Find where each layer is read, in the order of `layer_names`.

    Between the halves of a block the state is m, seen after attention, such that the rest of the
    block is added to it: the block returns m + y (pre-norm), or a norm of m + y (post-norm), with
    y what a later module returns. A normalized state is what the first norm that is given the
    state returns; a state that comes out of a norm itself (post-norm) is that already.

    Args:
        backbone: The model without its head.
        architecture: Its blocks.
        batch: Whose first sequence is run where the above has to be seen.
        granularity: Whether to read between the halves of each block, too.
        states: "raw", or "normalized" as above.

    Raises:
        ArchitectureError: There is no such place, or a block ran more than once or not at all.
    """
    points = _block_points(architecture)
    if (granularity, states) == ("block", "raw"):
        return points
    activations = trace(backbone, batch)
    _check_ran_once(points, activations)
    if granularity == "sublayer":
        points = _with_middles(points, backbone, activations)
    if states == "normalized":
        points = tuple(_behind_norm(point, activations) for point in points)
    return points


def did_not_run(missing: Sequence[str], num_layers: int) -> ArchitectureError:
    """Return the error of layers that no state was seen for."""
    return ArchitectureError(
        f"{len(missing)} of {num_layers} blocks did not run in a forward pass, the first "
        f"{missing[0]}: they may read images or sound, and cannot be measured on texts alone."
    )


def ran_twice(layer: str) -> ArchitectureError:
    """Return the error of a layer that more than one state was seen for."""
    return ArchitectureError(
        f"Block {layer} ran more than once in a forward pass: its weights are shared between "
        "layers, so it has no single rank."
    )


def _embeddings_name(stack: str) -> str:
    return f"{stack}.embeddings" if stack else "embeddings"


def _block_points(architecture: Architecture) -> tuple[HookPoint, ...]:
    points: list[HookPoint] = []
    for stack in architecture.stacks:
        embeddings = _embeddings_name(stack.name)
        points.append(HookPoint(embeddings, stack.name, stack.blocks[0], "input"))
        points += [HookPoint(block, stack.name, block, "output") for block in stack.blocks]
    return tuple(points)


def _check_ran_once(points: Sequence[HookPoint], activations: Sequence[TracedActivation]) -> None:
    seen = Counter((activation.module, activation.side) for activation in activations)
    times = {point.layer: seen[point.module, point.side] for point in points}
    missing = [layer for layer, count in times.items() if count == 0]
    if missing:
        raise did_not_run(missing, len(points))
    for layer, count in times.items():
        if count > 1:
            raise ran_twice(layer)


def _with_middles(
    points: Sequence[HookPoint], backbone: nn.Module, activations: Sequence[TracedActivation]
) -> tuple[HookPoint, ...]:
    """Add the point between the halves of each block, and name both halves."""
    halves: list[HookPoint] = []
    for point in points:
        if point.side == "input":
            halves.append(point)
            continue
        block = point.layer
        attention = {
            f"{block}.{projection.path}"
            for projection in projections(backbone.get_submodule(block))
            if projection.inside_attention
        }
        middle = _middle(block, attention, activations)
        first, second = sublayer_names([block], "sublayer")
        place = replace(point, module=middle.module, side=middle.side, is_flat=middle.is_flat)
        halves += [replace(place, layer=first), replace(point, layer=second)]
    return tuple(halves)


def _middle(
    block: str, attention: Set[str], activations: Sequence[TracedActivation]
) -> TracedActivation:
    """Return the residual stream between attention and what follows it."""
    begin, end = (_position(activations, block, side) for side in ("input", "output"))
    given, inside, returned = activations[begin], activations[begin + 1 : end], activations[end]
    attending = [index for index, seen in enumerate(inside) if seen.module in attention]
    after = inside[attending[-1] + 1 :] if attending else []
    # What the block returns is a sum in pre-norm blocks; in post-norm blocks the last norm of it.
    totals = [returned] + [
        activations[_position(activations, seen.module, "input")]
        for seen in after
        if seen.is_norms and seen.side == "output" and is_same(seen, returned)
    ]
    for index, stream in enumerate(after):
        parts = [seen for seen in after[index + 1 :] if seen.side == "output"]
        sums = (is_sum(total, stream, part) for total in totals for part in parts)
        # Parallel attention adds its MLP to what the block was given: nothing lies between.
        if any(sums) and not is_same(stream, given):
            return stream
    raise ArchitectureError(
        f"In block {block} no state was found between attention and MLP, as there is none where "
        "both read the block's input: measure whole blocks, with granularity='block' or "
        "--granularity block."
    )


def _behind_norm(point: HookPoint, activations: Sequence[TracedActivation]) -> HookPoint:
    """Return where the norm that reads a layer hands it on."""
    position = _position(activations, point.module, point.side)
    here = activations[position]
    for seen in activations[position:]:
        if seen.is_norms and seen.side == "input" and is_same(seen, here):
            return replace(point, module=seen.module, side="output", is_flat=seen.is_flat)
    for seen in activations[position::-1]:
        if seen.is_norms and seen.side == "output" and is_same(seen, here):
            return point
    raise ArchitectureError(
        f"No norm reads the state of {point.layer}, so it has no normalized form: measure it as "
        "it is, with states='raw' or --states raw."
    )


def _position(activations: Sequence[TracedActivation], module: str, side: str) -> int:
    places = ((seen.module, seen.side) for seen in activations)
    return next(index for index, place in enumerate(places) if place == (module, side))
