"""Which modules a gradient reaches, seen in one short forward and backward pass.

A module may be there and never be called (a router whose weights are read directly, keys that a
block takes from another): an adapter on it would be counted and never trained.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gelora.dimension.profile import BlockModule
from gelora.hidden_states.forward import (
    evaluation_mode,
    first_tokens,
    forward_inputs,
    run_forward,
)

NUM_TOKENS = 64
"""Tokens of the pass; enough to send some to most experts."""

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")


def unreached_modules(
    backbone: nn.Module,
    modules: Sequence[BlockModule],
    blocks: Sequence[str],
    batch: Mapping[str, Tensor],
) -> frozenset[str]:
    """Return the modules that no gradient of the backbone's last states reaches.

    An expert that none of the tokens was sent to counts as reached if another expert of its block
    is. The model leaves as it came, gradients included.

    Args:
        backbone: The model without its head.
        modules: Those to look at.
        blocks: Path of every block.
        batch: Some sequences, of which the first is run.
    """
    probes: dict[str, Tensor] = {}
    outputs: list[Tensor] = []
    handles = [
        backbone.get_submodule(module.name).register_forward_hook(_adding(probes, module.name))
        for module in modules
    ]
    handles += [
        backbone.get_submodule(block).register_forward_hook(_keeping(outputs)) for block in blocks
    ]
    inputs = forward_inputs(backbone, first_tokens(batch, NUM_TOKENS))
    try:
        with evaluation_mode(backbone), torch.enable_grad():
            run_forward(backbone, inputs)
            total = sum((output.float() ** 2).sum() for output in outputs)
            names = list(probes)
            gradients: Sequence[Tensor | None] = (
                torch.autograd.grad(total, [probes[name] for name in names], allow_unused=True)
                if names and isinstance(total, Tensor) and total.requires_grad
                else ()
            )
    finally:
        for handle in handles:
            handle.remove()
    pairs = zip(names, gradients, strict=False)
    reached = {name for name, gradient in pairs if gradient is not None}
    if not reached:
        return frozenset()  # the model differentiates by itself (Reformer), and nothing is known
    kinds = {_kind(name, blocks) for name in reached}
    return frozenset(
        module.name
        for module in modules
        if module.name not in reached and _kind(module.name, blocks) not in kinds
    )


def _adding(probes: dict[str, Tensor], name: str) -> Any:
    """Return a hook that adds zeros, whose gradient tells whether the output counts."""

    def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return output
        if name not in probes:
            probes[name] = torch.zeros(
                output.shape[-1], dtype=output.dtype, device=output.device, requires_grad=True
            )
        return output + probes[name]

    return hook


def _keeping(outputs: list[Tensor]) -> Any:
    def hook(_module: nn.Module, _args: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple | list) and output else output
        if isinstance(first, Tensor) and first.is_floating_point():
            outputs.append(first)

    return hook


def _kind(name: str, blocks: Sequence[str]) -> str:
    """Return a module's path with the numbers inside its block left out: experts are one kind."""
    block = next((block for block in blocks if name.startswith(f"{block}.")), "")
    return block + _NUMBER.sub("*", name.removeprefix(block))
