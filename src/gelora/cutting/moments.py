"""Measure what a user's texts say of an adapter's directions: inputs, and gradients of the loss."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from peft import PeftModel
from torch import Tensor, nn

from gelora.adapters import lora_layers
from gelora.cutting.directions import Moments
from gelora.errors import DataError, RankError
from gelora.hidden_states.forward import evaluation_mode
from gelora.likelihood import row_losses


@dataclass(frozen=True)
class _Traced:
    """What a module's A returned in one forward pass: A x of every token."""

    module: str
    outputs: Tensor


def measure_moments(
    model: PeftModel,
    batches: Iterable[Mapping[str, Tensor]],
    *,
    gradients: bool,
    adapter_name: str = "default",
) -> dict[str, Moments]:
    """Return the second moments of A x, and of B^T g, of every adapted module.

    They are as small as the adapter's ranks. Tokens that an attention mask leaves out do not
    count. The model leaves as it came.

    Args:
        model: With its adapter, and a head where gradients are measured.
        batches: What the model takes, with labels where gradients are measured.
        gradients: Whether the gradients g of the loss are measured, by one backward pass per batch.
        adapter_name: Which of the model's adapters.

    Raises:
        DataError: There is no batch, or a batch has no labels that a loss is known for.
        RankError: A module takes no part in the forward pass, or its states are not finite.
    """
    layers = lora_layers(model, adapter_name)
    ranks = {name: layer.r[adapter_name] for name, layer in layers.items()}
    inputs = {n: torch.zeros(rank, rank, dtype=torch.float64) for n, rank in ranks.items()}
    slopes = {name: torch.zeros_like(moment) for name, moment in inputs.items()}
    tokens = dict.fromkeys(layers, 0)
    num_batches = 0
    with ExitStack() as stack:
        stack.enter_context(evaluation_mode(model))
        stack.enter_context(torch.set_grad_enabled(gradients))
        traced = stack.enter_context(_tracing(layers, adapter_name))
        for batch in batches:
            num_batches += 1
            traced.clear()
            moved = {name: values.to(model.device) for name, values in batch.items()}
            losses = row_losses(model, moved).losses if gradients else None
            if losses is None:
                model(**moved)
            for name, outputs, slope in _with_gradients(traced, losses):
                mask = _mask_of(outputs, moved)
                inputs[name] += _products(outputs, mask)
                tokens[name] += int(mask.sum()) if mask is not None else outputs[..., 0].numel()
                if slope is not None:
                    slopes[name] += _products(slope / layers[name].scaling[adapter_name], mask)
    if num_batches == 0:
        raise DataError("There is no batch to value the adapter's directions on.")
    for name in layers:
        if tokens[name] == 0:
            raise RankError(
                f"{name} takes no part in the model's forward pass on these texts: unmerge and "
                "enable the adapter, or cut with importance 'weights'."
            )
        if not (inputs[name].isfinite().all() and slopes[name].isfinite().all()):
            raise RankError(
                f"The states or gradients of {name} are not finite: load the model in float32."
            )
    return {
        name: Moments(inputs[name] / count, slopes[name] / count if gradients else None)
        for name, count in tokens.items()
    }


@contextmanager
def _tracing(layers: Mapping[str, Any], adapter_name: str) -> Iterator[list[_Traced]]:
    """Yield a list that the outputs of every A are appended to."""
    traced: list[_Traced] = []

    def hook_of(name: str) -> Any:
        def hook(module: nn.Module, arguments: Any, outputs: Tensor) -> None:
            del module, arguments
            if torch.is_grad_enabled() and not outputs.requires_grad:
                outputs.requires_grad_()
            traced.append(_Traced(name, outputs))

        return hook

    with ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.enter_context(layer.lora_A[adapter_name].register_forward_hook(hook_of(name)))
        yield traced


def _with_gradients(
    traced: list[_Traced], losses: Float[Tensor, " rows"] | None
) -> Iterator[tuple[str, Tensor, Tensor | None]]:
    """Yield each module's name, its A x and the gradient of the rows' losses by it."""
    outputs = [trace.outputs for trace in traced]
    slopes: tuple[Tensor | None, ...] = (None,) * len(outputs)
    if losses is not None:
        slopes = torch.autograd.grad(losses.sum(), outputs, allow_unused=True)
    for trace, slope in zip(traced, slopes, strict=True):
        yield trace.module, trace.outputs.detach(), slope


def _mask_of(outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor | None:
    """Return the attention mask that fits a module's tokens, or None."""
    masks = (batch[name] for name in ("attention_mask", "decoder_attention_mask") if name in batch)
    return next((mask.bool() for mask in masks if mask.shape == outputs.shape[:-1]), None)


def _products(states: Tensor, mask: Tensor | None) -> Float[Tensor, "rank rank"]:
    """Return the sum over tokens of the outer products of their states, in float64."""
    rows = states.flatten(0, -2) if mask is None else states[mask]
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    return (rows.T @ rows).double().cpu()
