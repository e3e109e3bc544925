"""The derivatives of one block at one sample, as maps that are applied and never formed.

On one sample (one text, no padding) a block maps its input token states H, tokens x width, to
output token states f(H); all else that it is given (mask, positions, another stack's states) stays
as in the model's own forward pass. With P the pooling over the tokens and P+ its pseudo-inverse
(the least change of H that moves the pooled input by v: every token by v for "mean", that one token
for "last" and "first"):

    by input        P . Df(H) . P+                                   width x width
    by parameters   P . (derivative of f by the weights to adapt)    width x parameters

The block alone is copied and run again on what it was given, all of it in float64. Ranks are not
known here.
"""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, jvp, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from gelora.errors import ArchitectureError, DataError
from gelora.hidden_states.architectures import find_architecture, find_backbone
from gelora.hidden_states.forward import evaluation_mode, forward_inputs, run_forward
from gelora.hidden_states.hook_points import did_not_run, given_state, ran_twice, returned_state
from gelora.hidden_states.module_tree import without_adapter
from gelora.lab.theory.range_finder import LinearMap
from gelora.lab.theory.record import JacobianOf
from gelora.settings import Pooling

MAX_NUMBERS = 2**27
"""In a tensor of a block through which directions pass together, roughly: 1 GiB in float64."""

Vector = Float[Tensor, " _"]


@dataclass(frozen=True)
class BlockCall:
    """A block of a model, and a copy of what it was given in the forward pass of one sample.

    Attributes:
        block: The block's path from the backbone's root.
        module: The model's own, not a copy.
        args: Its arguments.
        kwargs: Its named arguments.
    """

    block: str
    module: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


def block_calls(model: nn.Module, sample: Mapping[str, Tensor]) -> tuple[BlockCall, ...]:
    """Run the backbone on one sample and return what every block was given, in their order.

    The model leaves as it came: mode, hooks, gradients, dtypes.

    Args:
        model: With or without a head or adapters (active ones take part).
        sample: A batch of one sequence, without padding.

    Raises:
        ArchitectureError: The model has no blocks, or runs one more than once or not at all.
        DataError: There is more than one sequence, or padding.
    """
    _check_sample(sample)
    backbone, blocks = find_backbone(model), find_architecture(model).blocks
    calls: dict[str, BlockCall] = {}

    def keep(block: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if block in calls:
                raise ran_twice(block)
            # A copy: what follows may write into the tensors.
            calls[block] = BlockCall(block, module, *copy.deepcopy((args, kwargs)))

        return hook

    inputs = forward_inputs(backbone, sample)
    handles = [
        backbone.get_submodule(block).register_forward_pre_hook(keep(block), with_kwargs=True)
        for block in blocks
    ]
    try:
        with evaluation_mode(backbone):
            run_forward(backbone, inputs)
    finally:
        for handle in handles:
            handle.remove()
    missing = [block for block in blocks if block not in calls]
    if missing:
        raise did_not_run(missing, len(blocks))
    return tuple(calls[block] for block in blocks)


def block_maps(
    call: BlockCall, *, modules: Collection[str], pooling: Pooling
) -> dict[JacobianOf, LinearMap]:
    """Return a block's two Jacobians at one sample, in float64.

    Args:
        call: The block and what it was given.
        modules: Paths from the backbone's root of those to adapt; other blocks' are left out. It
            is by their weight matrices alone that "parameters" differentiates, not by biases.
        pooling: "mean", "last" or "first".

    Raises:
        ArchitectureError: Weights are quantised or not in memory, or torch has no derivative of
            what the block does (only the maps' products may find that out).
    """
    block = _in_float64(call)
    weights = _weights(block, call.block, modules)
    # Of a model over several devices, a block is given what another left on its own device.
    device = next((weight.device for weight in block.parameters()), None)
    args, kwargs = tree_map(partial(_as_float64, device=device), (call.args, call.kwargs))
    states = given_state(args, kwargs)
    if states is None:
        raise ArchitectureError(f"Block {call.block} was given no token states.")
    num_tokens, width = states.flatten(0, -2).shape
    shares = _shares(num_tokens, pooling).to(states.device)
    inverse = shares / (shares @ shares)
    # Inside a block there are some times as many numbers, most where attention's scores are many.
    numbers = num_tokens * width * max(4, num_tokens // 64)
    at_once = max(MAX_NUMBERS // numbers, 1)

    def pooled(move: Vector, replaced: Mapping[str, Tensor]) -> Vector:
        """Return the pooled output, with the pooled input moved and some weights replaced."""
        moved = states + torch.outer(inverse, move).view_as(states)
        given = tree_map(lambda value: moved if value is states else value, (args, kwargs))
        output = returned_state(functional_call(block, dict(replaced), *given))
        if output is None:
            raise ArchitectureError(f"Block {call.block} returned no token states.")
        return shares @ output.flatten(0, -2)

    def by_weights(flat: Vector) -> Vector:
        parts = flat.split([weight.numel() for weight in weights.values()])
        shaped = zip(weights.items(), parts, strict=True)
        return pooled(unmoved, {name: part.view_as(weight) for (name, weight), part in shaped})

    unmoved = states.new_zeros(width)
    flat = torch.cat([unmoved[:0], *(weight.flatten() for weight in weights.values())])
    return {
        "input": _derivative(lambda move: pooled(move, {}), unmoved, call.block, at_once),
        "parameters": _derivative(by_weights, flat, call.block, at_once),
    }


def _derivative(
    function: Callable[[Vector], Vector], at: Vector, block: str, at_once: int
) -> LinearMap:
    """Return a function's derivative at a point: forward by JVPs, adjoint by VJPs."""
    with _differentiating(block):
        value, pull, *_ = vjp(function, at)

    def forward(directions: Float[Tensor, "directions columns"]) -> Tensor:
        with _differentiating(block):
            push = vmap(lambda one: jvp(function, (at,), (one,))[1], chunk_size=at_once)
            return push(directions)

    def adjoint(directions: Float[Tensor, "directions rows"]) -> Tensor:
        with _differentiating(block):
            return vmap(lambda one: pull(one)[0], chunk_size=at_once)(directions)

    return LinearMap(len(value), len(at), forward, adjoint, device=at.device)


class _Float64(TorchFunctionMode):
    """Has what a model's code would compute in a lower precision computed in float64.

    Norms and softmax are often cast to float32, whose rounding would pass for singular values.
    """

    def __torch_function__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        lower = (torch.float32, torch.float16, torch.bfloat16)
        given = tree_map(
            lambda value: (
                torch.float64 if isinstance(value, torch.dtype) and value in lower else value
            ),
            (args, kwargs or {}),
        )
        func = torch.Tensor.double if func is torch.Tensor.float else func
        return func(*given[0], **given[1])


@contextmanager
def _differentiating(block: str) -> Iterator[None]:
    # Of all kernels of attention it is the plain one that has a forward-mode derivative.
    try:
        with _Float64(), sdpa_kernel(SDPBackend.MATH):
            yield
    except torch.OutOfMemoryError:
        raise  # which says itself what was wrong
    except (RuntimeError, NotImplementedError) as error:
        raise ArchitectureError(
            f"Block {block} cannot be differentiated: {str(error).splitlines()[0]} Load the model "
            "with attn_implementation='eager' and, if it has experts, "
            "experts_implementation='eager'."
        ) from error


def _in_float64(call: BlockCall) -> nn.Module:
    """Return a copy of the block in float64, without dropout, that no gradient reaches."""
    for name, parameter in call.module.named_parameters():
        if parameter.is_meta or not parameter.is_floating_point():
            where = "on the meta device" if parameter.is_meta else f"of {parameter.dtype}"
            raise ArchitectureError(
                f"{call.block}.{name} is {where}, and has no derivative: load the model whole and "
                "unquantised."
            )
    return copy.deepcopy(call.module).double().eval().requires_grad_(False)


def _weights(block: nn.Module, path: str, modules: Collection[str]) -> dict[str, Tensor]:
    """Return the weights to differentiate by, by their names in the block."""
    inside = [name.removeprefix(f"{path}.") for name in modules if name.startswith(f"{path}.")]
    bare = [without_adapter(block.get_submodule(name)) for name in inside]
    wanted = {id(dict(module.named_parameters(recurse=False))["weight"]) for module in bare}
    return {name: one.data for name, one in block.named_parameters() if id(one) in wanted}


def _shares(num_tokens: int, pooling: Pooling) -> Float[Tensor, " tokens"]:
    """Return each token's share in the pooled state."""
    if pooling == "mean":
        return torch.full((num_tokens,), 1 / num_tokens, dtype=torch.float64)
    one_token = torch.zeros(num_tokens, dtype=torch.float64)
    one_token[-1 if pooling == "last" else 0] = 1.0
    return one_token


def _as_float64(value: Any, *, device: torch.device | None) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.to(device, torch.float64 if value.is_floating_point() else value.dtype)


def _check_sample(sample: Mapping[str, Tensor]) -> None:
    for name, values in sample.items():
        if len(values) != 1:
            raise DataError(f"A sample is one sequence. Got {len(values)} rows of {name}.")
    mask = sample.get("attention_mask")
    if mask is not None and not mask.all():
        padding = int((mask == 0).sum())
        raise DataError(f"A sample has no padding. Got {padding} of {mask.numel()} tokens.")
