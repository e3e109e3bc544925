"""The methods that gelora is compared with.

Their names are here, and can be read without torch. A method is loaded when it is first used.
"""

import re
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from gelora.errors import ConfigError
from gelora.lazy import loader

if TYPE_CHECKING:
    from gelora.lab.baselines.method import Applied, Method, Setting, Size
    from gelora.lab.baselines.saving import load_trained, save_trained

__all__ = [
    "MODULES",
    "Applied",
    "Method",
    "Setting",
    "Size",
    "find_method",
    "load_trained",
    "save_trained",
]

__getattr__ = loader(
    __name__,
    {
        **dict.fromkeys(("Applied", "Method", "Setting", "Size"), f"{__name__}.method"),
        **dict.fromkeys(("load_trained", "save_trained"), f"{__name__}.saving"),
    },
)

MODULES: Mapping[str, str] = {
    "gelora": "planned",
    "gelora-paper": "planned",
    "gelora-shuffled": "planned",
    "gelora-reversed": "planned",
    "gelora-rslora": "planned",
    "gelora-dora": "planned",
    "gelora-pissa": "planned",
    "gelora-eva": "planned",
    "lora": "uniform",
    "rslora": "uniform",
    "dora": "uniform",
    "pissa": "uniform",
    "eva": "eva",
    "adalora": "adalora",
    "increlora": "increlora",
    "sora": "sora",
    "bitfit": "freezing",
    "houlsby": "bottleneck",
    "pfeiffer": "bottleneck",
    "full": "freezing",
    "linear-probe": "freezing",
}
"""Module of every method. Each module has METHODS, a mapping from name to `Method`."""


def find_method(name: str) -> "Method":
    """Return a method by its name; `lora-r4` is LoRA of rank 4 whatever the budget.

    Raises:
        ConfigError: No method has the name.
    """
    fixed = re.fullmatch(r"lora-r([1-9]\d*)", name)
    if fixed:
        return import_module(f"{__name__}.uniform").fixed_rank(int(fixed[1]))
    if name not in MODULES:
        raise ConfigError(
            f"There is no method {name!r}; there are {', '.join(MODULES)} and lora-r1, lora-r2, ..."
        )
    return import_module(f"{__name__}.{MODULES[name]}").METHODS[name]
