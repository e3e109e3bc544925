"""A model's tree of modules, read as if adapters were absent.

It tells what counts as a projection, which lists of modules may be blocks, and which weights of
the blocks get no adapter and why.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import ModulesToSaveWrapper
from torch import nn
from transformers.pytorch_utils import Conv1D

from gelora.dimension.profile import NOT_LINEAR, BlockModule, LeftOut

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

_MIXER = re.compile(
    r"attention|attn|mamba|mixer|ssm|conv|recurrent|temporal|lstm|delta|rwkv|retention",
    re.IGNORECASE,
)
_MLP = re.compile(r"mlp|feed_?forward|ffn|moe|expert", re.IGNORECASE)


@runtime_checkable
class LinearLike(Protocol):
    """`nn.Linear` and what quantisation libraries put in its place."""

    in_features: int
    out_features: int


class Projection(NamedTuple):
    """One Linear or Conv1D: its path, its sides, and which part of a block it lies in.

    It lies in attention, in another mixer of tokens (a state space, a convolution), or in neither.
    """

    path: str
    in_features: int
    out_features: int
    inside_attention: bool
    inside_mixer: bool = False


def without_wrapper(model: nn.Module) -> nn.Module:
    """Return the model inside a PeftModel; its adapters stay in place."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def projections(
    module: nn.Module,
    path: str = "",
    *,
    inside_attention: bool = False,
    inside_mixer: bool | None = None,
) -> Iterator[Projection]:
    """Yield every projection below a module, in its order."""
    for name, child_path, child in _children(module, path):
        if isinstance(child, Conv1D):
            sides = child.nx, child.nf
            yield Projection(child_path, *sides, inside_attention, bool(inside_mixer))
        elif isinstance(child, LinearLike):
            sides = child.in_features, child.out_features
            yield Projection(child_path, *sides, inside_attention, bool(inside_mixer))
        else:
            names = name, type(child).__name__
            inside = inside_attention or any(map(_says_attention, names))
            # What says so first decides: experts of attention mix tokens, a mixer's MLP does not.
            mixes = _says_mixer(*names) if inside_mixer is None else inside_mixer
            yield from projections(child, child_path, inside_attention=inside, inside_mixer=mixes)


def outermost_lists(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.ModuleList]]:
    """Yield the lists each of whose children holds projections, and none that lies in another."""
    for _, child_path, child in _children(module, path):
        if isinstance(child, nn.ModuleList) and all(any(projections(block)) for block in child):
            if len(child):
                yield child_path, child
        else:
            yield from outermost_lists(child, child_path)


def has_attention(blocks: nn.ModuleList) -> bool:
    """Whether any of the blocks has projections inside a module that is named attention."""
    return any(part.inside_attention for block in blocks for part in projections(block))


def _children(module: nn.Module, path: str) -> Iterator[tuple[str, str, nn.Module]]:
    """Yield name, path and module of every child, adapters taken off."""
    for name, child in module.named_children():
        yield name, f"{path}.{name}" if path else name, without_adapter(child)


def without_adapter(module: nn.Module) -> nn.Module:
    """Return the module that an adapter was put on, or the module itself."""
    if isinstance(module, BaseTunerLayer):
        return module.get_base_layer()
    if isinstance(module, ModulesToSaveWrapper):
        return module.original_module
    return module


def _says_mixer(name: str, class_name: str) -> bool | None:
    """Say whether a part of a block mixes tokens; None where its names do not tell."""
    if _MLP.search(class_name) or (_MLP.search(name) and not _MIXER.search(class_name)):
        return False
    return True if _MIXER.search(f"{name} {class_name}") else None


def _says_attention(name: str) -> bool:
    return "attention" in name.lower() or "attn" in name.lower()


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
