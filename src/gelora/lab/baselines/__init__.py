"""The methods that gelora is compared with: one file for each that PEFT lacks.

The names below are loaded when first used (PEP 562), so that the methods' names, in `registry`, can
be read without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gelora.lab.baselines.method import Applied, Method, Setting, Size
    from gelora.lab.baselines.registry import find_method
    from gelora.lab.baselines.saving import load_trained, save_trained

_HOMES = {
    "Applied": "method",
    "Method": "method",
    "Setting": "method",
    "Size": "method",
    "find_method": "registry",
    "load_trained": "saving",
    "save_trained": "saving",
}

__all__ = [
    "Applied",
    "Method",
    "Setting",
    "Size",
    "find_method",
    "load_trained",
    "save_trained",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gelora.lab.baselines' has no attribute {name!r}")
    return getattr(import_module(f"gelora.lab.baselines.{_HOMES[name]}"), name)
