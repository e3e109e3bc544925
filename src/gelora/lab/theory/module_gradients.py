"""Gradients of single samples by the weights of Linears, as the factors they are products of.

The gradient of a sample by a weight is the sum over tokens of delta a^T, with a the module's input
and delta the gradient by its output. A weight's own gradient is never asked of autograd, so it may
be frozen or quantised.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

# Numbers of float64 in a part of all samples' gradients: 128 MiB.
MAX_TILE = 2**24


class GradientFactors(NamedTuple):
    """The gradient of one sample by one Linear's weight, (outputs, inputs): `deltas.T @ inputs`.

    Attributes:
        inputs: What the module was given, no matter in how many calls.
        deltas: The gradient by what it returned.
    """

    inputs: Float[Tensor, "tokens in_features"]
    deltas: Float[Tensor, "tokens out_features"]


def gradient_factors(
    modules: Mapping[str, nn.Module], value: Callable[[], Float[Tensor, ""]]
) -> dict[str, GradientFactors]:
    """Return the gradient of a number by the weight of each module that has a part in it.

    Args:
        modules: Linear or Conv1D, or what quantisation puts in their place.
        value: Runs the modules and returns the number, with its graph.
    """
    with _watching(modules) as calls:
        number = value()
    if not number.requires_grad:
        return {}
    probes = [probe for _, _, probe in calls]
    found: dict[str, list[GradientFactors]] = {name: [] for name in modules}
    gradients = torch.autograd.grad(number, probes, allow_unused=True)
    for (name, given, _), gradient in zip(calls, gradients, strict=True):
        if gradient is not None:
            found[name].append(GradientFactors(_by_token(given), _by_token(gradient)))
    return {
        name: GradientFactors(*(torch.cat(sides) for sides in zip(*parts, strict=True)))
        for name, parts in found.items()
        if parts
    }


def gram_matrix(
    samples: Sequence[GradientFactors | None],
) -> Float[Tensor, "samples samples"]:
    """Return the inner products of all samples' gradients by one weight, in float64.

    Beside the factors it holds one part of the gradients: some rows of every sample's.

    Args:
        samples: None where the module had no part: the gradient is zero.
    """
    there = [i for i, factors in enumerate(samples) if factors is not None]
    factors = [one for one in samples if one is not None]
    device = factors[0].inputs.device
    products = torch.zeros(len(there), len(there), dtype=torch.float64, device=device)
    num_inputs, num_outputs = factors[0].inputs.shape[1], factors[0].deltas.shape[1]
    num_rows = max(MAX_TILE // (len(there) * num_inputs), 1)
    for start in range(0, num_outputs, num_rows):
        rows = slice(start, start + num_rows)
        part = torch.stack(
            [(one.deltas[:, rows].double().T @ one.inputs.double()).flatten() for one in factors]
        )
        products += part @ part.T
    gram = torch.zeros(len(samples), len(samples), dtype=torch.float64, device=device)
    gram[torch.tensor(there)[:, None], torch.tensor(there)] = products
    return gram


@contextmanager
def _watching(modules: Mapping[str, nn.Module]) -> Iterator[list[tuple[str, Tensor, Tensor]]]:
    """Note name, input and a zero added to the output of every call of the modules.

    The gradient by that zero is the gradient by the output, also where nothing upstream of it has
    one, or what follows writes into the output.
    """
    calls: list[tuple[str, Tensor, Tensor]] = []

    def hook_for(name: str) -> Callable[..., Tensor]:
        def hook(_module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            probe = torch.zeros_like(output, requires_grad=True)
            calls.append((name, args[0].detach(), probe))
            return output + probe

        return hook

    handles = [
        module.register_forward_hook(hook_for(name), prepend=True)
        for name, module in modules.items()
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _by_token(states: Float[Tensor, "*batch width"]) -> Float[Tensor, "tokens width"]:
    return states.reshape(-1, states.shape[-1])
