"""Experts stored as one parameter of three axes, which PEFT adapts by the parameter's name."""

from collections.abc import Collection, Mapping, Sequence

from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import ParamWrapper
from torch import nn

from gelora.errors import RankError


def expert_parameters(model: nn.Module, names: Collection[str], blocks: Sequence[str]) -> list[str]:
    """Return the full names of the parameters that `target_parameters` names.

    Args:
        model: Not yet wrapped.
        names: Full names, or endings at a dot, as PEFT takes them.
        blocks: Full path of every block.

    Raises:
        RankError: A name matches no expert's parameter in a block.
    """
    inside = tuple(f"{block}." for block in blocks)
    experts = [
        path
        for path, parameter in model.named_parameters()
        if parameter.ndim == 3 and path.startswith(inside)
    ]
    for name in names:
        if not any(_is_named(path, name) for path in experts):
            there = ", ".join(sorted(set(map(_ending, experts)))) or "none"
            raise RankError(
                f"target_parameters names {name!r}, and the blocks hold no experts of that name: "
                f"there are {there}."
            )
    return sorted(path for path in experts if any(_is_named(path, name) for name in names))


def full_name(path: str, layer: LoraLayer) -> str:
    """Return the name of what a layer adapts: a module's path, or the experts' parameter.

    PEFT nests the wrappers of a module's several parameters.
    """
    if not isinstance(layer, ParamWrapper):
        return path
    return f"{path.replace('.base_layer', '')}.{layer.parameter_name}"


def added_parameters(model: nn.Module, ranks: Mapping[str, int]) -> int:
    """Return the parameters of adapters of these ranks on experts, by the parameters' names."""
    total = 0
    for name, rank in ranks.items():
        experts, rows, columns = model.get_parameter(name).shape
        total += rank * experts * (rows + columns)
    return total


def _is_named(path: str, name: str) -> bool:
    return f".{path}".endswith(f".{name}")


def _ending(path: str) -> str:
    """Return a parameter's name from its block on."""
    parts = path.split(".")
    number = max((i for i, part in enumerate(parts) if part.isdecimal()), default=-1)
    return ".".join(parts[number + 1 :])
