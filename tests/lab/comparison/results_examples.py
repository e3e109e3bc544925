"""Comparisons that nobody ran: rows, predictions and labels drawn from chances."""

from dataclasses import asdict

import numpy as np

from gelora.artifacts import write_json
from gelora.lab.comparison.lines import append_line
from gelora.lab.comparison.results import (
    COMPARISON_FILE,
    FAILURES_FILE,
    LABELS_FILE,
    PREDICTIONS_FILE,
    RESULTS_FILE,
    TRIALS_FILE,
    Predictions,
    Reference,
    Results,
    RunResult,
    Trial,
)
from gelora.tasks.metrics import metric_values


def example_reference(num_items=300, *, num_labels=2, metrics=("accuracy",), seed=0):
    labels = np.random.default_rng(seed).integers(0, num_labels, num_items)
    return Reference("classification", metrics, num_labels, labels.tolist(), "0" * 64)


def example_row(method, values, reference, *, task="cola", budget="r=2", seed=0, **changes):
    metrics = metric_values(
        np.eye(reference.num_labels)[np.asarray(values)],
        np.asarray(reference.labels),
        metrics=reference.metrics,
    )
    fields = {
        "hash": f"{task}-{method}-{budget}-{seed}-{changes.get('varied', {})}",
        "task": task,
        "method": method,
        "varied": {},
        "budget": budget,
        "budget_parameters": 20_000,
        "size": 2,
        "parameters": {"adapter": 20_000, "head": 770, "trained": 20_770},
        "meets_budget": True,
        "seed": seed,
        "learning_rate": 5e-4,
        "selection_seconds": 0.0,
        "forward_tokens": 0,
        "training_seconds": 60.0,
        "steps": 100,
        "steps_per_second": 100 / 60,
        "peak_memory_bytes": 10**9,
        "metrics": {
            name: {"value": value, "standard_error": 0.01, "num_samples": len(values)}
            for name, value in metrics.items()
        },
        "headline_metric": reference.metrics[0],
        "ranks": {},
    }
    row = RunResult(**{**fields, **changes})
    return row, Predictions(row.hash, {"label": list(map(int, values))})


def example_answers(reference, accuracy, *, seed, spread=0.0):
    """Draw classes that are right with a chance, which differs between seeds by `spread`."""
    generator = np.random.default_rng(seed)
    labels = np.asarray(reference.labels)
    chance = np.clip(accuracy + spread * generator.normal(), 0, 1)
    is_right = generator.random(len(labels)) < chance
    return np.where(is_right, labels, (labels + 1) % reference.num_labels)


def example_results(
    accuracies,
    *,
    seeds=range(5),
    tasks=("cola",),
    budgets=("r=2",),
    changes=None,
    extra=(),
    failures=(),
    spread=0.0,
    **reference,
):
    """Make a comparison whose methods are right with the given chances."""
    references = {task: example_reference(**reference) for task in tasks}
    pairs = [
        example_row(
            method,
            example_answers(
                references[task], accuracy, seed=[seed, number, place, level], spread=spread
            ),
            references[task],
            task=task,
            budget=budget,
            seed=seed,
            **(changes or {}).get(method, {}),
        )
        for place, task in enumerate(tasks)
        for level, budget in enumerate(budgets)
        for number, (method, accuracy) in enumerate(accuracies.items())
        for seed in seeds
    ]
    pairs += extra
    trials = [
        Trial(
            hash=f"{row.hash}-{rate}", task=row.task, method=row.method, varied={},
            budget=row.budget, size=row.size, seed=row.seed, learning_rate=rate,
            metric=row.headline_metric, value=value, seconds=10.0,
        )
        for row, _ in pairs
        if row.seed == 0 and not row.varied
        for rate, value in ((5e-4, 0.71), (1e-3, None))
    ]  # fmt: skip
    return Results(
        rows=[row for row, _ in pairs],
        predictions={predictions.hash: predictions for _, predictions in pairs},
        trials=trials,
        failures=failures,
        references=references,
        settings={
            "tasks": [{"name": task, "model": {"name_or_path": "tiny-bert"}} for task in tasks],
            "methods": list(accuracies),
            "budgets": list(budgets),
            "seeds": list(seeds),
            "learning_rates": [5e-4, 1e-3],
        },
    )


def write_results(results, folder):
    """Write a comparison as `gelora compare` leaves it."""
    for name, records in (
        (RESULTS_FILE, results.rows),
        (PREDICTIONS_FILE, results.predictions.values()),
        (TRIALS_FILE, results.trials),
        (FAILURES_FILE, results.failures),
    ):
        for record in records:
            append_line(folder / name, record)
    tasks = {name: asdict(reference) for name, reference in results.references.items()}
    write_json(folder / LABELS_FILE, {"tasks": tasks}, kind="labels")
    asked = {
        "settings": results.settings,
        "rows": [row.key for row in results.rows],
        "trials": [trial.key for trial in results.trials],
    }
    write_json(folder / COMPARISON_FILE, asked, kind="comparison")
    return folder
