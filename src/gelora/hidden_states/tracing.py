"""What every module is given and returns in one short forward pass, and how such states compare.

The values of a few tokens are kept, so that it costs little beside a model. What they mean is
not known here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gelora.hidden_states.forward import evaluation_mode, forward_inputs, run_forward

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
    handles = []
    inputs = forward_inputs(backbone, _first_tokens(batch))
    try:
        for path, module in backbone.named_modules():
            before, after = _hooks(path, module, activations)
            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(module.register_forward_hook(after))
        with evaluation_mode(backbone):
            run_forward(backbone, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return activations


def given_state(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """Return the state among a module's arguments: its first tensor, or the one so named."""
    given = (*args, kwargs.get("hidden_states"), *kwargs.values())
    return next((value for value in given if isinstance(value, Tensor)), None)


def returned_state(output: Any) -> Tensor | None:
    """Return the state among what a module returns: alone, or before whatever else."""
    first = output[0] if isinstance(output, Sequence) and output else output
    return first if isinstance(first, Tensor) else None


def is_same(one: TracedActivation, other: TracedActivation) -> bool:
    """Whether two states are one, in any shape and precision."""
    first, second = one.values, other.values
    return first.shape == second.shape and torch.equal(first.double(), second.double())


def is_sum(total: TracedActivation, stream: TracedActivation, part: TracedActivation) -> bool:
    """Whether a state is another plus a third, which may be scaled, up to rounding."""
    if not total.values.shape == stream.values.shape == part.values.shape:
        return False
    whole, begun, added = (each.values.double() for each in (total, stream, part))
    # Granite and MiniCPM scale what a block adds. A part of zeros has any scale: 1.
    scale = ((whole - begun) / added).nanmedian().nan_to_num(1.0)
    of_sum, of_part = (torch.finfo(each.values.dtype).eps for each in (total, part))
    rounding = of_sum * (whole.abs() + begun.abs()) + of_part * (scale * added).abs()
    is_close = (begun + scale * added - whole).abs() <= ROUNDINGS * rounding
    return scale.item() != 0 and bool(is_close.all())


def _first_tokens(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Cut a batch to its first sequence, and where there is a mask to a few real tokens of it."""
    first = {name: values[:1] for name, values in batch.items()}
    if "attention_mask" not in batch:
        return first
    mask = first["attention_mask"]
    real = mask[0].nonzero()[:NUM_TOKENS, 0]
    return {name: row[:, real] if row.shape == mask.shape else row for name, row in first.items()}


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
