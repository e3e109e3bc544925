"""Complete and check what a comparison is asked for, before anything is measured."""

from collections.abc import Sequence

from gelora.errors import ConfigError
from gelora.lab.baselines import MODULES, find_method
from gelora.lab.comparison.results import REFERENCE_METHOD
from gelora.lab.comparison.settings import TaskSettings
from gelora.settings import Positive, Seed, checked, read_budget

PAPERS_BUDGET = "paper"
"""The budget that is what the paper's rule asks for."""
ALWAYS = (REFERENCE_METHOD, "lora-r1", "lora-r2")
"""Methods of every comparison: GeLoRA, and LoRA of the two ranks that the paper is about."""
PAPERS_METHOD = "gelora-paper"
"""The method whose settings are varied, unless another is named."""


def methods_of(tasks: Sequence[TaskSettings], methods: Sequence[str] | None) -> list[str]:
    """Return the methods to run: those of `ALWAYS` first, or one where tasks are varied.

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


def check_comparison(
    tasks: Sequence[TaskSettings],
    *,
    methods: Sequence[str],
    budgets: Sequence[str],
    seeds: Sequence[int],
    learning_rates: Sequence[float],
) -> None:
    """Check that all methods exist, and that all values are usable and distinct.

    Raises:
        ConfigError: A method or budget is unknown, a value is missing, repeated or out of its
            range, or a task has no learning rate where none are to be tried.
    """
    for method in methods:
        find_method(method)
    for budget in budgets:
        if budget != PAPERS_BUDGET:
            read_budget(budget)
    labels = [task.label for task in tasks]
    for name, values in (("tasks", labels), ("budgets", budgets), ("seeds", seeds)):
        if not values:
            raise ConfigError(f"There are no {name} to compare on: name one or more.")
        _check_distinct(name, values)
    for seed in seeds:
        checked("seed", seed, Seed)
    _check_distinct("learning_rates", learning_rates)
    for rate in learning_rates:
        checked("learning_rates", rate, Positive)
    for task in tasks:
        if not learning_rates and "learning_rate" not in task.training:
            raise ConfigError(
                f"The training of {task.label} has no learning_rate: give it one, or give "
                "learning_rates to try."
            )


def _check_distinct(name: str, values: Sequence[object]) -> None:
    twice = [value for value in values if list(values).count(value) > 1]
    if twice:
        raise ConfigError(f"{name} has {twice[0]} twice: leave out one of them.")
