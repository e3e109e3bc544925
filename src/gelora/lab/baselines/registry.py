"""The names of all methods, and where each is written. It loads none before it is asked for."""

import re
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from gelora.errors import ConfigError

if TYPE_CHECKING:
    from gelora.lab.baselines.method import Method

# Each module has METHODS, a mapping from name to `Method`.
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
    "bitfit": "bitfit",
    "houlsby": "bottleneck",
    "pfeiffer": "bottleneck",
    "full": "whole",
    "linear-probe": "whole",
}


def find_method(name: str) -> "Method":
    """Return a method by its name; `lora-r4` is LoRA of rank 4 whatever the budget.

    Raises:
        ConfigError: There is none of the name.
    """
    fixed = re.fullmatch(r"lora-r([1-9]\d*)", name)
    if fixed:
        return import_module("gelora.lab.baselines.uniform").fixed_rank(int(fixed[1]))
    if name not in MODULES:
        raise ConfigError(
            f"There is no method {name!r}; there are {', '.join(MODULES)} and lora-r1, lora-r2, ..."
        )
    return import_module(f"gelora.lab.baselines.{MODULES[name]}").METHODS[name]
