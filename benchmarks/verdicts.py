"""How often each verdict is given: on clean clouds, where it should be "stable", and on others.

    python benchmarks/verdicts.py > verdicts.json                   # minutes, on one core
    python benchmarks/verdicts.py --seeds 10 --sizes 1000 --table   # Markdown in place of JSON
    python benchmarks/verdicts.py --estimators gride_8 --kinds clean --table
    python benchmarks/verdicts.py --kinds clean --scales            # what the limits rest on

Noise is given in units of the distance to the nearest neighbour; `twins` are pairs that far apart,
in the same units, and the share of samples in pairs; `helix` by its number of turns.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from gelora.dimension import ESTIMATORS, estimate_layers
from gelora.dimension.decimation import decimate_layers
from gelora.dimension.drift import find_drift
from gelora.dimension.profile import Verdict
from gelora.dimension.verdicts import SCALES_OF_RISE, judge_layer

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from manifolds import flat_torus, gaussian, helix, noisy, twins, uniform_cube

Cloud = Callable[..., np.ndarray]
VERDICTS: tuple[Verdict, ...] = ("stable", "noisy", "duplicated", "too few samples")


def noise_of(ratio: float, num_samples: int, *, seed: int, dimension: int) -> np.ndarray:
    """Draw a flat manifold with noise of `ratio` times the distance of its nearest neighbours."""
    nearest = 0.8 * np.sqrt(2 * dimension) * num_samples ** (-1 / dimension)
    noise = ratio * nearest / np.sqrt(2 * 50)  # in each of the 50 coordinates of both points
    return noisy(num_samples, seed=seed, dimension=dimension, noise=noise)


def clean(dimensions: Sequence[int]) -> dict[str, Cloud]:
    """Return the clouds that should be called stable."""
    return {
        f"{name}, dimension {d}": partial(cloud, dimension=d)
        for name, cloud in [("cube", uniform_cube), ("gaussian", gaussian), ("torus", flat_torus)]
        for d in dimensions
    }


OTHERS: dict[str, dict[str, Cloud]] = {
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


def judge(cloud: Cloud, *, samples: int, seeds: int, estimator: str) -> dict:
    """Judge a cloud drawn with every seed: the shares of verdicts, and what the limits rest on.

    `drifting` is the share that is stable by its verdict and drifting in words. `drifts` are the
    mean shares by which the dimension moves per halving, over 1, 2, ... halvings, and
    `drift_errors` their standard errors. `scale_errors` are the true errors of whole against parts,
    `method_error` that of line against likelihood, each over the mean of the error that takes the
    two as independent.
    """
    verdicts: Counter[Verdict] = Counter()
    by_scale, by_method, num_drifting = [], [], 0
    for seed in range(seeds):
        layers = [cloud(samples, seed=seed)]
        found = estimate_layers(layers, layer_names=["cloud"], estimator=estimator)
        scales = decimate_layers(
            layers, found, estimator=estimator, discard_fraction=0.1, seed=seed
        )
        verdict = judge_layer(found, scales, 0, estimator=estimator)
        verdicts[verdict] += 1
        num_drifting += verdict == "stable" and find_drift(scales, 0) is not None
        methods = found.series["twonn_linfit"], found.series["twonn_mle"]
        by_scale.append([(one.dimensions[0], one.standard_errors[0]) for one in scales])
        by_method.append([(one.dimensions[0], one.standard_errors[0]) for one in methods])
    dimensions, errors = np.moveaxis(np.array(by_scale), -1, 0)  # each (seeds, scales)
    rises = dimensions[:, 1:] / dimensions[:, :1] - 1
    halvings = range(1, dimensions.shape[1])
    line, likelihood = np.array(by_method)[..., 0].T
    return {
        **{verdict: verdicts[verdict] / seeds for verdict in VERDICTS},
        "drifting": num_drifting / seeds,
        "mean": float(dimensions[:, 0].mean()),
        "drifts": [drift(rises[:, i - 1].mean(), i) for i in halvings],
        "drift_errors": [float(rises[:, i - 1].std() / i / np.sqrt(seeds)) for i in halvings],
        "scale_errors": [spread(dimensions[:, (0, i)], errors[:, (0, i)]) for i in halvings],
        "disagreement": float(np.std(line / likelihood)),
        "method_error": spread(*np.moveaxis(np.array(by_method), -1, 0)),
    }


def drift(rise: float, halvings: int) -> float:
    """Return the share per halving that makes this rise, as `verdicts.py` takes it."""
    return float(np.sign(rise) * ((1 + abs(rise)) ** (1 / halvings) - 1))


def spread(pairs: np.ndarray, errors: np.ndarray) -> float:
    """Return the spread of a difference over its error as of independent numbers."""
    return float(np.std(pairs[:, 1] - pairs[:, 0]) / np.hypot(*errors.T).mean())


def run(
    clouds: dict[str, dict[str, Cloud]], sizes: list[int], seeds: int, estimators: list[str]
) -> Iterator[dict]:
    """Yield one row for every estimator, cloud and size."""
    for estimator in estimators:
        for kind, named in clouds.items():
            for name, cloud in named.items():
                for samples in sizes:
                    yield {
                        "kind": kind,
                        "cloud": name,
                        "samples": samples,
                        "estimator": estimator,
                        "seeds": seeds,
                        **judge(cloud, samples=samples, seeds=seeds, estimator=estimator),
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


def scales_table(rows: list[dict]) -> str:
    """Return what the limits rest on in Markdown: the extremes over clouds, for each size."""
    heads = ["estimator", "samples", "lowest drift", "highest drift", "line against likelihood"]
    heads += ["over its error", "whole against halves, quarters, ... over their error"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for estimator, samples in dict.fromkeys((row["estimator"], row["samples"]) for row in rows):
        kept = [row for row in rows if (row["estimator"], row["samples"]) == (estimator, samples)]
        drifts = [
            (share, error, halvings, row["cloud"])
            for row in kept
            for halvings, (share, error) in enumerate(
                zip(row["drifts"], row["drift_errors"], strict=True), start=1
            )
        ]
        judged = [one for one in drifts if one[2] <= SCALES_OF_RISE]
        ratios = np.array([row["scale_errors"] for row in kept]).T
        cells = [estimator, str(samples)]
        cells += [
            f"{100 * share:+.1f} ± {100 * error:.1f} % ({cloud}, of {halvings})"
            for share, error, halvings, cloud in (min(drifts), max(judged))
        ]
        cells += [extremes([100 * row["disagreement"] for row in kept], ".1f") + " %"]
        cells += [extremes([row["method_error"] for row in kept])]
        cells += [", ".join(extremes(scale) for scale in ratios)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def extremes(values: Sequence[float], form: str = ".2f") -> str:
    """Return the least and the greatest."""
    return f"{min(values):{form}} to {max(values):{form}}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 1000, 4000])
    kinds = ["clean", *OTHERS]
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds)
    parser.add_argument(
        "--dimensions", type=int, nargs="+", default=[2, 5, 10, 20, 40], help="of clean clouds"
    )
    parser.add_argument("--estimators", nargs="+", choices=ESTIMATORS, default=["twonn_linfit"])
    parser.add_argument("--read", type=Path, nargs="+", help="results of this script, to tabulate")
    parser.add_argument("--table", action="store_true", help="print Markdown in place of JSON")
    parser.add_argument(
        "--scales", action="store_true", help="print in Markdown what the limits rest on"
    )
    flags = parser.parse_args()
    if flags.read:
        rows = [row for file in flags.read for row in json.loads(file.read_text(encoding="utf-8"))]
    else:
        clouds = {"clean": clean(flags.dimensions), **OTHERS}
        chosen = {kind: clouds[kind] for kind in flags.kinds}
        rows = list(run(chosen, flags.sizes, flags.seeds, flags.estimators))
    if flags.scales:
        print(scales_table(rows))
    elif flags.table:
        for estimator in dict.fromkeys(row["estimator"] for row in rows):
            print(f"{estimator}\n\n{table([r for r in rows if r['estimator'] == estimator])}\n")
    else:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
