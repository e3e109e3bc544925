"""Cut an adapter in a model that is being trained, and carry the optimizer's state over.

With A' = R A and B' = B E, the gradients of the new factors are E^T dA and dB R^T, by the chain
rule. Averages of gradients are carried over by these maps, and averages of squared gradients by the
squares of their entries, as if gradients of the old coordinates were uncorrelated.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from gelora.adapters import lora_layers
from gelora.cutting.adapter import UNSET
from gelora.cutting.directions import Directions, cut_maps
from gelora.cutting.layers import live_factors
from gelora.ranks.plan import rank_arguments, whole


@torch.no_grad()
def cut_in_place(
    model: PeftModel,
    directions: Mapping[str, Directions],
    ranks: Mapping[str, int],
    *,
    optimizer: Any = None,
    keeps_state: bool = True,
    adapter_name: str = "default",
) -> None:
    """Give a model's adapter lower ranks, its configuration the new patterns, and train on.

    Modules of rank 0 become their base layer again.

    Args:
        model: With the adapter.
        directions: Directions of every adapted module.
        ranks: New rank of every adapted module, at most the rank of its factors.
        optimizer: The torch optimizer, or accelerate's, that trains the factors: it trains the new
            ones from here on. None if there is none.
        keeps_state: Whether the optimizer's state is carried over, or begins anew.
        adapter_name: Which of the model's adapters.
    """
    factors = live_factors(model, adapter_name)
    replaced: dict[str, tuple[nn.Parameter, nn.Parameter]] = {}
    for name, layer in lora_layers(model, adapter_name).items():
        a, b = layer.lora_A[adapter_name].weight, layer.lora_B[adapter_name].weight
        if ranks[name] == len(a):
            continue
        maps = cut_maps(factors[name].cpu(), directions[name], ranks[name])
        reduce, expand = (part.to(a.device, torch.float32) for part in maps)
        replaced[name] = _like(a, reduce @ a.float()), _like(b, b.float() @ expand)
        if optimizer is not None:
            new_a, new_b = replaced[name]
            state_a, state_b = _replace(optimizer, a, new_a), _replace(optimizer, b, new_b)
            if keeps_state and ranks[name]:
                optimizer.state[new_a] = _mapped(state_a, a, left=expand.T)
                optimizer.state[new_b] = _mapped(state_b, b, right=reduce.T)
    replace_factors(model, replaced, adapter_name=adapter_name)


def replace_factors(
    model: PeftModel,
    factors: Mapping[str, tuple[nn.Parameter, nn.Parameter]],
    *,
    adapter_name: str = "default",
) -> None:
    """Give modules other factors, of any rank, and the adapter's configuration their ranks.

    Each module keeps its scale. A module whose factors are empty becomes its base layer again.

    Args:
        model: With the adapter.
        factors: A and B of each module to change.
        adapter_name: Which of the model's adapters.
    """
    layers = lora_layers(model, adapter_name)
    for name, (a, b) in factors.items():
        if len(a):
            _set_factors(layers[name], adapter_name, a, b)
        elif len(layers[name].lora_A) > 1:
            _delete(layers[name], adapter_name)
        else:
            model.get_base_model().set_submodule(name, layers[name].get_base_layer())
    left = lora_layers(model, adapter_name)
    ranks = {name: layer.r[adapter_name] for name, layer in left.items()}
    alphas = {name: layer.lora_alpha[adapter_name] for name, layer in left.items()}
    decided = {**rank_arguments(ranks, alphas), **dict.fromkeys(UNSET), "use_rslora": False}
    for name, value in decided.items():
        setattr(model.peft_config[adapter_name], name, value)


def _like(old: nn.Parameter, values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.to(old.dtype), requires_grad=old.requires_grad)


def _replace(optimizer: Any, old: nn.Parameter, new: nn.Parameter) -> dict[str, Any]:
    """Put a parameter in the place of another, or of none if it is empty; return the old state."""
    for group in optimizer.param_groups:
        for place, parameter in enumerate(group["params"]):
            if parameter is old:
                group["params"][place : place + 1] = [new] if new.numel() else []
                break
    return optimizer.state.pop(old, {})


def _mapped(
    state: Mapping[str, Any],
    old: nn.Parameter,
    *,
    left: Tensor | None = None,
    right: Tensor | None = None,
) -> dict[str, Any]:
    """Return the state of a parameter in its new coordinates; step counts stay."""

    def mapped(name: str, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.shape != old.shape:
            return value
        power = 2 if name.endswith("_sq") else 1
        if left is not None:
            return left.pow(power).to(value.dtype) @ value
        return value if right is None else value @ right.pow(power).to(value.dtype)

    return {name: mapped(name, value) for name, value in state.items()}


def _delete(layer: Any, adapter_name: str) -> None:
    """Delete one of a layer's adapters; PEFT would make another one active in its place."""
    active = [name for name in layer.active_adapters if name != adapter_name]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Adapter .* was active which is now deleted")
        layer.delete_adapter(adapter_name)
    layer.set_adapter(active)


def _set_factors(layer: Any, adapter_name: str, a: nn.Parameter, b: nn.Parameter) -> None:
    rank = len(a)
    first, second = layer.lora_A[adapter_name], layer.lora_B[adapter_name]
    first.weight, first.out_features = a, rank
    second.weight, second.in_features = b, rank
    layer.r[adapter_name] = rank
    layer.lora_alpha[adapter_name] = whole(layer.scaling[adapter_name] * rank)
