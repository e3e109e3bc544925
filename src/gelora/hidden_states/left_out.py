"""Weights of the blocks that get no adapter of their own, and why. Nothing here runs the model."""

from collections.abc import Mapping, Sequence

from torch import nn

from gelora.dimension.profile import NOT_LINEAR, BlockModule, LeftOut
from gelora.hidden_states.module_tree import without_adapter

try:  # private to PEFT; without it, verify_ranks tells afterwards
    from peft.utils.transformers_weight_conversion import (
        _MODEL_TO_CONVERSION_PATTERN as CONVERSIONS,  # pyright: ignore[reportPrivateImportUsage]
    )
    from peft.utils.transformers_weight_conversion import (
        _MOE_TARGET_MODULE_MAPPING as CONVERTED,
    )
except ImportError:
    CONVERSIONS, CONVERTED = {}, {}

# As PEFT's own check of target modules has them.
_MAMBA_KINDS = frozenset({"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"})


def excluded_modules(backbone: nn.Module, modules: Sequence[BlockModule]) -> dict[str, str]:
    """Return the modules that can have no adapter of their own, with the reason.

    PEFT refuses the output projection of Mamba's kernels. In some mixtures of experts, where
    transformers 5 holds all experts as one parameter, PEFT reads the names of dense layers as
    names of the experts.
    A weight that several modules hold has no rank of its own: an adapter on one of them would,
    once merged, change the others as well.
    """
    kind = getattr(getattr(backbone, "config", None), "model_type", None) or ""
    rewritten = frozenset(CONVERTED.get(CONVERSIONS.get(kind, ""), ()))
    excluded: dict[str, str] = {}
    for module in modules:
        name = module.name.rpartition(".")[2]
        if kind in _MAMBA_KINDS and name == "out_proj":
            excluded[module.name] = "refused by PEFT"
        elif name in rewritten:
            excluded[module.name] = "taken by PEFT for the experts"
    return excluded | dict.fromkeys(_sharing(backbone, modules), "shared between blocks")


def _sharing(backbone: nn.Module, modules: Sequence[BlockModule]) -> frozenset[str]:
    """Return the modules that hold one weight with another."""
    holders: dict[int, list[str]] = {}
    for module in modules:
        weight = weight_of(backbone, module.name)
        if weight is not None:
            holders.setdefault(id(weight), []).append(module.name)
    return frozenset(name for names in holders.values() if len(names) > 1 for name in names)


def left_out_weights(
    backbone: nn.Module,
    blocks: Sequence[str],
    modules: Sequence[BlockModule],
    *,
    excluded: Mapping[str, str],
) -> tuple[LeftOut, ...]:
    """Return the weights of the blocks that are in no module to adapt, with the reason."""
    counts: dict[tuple[str, str], int] = {}
    seen = {id(weight_of(backbone, module.name)) for module in modules}  # these can be adapted
    for block in blocks:
        for name, parameter in backbone.get_submodule(block).named_parameters():
            path = f"{block}.{name}"
            is_adapters = "lora_" in name or ".modules_to_save." in name
            if parameter.ndim < 2 or is_adapters or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            module = path.removesuffix(".weight").replace(".base_layer", "")
            reason = excluded.get(module, NOT_LINEAR)
            key = name.removesuffix(".weight").replace(".base_layer", ""), reason
            counts[key] = counts.get(key, 0) + parameter.numel()
    return tuple(LeftOut(name, reason, weights) for (name, reason), weights in counts.items())


def weight_of(backbone: nn.Module, name: str) -> nn.Parameter | None:
    """Return the weight of a module, below any adapter, if it has a plain one."""
    module = without_adapter(backbone.get_submodule(name))
    return dict(module.named_parameters(recurse=False)).get("weight")
