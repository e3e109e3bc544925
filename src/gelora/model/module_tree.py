"""A model's tree of modules, read as if adapters were absent.

Knows PEFT's wrappers, what counts as a projection, and which lists of modules may be blocks. Knows
nothing of roles or of whole models: that is `architectures`.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import ModulesToSaveWrapper
from torch import nn
from transformers.pytorch_utils import Conv1D


@runtime_checkable
class LinearLike(Protocol):
    """`nn.Linear` and what quantisation libraries put in its place."""

    in_features: int
    out_features: int


class Projection(NamedTuple):
    """One Linear or Conv1D: its path, its sides, and whether it is a part of attention."""

    path: str
    in_features: int
    out_features: int
    inside_attention: bool


def without_wrapper(model: nn.Module) -> nn.Module:
    """Return the model inside a PeftModel; its adapters stay in place."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def projections(
    module: nn.Module, path: str = "", *, inside_attention: bool = False
) -> Iterator[Projection]:
    """Yield every projection below a module, in its order."""
    for name, child_path, child in _children(module, path):
        if isinstance(child, Conv1D):
            yield Projection(child_path, child.nx, child.nf, inside_attention)
        elif isinstance(child, LinearLike):
            sides = child.in_features, child.out_features
            yield Projection(child_path, *sides, inside_attention)
        else:
            inside = inside_attention or any(map(_says_attention, (name, type(child).__name__)))
            yield from projections(child, child_path, inside_attention=inside)


def outermost_lists(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.ModuleList]]:
    """Yield the lists each of whose children holds projections, and none that lies in another."""
    for _, child_path, child in _children(module, path):
        if isinstance(child, nn.ModuleList) and all(any(projections(each)) for each in child):
            if len(child):
                yield child_path, child
        else:
            yield from outermost_lists(child, child_path)


def has_attention(blocks: nn.ModuleList) -> bool:
    """Whether any of the blocks has projections inside a module that is named attention."""
    return any(found.inside_attention for block in blocks for found in projections(block))


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


def _says_attention(name: str) -> bool:
    return "attention" in name.lower() or "attn" in name.lower()
