"""The methods that gelora is compared with: one file for each that PEFT lacks.

The names below are loaded when first used (PEP 562), so that the methods' names, in `registry`, can
be read without torch.
"""

from typing import TYPE_CHECKING

from gelora.lazy import loader

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

__getattr__ = loader(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})
