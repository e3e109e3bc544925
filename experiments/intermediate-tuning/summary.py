"""What the trainings on RTE say: accuracies of every arm, and four differences with intervals.

    python experiments/intermediate-tuning/summary.py

Reads what train.py left, finished or not, writes results.json beside it and prints two tables.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from gelora.artifacts import write_text
from gelora.lab.comparison.results import Results, RunResult, read_results
from gelora.lab.comparison.statistics import DRAWS, difference_of, resampled_metrics
from gelora.report.text import table

TASK = "rte"
METHODS = {"gelora-paper": "paper", "gelora": "budget r=8"}
CONTRASTS = (
    ("tuned less untuned, each at its own ranks", ("after", "after"), ("before", "before")),
    ("tuned less untuned, at the ranks of before", ("after", "before"), ("before", "before")),
    ("other's ranks less own, untuned", ("before", "after"), ("before", "before")),
    ("other's ranks less own, tuned", ("after", "before"), ("after", "after")),
)
"""What is asked, and the two arms (model, ranks of) whose difference answers it."""

Arms = Mapping[tuple[str, str, str], Sequence[RunResult]]


def summarise(results: Results) -> dict[str, Any]:
    """Return every arm's accuracies, and the differences with 95 % intervals."""
    resampled = resampled_metrics(results, TASK, draws=DRAWS, seed=0)
    arms: defaultdict[tuple[str, str, str], list[RunResult]] = defaultdict(list)
    for row in results.rows:
        arms[row.method, row.varied["model"], row.varied["ranks_of"]].append(row)
    differences: list[dict[str, Any]] = []
    for method, (what, *places) in product(METHODS, CONTRASTS):
        first, second = (_rows(arms, method, *place) for place in places)
        found = None if first is second else difference_of(first, second, resampled)
        if found is not None:
            differences.append({"method": method, "difference": what, **asdict(found)})
    return {
        "learning_rates": results.settings["learning_rates"],
        "trials": [asdict(trial) for trial in results.trials],
        "arms": [
            {
                **dict(zip(("method", "model", "ranks_of"), arm, strict=True)),
                "ranks": _ranks(rows[0]),
                "parameters": rows[0].parameters["adapter"],
                "accuracies": [row.value for row in rows],
            }
            for arm, rows in arms.items()
        ],
        "differences": differences,
    }


def summary_text(found: Mapping[str, Any]) -> str:
    """Return the arms and the differences as two tables."""
    arms = [
        [
            f"{METHODS[one['method']]}: {one['model']}, ranks of {one['ranks_of']}",
            ", ".join(map(str, one["ranks"])),
            f"{one['parameters']:,}",
            f"{np.mean(one['accuracies']):.3f}",
            " ".join(f"{value:.3f}" for value in one["accuracies"]),
        ]
        for one in found["arms"]
    ]
    differences = [
        [
            f"{METHODS[one['method']]}: {one['difference']}",
            f"{one['value']:+.3f}",
            f"{one['low']:+.3f} to {one['high']:+.3f}",
            f"{one['p_value']:.3f}",
        ]
        for one in found["differences"]
    ]
    return (
        table(["arm", "ranks", "parameters", "accuracy", "of each seed"], arms)
        + "\n\n"
        + table(["difference", "mean", "95 % interval", "p"], differences)
    )


def _rows(arms: Arms, method: str, model: str, ranks_of: str) -> Sequence[RunResult]:
    """Return an arm's runs; where both models ask for the same ranks, it is the one at its own."""
    return arms.get((method, model, ranks_of)) or arms.get((method, model, model), ())


def _ranks(row: RunResult) -> list[int]:
    """Return the rank of every block, the same in its four projections."""
    return list(
        {name.partition(".attention.")[0]: rank for name, rank in row.ranks.items()}.values()
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Write results.json, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/intermediate-tuning/rte"))
    folder = parser.parse_args(arguments).folder
    found = summarise(read_results(folder))
    write_text(folder / "results.json", json.dumps(found, indent=2) + "\n")
    sys.stdout.write(summary_text(found) + "\n")


if __name__ == "__main__":
    main()
