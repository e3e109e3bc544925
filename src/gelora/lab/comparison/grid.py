"""All runs of a comparison: first the ranks, then the learning rates, then the seeds.

Only this process writes. A run is done once its line is on disk, and lines are written whole or not
at all, so a comparison that was killed resumes where it stopped.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from gelora.lab.baselines import find_method
from gelora.lab.baselines.method import Size
from gelora.lab.comparison.checks import PAPERS_BUDGET, check_comparison, methods_of
from gelora.lab.comparison.engines import Failed, run_locally, run_on_ray
from gelora.lab.comparison.results import Results, RunResult, Trial, meets_budget, read_results
from gelora.lab.comparison.runs import run_method, run_trial
from gelora.lab.comparison.search import best_rate
from gelora.lab.comparison.selection import MeasuredTask, Request, measure_task
from gelora.lab.comparison.settings import RunSpec, TaskSettings
from gelora.lab.comparison.store import Store
from gelora.settings import Count, checked

logger = logging.getLogger(__name__)

EngineName = Literal["local", "ray"]


@dataclass(frozen=True)
class SizedMethod:
    """A method at a budget on a task, with its size. Seeds and learning rates vary within it."""

    task: TaskSettings
    measured: MeasuredTask
    method: str
    budget: str
    size: Size

    def spec(self, seed: int, learning_rate: float, *, is_trial: bool) -> RunSpec:
        """Return one run of the method."""
        needs_profile = find_method(self.method).needs_profile
        return RunSpec(
            task=self.task,
            data_sha256=self.measured.data_sha256,
            model_sha256=self.measured.model_sha256,
            method=self.method,
            budget=self.budget,
            budget_parameters=self.measured.budgets[self.budget],
            size=self.size,
            seed=seed,
            learning_rate=learning_rate,
            selection=self.measured.selection if needs_profile else None,
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

    Each run has its own process and leaves a line in the folder's `results.jsonl`. A run whose line
    is there, with the same settings and data, is not repeated. A run that fails leaves a line in
    `failures.jsonl`, does not stop the others, and is tried again by the next call.

    Python starts processes, so a script must call this below `if __name__ == "__main__":`.

    Args:
        tasks: With their settings. Only varied tasks may share a name.
        folder: Where the results go.
        methods: Names of methods; None for all.
        budgets: Each a number of parameters, "r=2" for those of uniform LoRA of rank 2, or "paper"
            for those of the paper's ranks.
        seeds: Of new heads, adapters and the order of texts; the data are the same for all.
        learning_rates: Candidates for each method, tried with the first seed on a part of the
            training data. Without any, all methods use the task's own.
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
    check_comparison(
        tasks, methods=names, budgets=budgets, seeds=seeds, learning_rates=learning_rates
    )
    if learning_rates:
        tasks = [_without_rate(task) for task in tasks]
    run = _engine(engine, processes)
    settings = {
        "tasks": [asdict(task) for task in tasks],
        "methods": names,
        "budgets": list(budgets),
        "seeds": list(seeds),
        "learning_rates": list(learning_rates),
    }
    with Store(Path(folder), overwrite=overwrite) as store:
        sized = _sized_methods(store, run, tasks, names, budgets)
        trials = [
            [method.spec(seeds[0], rate, is_trial=True) for rate in learning_rates]
            for method in (sized if len(learning_rates) > 1 else ())
        ]
        tried = [spec for specs in trials for spec in specs]
        run_all(store, run, run_trial, tried)
        rates = _rates(store, sized, trials, learning_rates)
        specs = [
            method.spec(seed, rate, is_trial=False)
            for method, rate in zip(sized, rates, strict=True)
            if rate is not None
            for seed in seeds
        ]
        # Both at the end: until then, a report shows the previous call with its labels.
        store.keep_references({method.task.name: method.measured.reference for method in sized})
        store.keep_asked(settings, rows=specs, trials=tried)
        run_all(store, run, run_method, specs)
    return read_results(folder)


def _without_rate(task: TaskSettings) -> TaskSettings:
    training = {k: v for k, v in task.training.items() if k != "learning_rate"}
    return replace(task, training=training)


def _engine(name: str, processes: int) -> Callable[..., Any]:
    engines = {"local": run_locally, "ray": run_on_ray}
    checked("engine", name, EngineName)
    return partial(engines[name], processes=checked("processes", processes, Count))


def _sized_methods(
    store: Store,
    run: Callable[..., Any],
    tasks: Sequence[TaskSettings],
    methods: Sequence[str],
    budgets: Sequence[str],
) -> list[SizedMethod]:
    """Measure every task, and return every method at every budget that it has a size for."""
    measured: dict[str, MeasuredTask] = {}
    for group in _first_and_rest(tasks):
        known = store.selections()
        requests = [Request(task, tuple(methods), tuple(budgets), known) for task in group]
        for request, outcome in run(measure_task, requests):
            task = request.task
            if isinstance(outcome, Failed):
                store.fail("ranks", task, outcome)
                continue
            logger.info("%s is measured and sized.", task.label)
            for warning in outcome.warnings:
                logger.warning("Warning: %s: %s", task.label, warning)
            store.keep_selection(outcome.selection)
            measured[task.label] = outcome
    sized: list[SizedMethod] = []
    for task in tasks:
        for budget in budgets if task.label in measured else ():
            for method in methods:
                size = measured[task.label].sizes[method, budget]
                if isinstance(size, Size):
                    sized.append(SizedMethod(task, measured[task.label], method, budget, size))
                else:
                    store.fail("ranks", task, Failed(size), method=method, budget=budget)
    return sized


def _first_and_rest(
    tasks: Sequence[TaskSettings],
) -> tuple[list[TaskSettings], list[TaskSettings]]:
    """Return one task for each distinct measurement, and the tasks that share its profile."""
    first: dict[str, TaskSettings] = {}
    for task in tasks:
        measured = (task.data, task.model, task.max_length, task.measurement)
        first.setdefault(repr(measured), task)
    firsts = list(first.values())
    return firsts, [task for task in tasks if task not in firsts]


def run_all(
    store: Store,
    run: Callable[..., Any],
    function: Callable[[RunSpec], Any],
    specs: Iterable[RunSpec],
) -> None:
    """Run what is not there yet. Specs of one hash, as of one size at two budgets, are run once.

    Args:
        store: Keeps the lines.
        run: An engine, such as `run_locally` with its processes given.
        function: `run_method` or `run_trial`.
        specs: The runs that are asked for.
    """
    alike: dict[str, list[RunSpec]] = {}
    for spec in specs:
        if not store.has(spec):
            alike.setdefault(spec.hash, []).append(spec)
    todo: list[RunSpec] = []
    for group in alike.values():
        finished = store.alike(group[0])
        if finished is None:
            todo.append(group[0])
        else:
            _keep(store, finished, group)
    for number, (spec, outcome) in enumerate(run(function, todo), 1):
        logger.info("%d of %d: %s: %s", number, len(todo), spec.label, _in_words(outcome))
        if isinstance(outcome, Failed):
            stage = "trial" if spec.is_trial else "run"
            for failed in alike[spec.hash]:
                at = {"method": failed.method, "budget": failed.budget, "seed": failed.seed}
                store.fail(stage, failed.task, outcome, **at, learning_rate=failed.learning_rate)
            continue
        record = outcome
        if not isinstance(outcome, Trial):
            record, predictions = outcome
            store.keep_predictions(predictions)
        _keep(store, record, alike[spec.hash])


def _keep(store: Store, record: RunResult | Trial, specs: Sequence[RunSpec]) -> None:
    """Keep the outcome of a run as the line of every spec of its hash."""
    for spec in specs:
        line = replace(
            record, task=spec.task.name, varied=dict(spec.task.varied), budget=spec.budget
        )
        if isinstance(line, RunResult):
            budget = spec.budget_parameters
            meets = meets_budget(budget, line.parameters["adapter"])
            line = replace(line, budget_parameters=budget, meets_budget=meets)
        store.keep(line)


def _rates(
    store: Store,
    sized: Sequence[SizedMethod],
    trials: Sequence[Sequence[RunSpec]],
    learning_rates: Sequence[float],
) -> list[float | None]:
    """Return the learning rate of every sized method; None where its trials leave none."""
    if not trials:
        only = learning_rates[0] if learning_rates else None
        return [only or method.task.training["learning_rate"] for method in sized]
    rates: list[float | None] = []
    for method, specs in zip(sized, trials, strict=True):
        finished = [trial for trial in map(store.trial, specs) if trial is not None]
        rates.append(best_rate(finished))
        if finished and rates[-1] is None:
            diverged = Failed("Training diverged at every learning rate: give smaller ones.")
            store.fail("trial", method.task, diverged, method=method.method, budget=method.budget)
    return rates


def _in_words(outcome: Any) -> str:
    if isinstance(outcome, Failed):
        return outcome.error
    if isinstance(outcome, Trial):
        return "diverged" if outcome.value is None else f"{outcome.metric} {outcome.value:.4f}"
    row = outcome[0]
    return f"{row.headline_metric} {row.value:.4f}"
