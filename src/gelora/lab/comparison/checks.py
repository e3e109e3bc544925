"""What a comparison is asked for, completed and checked before anything is measured."""

import math
from collections.abc import Sequence

from gelora.errors import ConfigError
from gelora.lab.baselines.registry import MODULES, find_method
from gelora.lab.comparison.results import REFERENCE_METHOD
from gelora.lab.comparison.settings import TaskSettings
from gelora.settings import read_budget

PAPERS_BUDGET = "paper"
"""The budget that is what the paper's rule asks for."""
ALWAYS = (REFERENCE_METHOD, "lora-r1", "lora-r2")
"""In every comparison: GeLoRA, and LoRA of the two ranks that the paper's are about."""
PAPERS_METHOD = "gelora-paper"
"""What is varied unless another is named."""
MAX_SEED = 2**32 - 1  # NumPy's


def methods_of(tasks: Sequence[TaskSettings], methods: Sequence[str] | None) -> list[str]:
    """Return the methods to run, those of always first, none twice; where tasks are varied, one.

    Raises:
        ConfigError: Several are named where one is varied.
    """
    if not any(task.varied for task in tasks):
        return list(dict.fromkeys([*ALWAYS, *(MODULES if methods is None else methods)]))
    named = list(methods or [PAPERS_METHOD])
    if len(named) > 1:
        raise ConfigError(
            f"One method is varied at a time, and {len(named)} are named: {', '.join(named)}."
        )
    return named


def check_names(*, methods: Sequence[str], budgets: Sequence[str]) -> None:
    """Check that all methods exist, and that budgets can be read.

    Raises:
        ConfigError: They do not, or cannot.
    """
    for method in methods:
        find_method(method)
    for budget in budgets:
        if budget != PAPERS_BUDGET:
            read_budget(budget)


def check_values(
    *,
    tasks: Sequence[str],
    budgets: Sequence[str],
    seeds: Sequence[int],
    learning_rates: Sequence[float],
) -> None:
    """Check what is run over: that there is something, none twice, and all in their range.

    Raises:
        ConfigError: It is not so.
    """
    for name, values in (("tasks", tasks), ("budgets", budgets), ("seeds", seeds)):
        if not values:
            raise ConfigError(f"There are no {name} to compare on: name one or more.")
        _check_distinct(name, values)
    for seed in seeds:
        if not 0 <= seed <= MAX_SEED:
            raise ConfigError(f"seeds must lie between 0 and {MAX_SEED}. Got {seed}.")
    _check_distinct("learning_rates", learning_rates)
    for rate in learning_rates:
        if not 0 < rate < math.inf:
            raise ConfigError(f"learning_rates must be above 0. Got {rate}.")


def check_have_rates(tasks: Sequence[TaskSettings]) -> None:
    """Check that every task says its own learning rate, where none are to be tried.

    Raises:
        ConfigError: One does not.
    """
    for task in tasks:
        if "learning_rate" not in task.training:
            raise ConfigError(
                f"The training of {task.label} has no learning_rate: give it one, or give "
                "learning_rates to try."
            )


def _check_distinct(name: str, values: Sequence[object]) -> None:
    twice = [value for value in values if list(values).count(value) > 1]
    if twice:
        raise ConfigError(f"{name} has {twice[0]} twice: leave out one of them.")
