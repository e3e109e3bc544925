"""Bias, error and coverage of every estimator on clouds of known dimension.

    python benchmarks/accuracy.py > accuracy.json                 # ten minutes on one core
    python benchmarks/accuracy.py --seeds 20 --sizes 500 --table  # Markdown in place of JSON
    python benchmarks/accuracy.py --read accuracy.json --table    # several files of some sizes each

Dimensions are estimated on a cube, a Gaussian cloud and a flat torus, which has no edge but is
curved. Increments are those of residual steps, x + step(x), on paired samples of a Gaussian cloud;
the steps are smooth and invertible, so that the true increments are 0. `coverage` is the share of
seeds whose interval of 1.96 standard errors holds the estimator's own mean over the seeds: what is
stated of chance; the bias stands beside it.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from gelora.dimension import ESTIMATORS, estimate_layers

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from manifolds import flat_torus, gaussian, uniform_cube

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
        layers = drawn if isinstance(drawn, list) else [drawn]
        names = [str(i) for i in range(len(layers))]
        runs.append(estimate_layers(layers, layer_names=names, all_estimators=True).series)
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


def mean_table(rows: Sequence[dict], by: str) -> str:
    """Return mean estimates in Markdown: of dimensions, and of increments where the truth is 0."""
    columns = list(dict.fromkeys(row[by] for row in rows))
    means = {(row["cloud"], row["dimension"], row[by]): f"{row['mean']:.2f}" for row in rows}
    lines = [["cloud", "dimension", *map(str, columns)]]
    for cloud in CLOUDS:
        for dimension in dict.fromkeys(row["dimension"] for row in rows):
            cells = [means[cloud, dimension, column] for column in columns]
            lines.append([cloud, str(dimension), *cells])
    return _markdown(lines)


def coverage_table(rows: Sequence[dict]) -> str:
    """Return, over all clouds, dimensions and sizes, how often the stated intervals held."""
    lines = [["of", "estimator", "lowest", "median", "highest", "stated error / true error"]]
    for of in ("dimensions", "increments"):
        for estimator in dict.fromkeys(row["estimator"] for row in rows):
            kept = [
                row
                for row in rows
                if row["estimator"] == estimator
                and (row["cloud"] == "residual steps") == (of == "increments")
            ]
            covered = np.quantile([row["coverage"] for row in kept], (0, 0.5, 1))
            ratios = [row["standard_error"] / row["standard_deviation"] for row in kept]
            extremes = f"{min(ratios):.2f} to {max(ratios):.2f}"
            lines.append([of, estimator, *(f"{share:.0%}" for share in covered), extremes])
    return _markdown(lines)


def print_tables(rows: Sequence[dict]) -> None:
    """Print the tables of docs/accuracy.md."""
    sizes = sorted({row["samples"] for row in rows})
    middle = sizes[len(sizes) // 2]
    first = rows[0]["estimator"]
    print(f"Means of all estimators at {middle} samples, {rows[0]['seeds']} seeds\n")
    print(mean_table([row for row in rows if row["samples"] == middle], by="estimator"))
    print(f"\nMeans of {first} by the number of samples\n")
    print(mean_table([row for row in rows if row["estimator"] == first], by="samples"))
    print("\nCoverage of the nominal 95 % interval\n")
    print(coverage_table(rows))


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    head, *body = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([head, "|---" * len(lines[0]) + "|", *body])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--dimensions", type=int, nargs="+", default=DIMENSIONS)
    parser.add_argument("--estimators", nargs="+", choices=ESTIMATORS, default=ESTIMATORS)
    parser.add_argument("--read", type=Path, nargs="+", help="results of this script, to tabulate")
    parser.add_argument("--table", action="store_true", help="print Markdown in place of JSON")
    flags = parser.parse_args()
    if flags.read:
        rows = [row for file in flags.read for row in json.loads(file.read_text(encoding="utf-8"))]
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
        print_tables(rows)
    else:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
