"""Weights of the blocks that get no adapter of their own, and why. Nothing here runs the model."""

from collections.abc import Collection, Sequence

from torch import nn

from gelora.dimension.profile import BlockModule, LeftOut
from gelora.model.module_tree import without_adapter

# As PEFT's own check of target modules has them.
_MAMBA_KINDS = frozenset({"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"})


def refused_modules(backbone: nn.Module, modules: Sequence[BlockModule]) -> frozenset[str]:
    """Return the modules that PEFT puts no adapter on: the output projection of Mamba's kernels."""
    kind = getattr(getattr(backbone, "config", None), "model_type", None)
    if kind not in _MAMBA_KINDS:
        return frozenset()
    return frozenset(m.name for m in modules if m.name.rpartition(".")[2] == "out_proj")


def shared_modules(backbone: nn.Module, modules: Sequence[BlockModule]) -> frozenset[str]:
    """Return the modules that hold one weight with another: it has no rank of its own.

    An adapter on one of them would, once merged, change the others as well.
    """
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
    shared: Collection[str],
    refused: Collection[str],
) -> tuple[LeftOut, ...]:
    """Return the weights of the blocks that are in no module to adapt, with the reason."""
    adapted = {id(weight_of(backbone, module.name)) for module in modules}
    counts: dict[tuple[str, str], int] = {}
    seen: set[int] = set()
    for block in blocks:
        for name, parameter in backbone.get_submodule(block).named_parameters():
            path = f"{block}.{name}"
            is_adapters = "lora_" in name or ".modules_to_save." in name
            if parameter.ndim < 2 or is_adapters or id(parameter) in adapted | seen:
                continue
            seen.add(id(parameter))
            module = path.removesuffix(".weight").replace(".base_layer", "")
            reason = "refused by PEFT" if module in refused else "not a Linear"
            reason = "shared between blocks" if module in shared else reason
            key = name.removesuffix(".weight").replace(".base_layer", ""), reason
            counts[key] = counts.get(key, 0) + parameter.numel()
    return tuple(LeftOut(name, reason, weights) for (name, reason), weights in counts.items())


def weight_of(backbone: nn.Module, name: str) -> nn.Parameter | None:
    """Return the weight of a module, below any adapter, if it has a plain one."""
    module = without_adapter(backbone.get_submodule(name))
    return dict(module.named_parameters(recurse=False)).get("weight")
