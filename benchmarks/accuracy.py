"""Bias, error and coverage of every estimator on clouds of known dimension.

    python benchmarks/accuracy.py > accuracy.json                 # minutes, on one core
    python benchmarks/accuracy.py --seeds 20 --sizes 500 --table  # Markdown in place of JSON
    python benchmarks/accuracy.py --read accuracy.json --table

Dimensions are estimated on a cube, a Gaussian cloud and a flat torus, which has no edge but is
curved. Increments are those of residual steps, x + step(x), on paired samples of a Gaussian cloud;
the steps are smooth and invertible, so that the true increments are 0. `coverage` is the share of
seeds whose interval of 1.96 standard errors holds the estimator's own mean over the seeds: what is
stated of chance; the bias stands beside it.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from gelora.dimension import ESTIMATORS, estimate_levels
from gelora.dimension.manifolds import flat_torus, gaussian, uniform_cube

DIMENSIONS = (2, 5, 10, 20, 80)
SIZES = (500, 1000, 4000)
NUM_STEPS = 2


def residual_steps(num_samples: int, *, seed: int, dimension: int) -> list[np.ndarray]:
    """Draw a Gaussian cloud in a space four times as wide, and send it through residual steps."""
    width = 4 * dimension
    layers = np.random.default_rng(0)  # the same network for every seed
    embedding = layers.normal(size=(dimension, width)) / np.sqrt(dimension)
    states = [gaussian(num_samples, seed=seed, dimension=dimension) @ embedding]
    for _ in range(NUM_STEPS):
        weights = layers.normal(size=(width, width)) / np.sqrt(width)  # of norm 2 about
        states.append(states[-1] + 0.4 * np.tanh(states[-1] @ weights))
    return states


CLOUDS: dict[str, Callable[..., list[np.ndarray] | np.ndarray]] = {
    "cube": uniform_cube,
    "gaussian": gaussian,
    "torus": flat_torus,
    "residual steps": residual_steps,
}


def measure(
    cloud: str, estimators: Sequence[str], *, dimension: int, samples: int, seeds: int
) -> Iterator[dict]:
    """Draw a cloud with every seed, and sum up what each estimator gives."""
    runs = []
    for seed in range(seeds):
        drawn = CLOUDS[cloud](samples, seed=seed, dimension=dimension)
        levels = drawn if isinstance(drawn, list) else [drawn]
        names = [str(i) for i in range(len(levels))]
        runs.append(estimate_levels(levels, level_names=names, all_estimators=True).series)
    for name in estimators:
        series = [run[name] for run in runs]
        if cloud == "residual steps":
            values = np.array([one.increments for one in series])
            errors = np.array([one.increment_standard_errors for one in series])
        else:
            values = np.array([one.dimensions for one in series])
            errors = np.array([one.standard_errors for one in series])
        yield {
            "cloud": cloud,
            "dimension": dimension,
            "samples": samples,
            "estimator": name,
            "seeds": seeds,
            "mean": float(values.mean()),
            "standard_deviation": float(values.std(axis=0, ddof=1).mean()),
            "standard_error": float(errors.mean()),
            "coverage": float((np.abs(values - values.mean(axis=0)) < 1.96 * errors).mean()),
        }


def mean_table(rows: Sequence[dict]) -> str:
    """Return the mean estimates in Markdown: dimensions, and increments where the truth is 0."""
    return _table(rows, lambda row: f"{row['mean']:.2f}")


def coverage_table(rows: Sequence[dict]) -> str:
    """Return coverage and, in brackets, the stated error over the true spread, in Markdown."""
    return _table(
        rows,
        lambda row: (
            f"{row['coverage']:.0%} ({row['standard_error'] / row['standard_deviation']:.2f})"
        ),
    )


def _table(rows: Sequence[dict], text: Callable[[dict], str]) -> str:
    keys = ("cloud", "dimension", "samples")
    estimators = list(dict.fromkeys(row["estimator"] for row in rows))
    cells: dict[tuple, dict[str, str]] = {}
    for row in rows:
        cells.setdefault(tuple(row[key] for key in keys), {})[row["estimator"]] = text(row)
    lines = [[*keys, *estimators], ["---"] * (len(keys) + len(estimators))]
    lines += [
        [*map(str, key), *(cell[name] for name in estimators)]
        for key, cell in sorted(cells.items())
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--dimensions", type=int, nargs="+", default=DIMENSIONS)
    parser.add_argument("--estimators", nargs="+", choices=ESTIMATORS, default=ESTIMATORS)
    parser.add_argument("--read", type=Path, help="a result of this script, to tabulate")
    parser.add_argument("--table", action="store_true", help="print Markdown in place of JSON")
    flags = parser.parse_args()
    if flags.read:
        rows = json.loads(flags.read.read_text(encoding="utf-8"))
    else:
        rows = [
            row
            for samples in flags.sizes
            for dimension in flags.dimensions
            for cloud in CLOUDS
            for row in measure(
                cloud, flags.estimators, dimension=dimension, samples=samples, seeds=flags.seeds
            )
        ]
    if flags.table:
        print(mean_table(rows), coverage_table(rows), sep="\n\n")
    else:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
