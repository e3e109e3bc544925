"""How often each verdict is given: on clean clouds, where it should be "stable", and on others.

    python benchmarks/verdicts.py > verdicts.json                   # minutes, on one core
    python benchmarks/verdicts.py --seeds 10 --sizes 1000 --table   # Markdown in place of JSON
    python benchmarks/verdicts.py --estimator gride_8 --kinds clean --table

Noise is given in units of the distance to the nearest neighbour; `twins` are pairs that far apart,
in the same units, and the share of samples in pairs; `helix` by its number of turns.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from gelora.dimension import ESTIMATORS, estimate_levels
from gelora.dimension.decimation import decimate_levels
from gelora.dimension.manifolds import flat_torus, gaussian, helix, noisy, twins, uniform_cube
from gelora.dimension.profile import Verdict
from gelora.dimension.verdicts import judge_level

Cloud = Callable[..., np.ndarray]
VERDICTS: tuple[Verdict, ...] = ("stable", "noisy", "duplicated", "too few samples")


def noise_of(ratio: float, num_samples: int, *, seed: int, dimension: int) -> np.ndarray:
    """Draw a flat manifold with noise of `ratio` times the distance of its nearest neighbours."""
    nearest = 0.8 * np.sqrt(2 * dimension) * num_samples ** (-1 / dimension)
    noise = ratio * nearest / np.sqrt(2 * 50)  # in each of the 50 coordinates of both points
    return noisy(num_samples, seed=seed, dimension=dimension, noise=noise)


CLOUDS: dict[str, dict[str, Cloud]] = {
    "clean": {
        f"{name}, dimension {d}": partial(cloud, dimension=d)
        for name, cloud in [("cube", uniform_cube), ("gaussian", gaussian), ("torus", flat_torus)]
        for d in (2, 5, 10, 20, 40)
    },
    "noise": {
        f"dimension {d}, noise {ratio}": partial(noise_of, ratio, dimension=d)
        for d in (2, 5, 10)
        for ratio in (0.3, 1.0, 3.0)
    },
    "twins": {
        f"{share:.0%} in pairs, distance {distance}": partial(twins, share=share, distance=distance)
        for share in (0.05, 0.2, 0.8)
        for distance in (0.05, 0.2, 0.5)
    },
    "coil": {f"helix, {turns} turns": partial(helix, turns=turns) for turns in (50, 200, 400)},
}


def count_verdicts(cloud: Cloud, *, samples: int, seeds: int, estimator: str) -> Counter[Verdict]:
    """Judge a cloud drawn with every seed."""
    counts: Counter[Verdict] = Counter()
    for seed in range(seeds):
        levels = [cloud(samples, seed=seed)]
        found = estimate_levels(levels, level_names=["cloud"], estimator=estimator)
        scales = decimate_levels(
            levels, found, estimator=estimator, discard_fraction=0.1, seed=seed
        )
        counts[judge_level(found, scales, 0, estimator=estimator)] += 1
    return counts


def run(kinds: list[str], sizes: list[int], seeds: int, estimator: str) -> Iterator[dict]:
    """Yield one row for every cloud and size."""
    for kind in kinds:
        for name, cloud in CLOUDS[kind].items():
            for samples in sizes:
                counts = count_verdicts(cloud, samples=samples, seeds=seeds, estimator=estimator)
                yield {
                    "kind": kind,
                    "cloud": name,
                    "samples": samples,
                    "estimator": estimator,
                    "seeds": seeds,
                    **{verdict: counts[verdict] / seeds for verdict in VERDICTS},
                }


def table(rows: list[dict]) -> str:
    """Return the verdicts by cloud and size in Markdown, all clean clouds in one line."""
    sizes = sorted({row["samples"] for row in rows})
    lines = ["| cloud | " + " | ".join(map(str, sizes)) + " |", "|---" * (len(sizes) + 1) + "|"]
    labels = {"clean": "all clean clouds"}
    for label in dict.fromkeys(labels.get(row["kind"], row["cloud"]) for row in rows):
        cells = [label]
        for samples in sizes:
            pooled = [
                row
                for row in rows
                if label in {row["cloud"], labels.get(row["kind"])} and row["samples"] == samples
            ]
            shares = {one: sum(row[one] for row in pooled) / len(pooled) for one in VERDICTS}
            given = sorted((one for one in VERDICTS if shares[one]), key=lambda one: -shares[one])
            cells.append(", ".join(f"{100 * shares[one]:.3g} % {one}" for one in given))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 1000, 4000])
    parser.add_argument("--kinds", nargs="+", choices=CLOUDS, default=list(CLOUDS))
    parser.add_argument("--estimator", choices=ESTIMATORS, default="twonn_line")
    parser.add_argument("--read", type=Path, nargs="+", help="results of this script, to tabulate")
    parser.add_argument("--table", action="store_true", help="print Markdown in place of JSON")
    flags = parser.parse_args()
    if flags.read:
        rows = [row for file in flags.read for row in json.loads(file.read_text(encoding="utf-8"))]
    else:
        rows = list(run(flags.kinds, flags.sizes, flags.seeds, flags.estimator))
    print(table(rows) if flags.table else json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
