"""Find the module whose input or output is the state of each layer.

After a block the state is what the block returns. Inside a block the place depends on the model,
so a short forward pass records what every module receives and returns. The place is where the
numbers add up.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gelora.dimension.profile import sublayer_names
from gelora.errors import ArchitectureError
from gelora.hidden_states.architectures import Architecture
from gelora.hidden_states.forward import (
    evaluation_mode,
    first_tokens,
    forward_inputs,
    run_forward,
)
from gelora.hidden_states.module_tree import projections
from gelora.settings import Granularity, States

Side = Literal["input", "output"]

# A sum of vectors of hundreds of entries is no accident on any number of tokens.
NUM_TOKENS = 4
# Two lie between a sum and its parts where a model scales what it adds.
ROUNDINGS = 2


@dataclass(frozen=True)
class TracedActivation:
    """The input or output of a module in the traced forward pass.

    Attributes:
        module: Path of the module from the backbone's root.
        side: Into it or out of it.
        values: Of the first few tokens, on the CPU.
        is_flat: Whether there was no axis for the sequences of a batch.
        is_norms: Whether the module's class calls itself a norm.
    """

    module: str
    side: Side
    values: Float[Tensor, "tokens width"]
    is_flat: bool
    is_norms: bool


def trace(backbone: nn.Module, batch: Mapping[str, Tensor]) -> list[TracedActivation]:
    """Run the first tokens of a batch and return all that was seen, in the order it was.

    The model leaves as it came.
    """
    activations: list[TracedActivation] = []
    inputs = forward_inputs(backbone, first_tokens(batch, NUM_TOKENS))
    with ExitStack() as hooks, evaluation_mode(backbone):
        for path, module in backbone.named_modules():
            before, after = _hooks(path, module, activations)
            hooks.enter_context(module.register_forward_pre_hook(before, with_kwargs=True))
            hooks.enter_context(module.register_forward_hook(after))
        run_forward(backbone, inputs)
    return activations


def given_state(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """Return the state among a module's arguments: its first tensor, or the one so named."""
    values = (*args, kwargs.get("hidden_states"), *kwargs.values())
    return next((value for value in values if isinstance(value, Tensor)), None)


def returned_state(output: Any) -> Tensor | None:
    """Return the state among what a module returns: alone, or before whatever else."""
    first = output[0] if isinstance(output, Sequence) and output else output
    return first if isinstance(first, Tensor) else None


def is_same(first: TracedActivation, second: TracedActivation) -> bool:
    """Whether two states are one, in any shape and precision."""
    if first.values.shape != second.values.shape:
        return False
    return torch.equal(first.values.double(), second.values.double())


def is_sum(total: TracedActivation, stream: TracedActivation, part: TracedActivation) -> bool:
    """Whether a state is another plus a third, which may be scaled, up to rounding."""
    if not total.values.shape == stream.values.shape == part.values.shape:
        return False
    whole, begun, added = (state.values.double() for state in (total, stream, part))
    # Granite and MiniCPM scale what a block adds. A part of zeros has any scale: 1.
    scale = ((whole - begun) / added).nanmedian().nan_to_num(1.0)
    of_sum, of_part = (torch.finfo(state.values.dtype).eps for state in (total, part))
    rounding = of_sum * (whole.abs() + begun.abs()) + of_part * (scale * added).abs()
    is_close = (begun + scale * added - whole).abs() <= ROUNDINGS * rounding
    return scale.item() != 0 and bool(is_close.all())


def _hooks(path: str, module: nn.Module, activations: list[TracedActivation]) -> tuple[Any, Any]:
    is_norms = "norm" in type(module).__name__.lower()

    def see(side: Side, state: Tensor | None) -> None:
        if state is not None and state.is_floating_point() and state.ndim > 1:
            # A copy: what follows may write into the tensor.
            values = state.flatten(0, -2)[:NUM_TOKENS].to("cpu", copy=True)
            activations.append(TracedActivation(path, side, values, state.ndim == 2, is_norms))

    def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        see("input", given_state(args, kwargs))

    def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        see("output", returned_state(output))

    return before, after


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
        f"{missing[0]}: the batches may lack what they read, such as images or sound."
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
    entering, inside, returned = activations[begin], activations[begin + 1 : end], activations[end]
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
        if any(sums) and not is_same(stream, entering):
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
