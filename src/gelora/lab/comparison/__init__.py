"""Methods on tasks at equal budgets, over seeds: a line for each run, then what they say together.

The names below are loaded when first used, so that reading results loads no torch.
"""

from typing import TYPE_CHECKING

from gelora.lazy import loader

if TYPE_CHECKING:
    from gelora.lab.comparison.grid import compare
    from gelora.lab.comparison.settings import TaskSettings

__all__ = ["TaskSettings", "compare"]

__getattr__ = loader(
    __name__,
    {
        "TaskSettings": "gelora.lab.comparison.settings",
        "compare": "gelora.lab.comparison.grid",
    },
)
