"""All runs of a comparison: first the ranks, then the learning rates, then the seeds.

This process alone writes. A run is done once its line is on disk, and a line is there whole or not
at all, so a comparison that was killed at any moment goes on where it was.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from gelora.errors import ConfigError
from gelora.lab.baselines.method import Size
from gelora.lab.baselines.registry import find_method
from gelora.lab.comparison.cell import run_cell, run_trial
from gelora.lab.comparison.checks import (
    PAPERS_BUDGET,
    check_have_rates,
    check_names,
    check_values,
    methods_of,
)
from gelora.lab.comparison.engines import Failed
from gelora.lab.comparison.results import Results, Row, Trial, meets_budget, read_results
from gelora.lab.comparison.search import best_rate
from gelora.lab.comparison.selection import Prepared, Request, prepare
from gelora.lab.comparison.settings import Cell, TaskSettings
from gelora.lab.comparison.store import Store

logger = logging.getLogger(__name__)

EngineName = Literal["local", "ray"]

# Ray's, an extra, is imported when it is asked for.
_ENGINES = {
    "local": ("gelora.lab.comparison.engines", "run_locally"),
    "ray": ("gelora.lab.comparison.ray_engine", "run_on_ray"),
}


@dataclass(frozen=True)
class Place:
    """Where a method stands: all that its seeds and learning rates have in common."""

    task: TaskSettings
    prepared: Prepared
    method: str
    budget: str
    size: Size

    def cell(self, seed: int, learning_rate: float, *, is_trial: bool) -> Cell:
        """Return one run at this place."""
        needs_profile = find_method(self.method).needs_profile
        return Cell(
            task=self.task,
            data_sha256=self.prepared.data_sha256,
            model_sha256=self.prepared.model_sha256,
            method=self.method,
            budget=self.budget,
            budget_parameters=self.prepared.budgets[self.budget],
            size=self.size,
            seed=seed,
            learning_rate=learning_rate,
            selection=self.prepared.selection if needs_profile else None,
            is_trial=is_trial,
        )


def compare(
    tasks: Sequence[TaskSettings],
    folder: str | Path,
    *,
    methods: Sequence[str] | None = None,
    budgets: Sequence[str] = (PAPERS_BUDGET,),
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    learning_rates: Sequence[float] = (),
    engine: EngineName = "local",
    processes: int = 1,
    overwrite: bool = False,
) -> Results:
    """Train every method on every task at every budget with every seed, and return all results.

    `gelora`, `lora-r1` and `lora-r2` are always among the methods. Where tasks are varied, one
    method alone is run, `gelora-paper` unless another is named.

    Each run has a process of its own, and a line in the folder's `results.jsonl` when it is done
    (`comparison.results`). What is there already, of the same settings by content, is not run
    again. A run that fails becomes a line in `failures.jsonl`, is tried again by the next call, and
    keeps no other from its end.

    As wherever Python starts processes, a script must call this below
    `if __name__ == "__main__":`.

    Args:
        tasks: With their settings; of one name only where they are varied.
        folder: That the results go to.
        methods: Their names; None for all there are.
        budgets: Each a number of parameters, "r=2" for those of uniform LoRA of rank 2, or "paper"
            for those of the paper's ranks.
        seeds: Of new heads, adapters and the order of texts; the data are the same for all.
        learning_rates: To choose from for each method, with the first seed, on a part of the
            training data; with none, the task's own is for all methods.
        engine: "local", or "ray" for the machines of a Ray cluster.
        processes: Runs at a time.
        overwrite: Whether to remove what an earlier comparison left in the folder.

    Raises:
        ConfigError: An unknown method, engine or budget, a number out of its range, two tasks of
            one name, or several methods to vary.
        OutputExistsError: Another comparison writes in the folder.
        MissingExtraError: Ray is asked for and not installed.
    """
    names = methods_of(tasks, methods)
    check_names(methods=names, budgets=budgets)
    check_values(
        tasks=[task.label for task in tasks],
        budgets=budgets,
        seeds=seeds,
        learning_rates=learning_rates,
    )
    if learning_rates:
        tasks = [_without_rate(task) for task in tasks]
    else:
        check_have_rates(tasks)
    run = _engine(engine, processes)
    settings = {
        "tasks": [asdict(task) for task in tasks],
        "methods": names,
        "budgets": list(budgets),
        "seeds": list(seeds),
        "learning_rates": list(learning_rates),
    }
    with Store(Path(folder), overwrite=overwrite) as store:
        places = _sized_places(store, run, tasks, names, budgets)
        trials = [
            [place.cell(seeds[0], rate, is_trial=True) for rate in learning_rates]
            for place in (places if len(learning_rates) > 1 else ())
        ]
        run_all(store, run, run_trial, [cell for cells in trials for cell in cells])
        rates = _rates(store, places, trials, learning_rates)
        cells = [
            place.cell(seed, rate, is_trial=False)
            for place, rate in zip(places, rates, strict=True)
            if rate is not None
            for seed in seeds
        ]
        tried = [cell for row in trials for cell in row]
        # One after the other, so that a report in between is of the call before, with its labels.
        store.keep_references({one.task.name: one.prepared.reference for one in places})
        store.keep_asked(settings, rows=cells, trials=tried)
        run_all(store, run, run_cell, cells)
    return read_results(folder)


def _without_rate(task: TaskSettings) -> TaskSettings:
    training = {k: v for k, v in task.training.items() if k != "learning_rate"}
    return replace(task, training=training)


def _engine(name: str, processes: int) -> Callable[..., Any]:
    if name not in _ENGINES:
        raise ConfigError(f"engine must be {' or '.join(_ENGINES)}. Got {name!r}.")
    if processes < 1:
        raise ConfigError(f"processes must be at least 1. Got {processes}.")
    module, function = _ENGINES[name]
    return partial(getattr(import_module(module), function), processes=processes)


def _sized_places(
    store: Store,
    run: Callable[..., Any],
    tasks: Sequence[TaskSettings],
    methods: Sequence[str],
    budgets: Sequence[str],
) -> list[Place]:
    """Measure every task, and return every method at every budget that it has a size for."""
    prepared: dict[str, Prepared] = {}
    for alike in _first_and_rest(tasks):
        known = store.selections()
        requests = [Request(task, tuple(methods), tuple(budgets), known) for task in alike]
        for request, outcome in run(prepare, requests):
            task = request.task
            if isinstance(outcome, Failed):
                store.fail("ranks", task, outcome)
                continue
            logger.info("%s is measured and sized.", task.label)
            for warning in outcome.warnings:
                logger.warning("Warning: %s: %s", task.label, warning)
            store.keep_selection(outcome.selection)
            prepared[task.label] = outcome
    places: list[Place] = []
    for task in tasks:
        for budget in budgets if task.label in prepared else ():
            for method in methods:
                size = prepared[task.label].sizes[method, budget]
                if isinstance(size, Size):
                    places.append(Place(task, prepared[task.label], method, budget, size))
                else:
                    store.fail("ranks", task, Failed(size), method=method, budget=budget)
    return places


def _first_and_rest(
    tasks: Sequence[TaskSettings],
) -> tuple[list[TaskSettings], list[TaskSettings]]:
    """Return one task of each that are measured alike, and those that its profile will do for."""
    first: dict[str, TaskSettings] = {}
    for task in tasks:
        measured = (task.data, task.model, task.max_length, task.measurement)
        first.setdefault(repr(measured), task)
    firsts = list(first.values())
    return firsts, [task for task in tasks if task not in firsts]


def run_all(
    store: Store,
    run: Callable[..., Any],
    function: Callable[[Cell], Any],
    cells: Iterable[Cell],
) -> None:
    """Run what is not there; what comes to the same, as one size at two budgets, is one run.

    Args:
        store: Keeps the lines.
        run: An engine, such as `run_locally` with its processes given.
        function: `run_cell` or `run_trial`.
        cells: What is asked for.
    """
    alike: dict[str, list[Cell]] = {}
    for cell in cells:
        if not store.has(cell):
            alike.setdefault(cell.hash, []).append(cell)
    todo: list[Cell] = []
    for group in alike.values():
        found = store.alike(group[0])
        if found is None:
            todo.append(group[0])
        else:
            _keep(store, found, group)
    for number, (cell, outcome) in enumerate(run(function, todo), 1):
        logger.info("%d of %d: %s: %s", number, len(todo), cell.label, _said(outcome))
        if isinstance(outcome, Failed):
            stage = "trial" if cell.is_trial else "run"
            for one in alike[cell.hash]:
                at = {"method": one.method, "budget": one.budget, "seed": one.seed}
                store.fail(stage, one.task, outcome, **at, learning_rate=one.learning_rate)
            continue
        record = outcome
        if not isinstance(outcome, Trial):
            record, predictions = outcome
            store.keep_predictions(predictions)
        _keep(store, record, alike[cell.hash])


def _keep(store: Store, record: Row | Trial, cells: Sequence[Cell]) -> None:
    """Keep what came of a run as the line of every cell that it serves."""
    for cell in cells:
        one = replace(
            record, task=cell.task.name, varied=dict(cell.task.varied), budget=cell.budget
        )
        if isinstance(one, Row):
            budget = cell.budget_parameters
            meets = meets_budget(budget, one.parameters["adapter"])
            one = replace(one, budget_parameters=budget, meets_budget=meets)
        store.keep(one)


def _rates(
    store: Store,
    places: Sequence[Place],
    trials: Sequence[Sequence[Cell]],
    learning_rates: Sequence[float],
) -> list[float | None]:
    """Return the learning rate of every place; None where no trial says one."""
    if not trials:
        only = learning_rates[0] if learning_rates else None
        return [only or place.task.training["learning_rate"] for place in places]
    rates: list[float | None] = []
    for place, cells in zip(places, trials, strict=True):
        found = [trial for trial in map(store.trial, cells) if trial is not None]
        rates.append(best_rate(found))
        if found and rates[-1] is None:
            diverged = Failed("Training diverged at every learning rate: give smaller ones.")
            store.fail("trial", place.task, diverged, method=place.method, budget=place.budget)
    return rates


def _said(outcome: Any) -> str:
    if isinstance(outcome, Failed):
        return outcome.error
    if isinstance(outcome, Trial):
        return "diverged" if outcome.value is None else f"{outcome.metric} {outcome.value:.4f}"
    row = outcome[0]
    return f"{row.headline_metric} {row.value:.4f}"
