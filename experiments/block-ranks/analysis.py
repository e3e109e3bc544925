"""Say whether gelora's ranks foretell the best rank of each block, from what the sweep has left.

    python experiments/block-ranks/analysis.py experiments/block-ranks

Writes `analysis.json`, `tables.md` and the figures into the folder, and prints the tables. It
trains nothing, and gives the same bytes every time.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from figures import scatter_figure, scores_figure
from jaxtyping import Float
from one_run import MORE, RANKS, SWEEP_FILE, TRAINED
from scipy.stats import rankdata
from scores import Scores, between, per_doubling, read_scores
from tables import describe, tables

from gelora.artifacts import read_json, write_json, write_text
from gelora.dimension.profile import DimensionProfile
from gelora.ranks import plan_ranks
from gelora.report.theme import standalone, to_svg

DRAWS = 20_000
Values = Float[np.ndarray, " pairs"]


@dataclass(frozen=True)
class Result:
    """What came of a task by one measure.

    Attributes:
        task: Its name.
        scores: Of its runs.
        profiles: By the texts that were measured.
    """

    task: str
    scores: Scores
    profiles: Mapping[str, DimensionProfile]

    @property
    def foretold(self) -> dict[str, Values]:
        """What is known of every block before training, by its name and the texts measured."""
        found: dict[str, Values] = {}
        for texts, profile in self.profiles.items():
            found[f"rank, {texts}"] = np.array(plan_ranks(profile).ranks, float)
            found[f"increment, {texts}"] = np.array(profile.increments)
        return found

    @property
    def seen(self) -> dict[str, Values]:
        """What the sweep says of every block, by its name."""
        scores, ranks = self.scores, np.array(RANKS, float)
        gain, _ = scores.contrast(per_doubling(len(scores.blocks)))
        return {
            "best rank": ranks[scores.best()],
            "smallest close to best": ranks[scores.smallest_close_to_best()],
            "gain per doubling": gain,
        }

    @property
    def seen_by_seed(self) -> dict[str, Float[np.ndarray, "seeds pairs"]]:
        """What each seed by itself says of every block, by its name."""
        scores = self.scores
        return {
            "best rank": np.array(RANKS, float)[scores.best_by_seed()],
            "gain per doubling": scores.contrast_by_seed(per_doubling(len(scores.blocks))),
        }


class Correlation(NamedTuple):
    """Spearman's correlation over the blocks of all tasks.

    Attributes:
        value: Between -1 and 1.
        p_value: Two-sided: the share of the blocks' orders within tasks that are as far from 0.
        least_p_value: What the farthest of these orders would have; no outcome could have less.
    """

    value: float
    p_value: float
    least_p_value: float


def correlation(
    x: Sequence[Values], y: Sequence[Values], *, draws: int = DRAWS, seed: int = 0
) -> Correlation | None:
    """Return Spearman's correlation over the blocks of all tasks, and its p.

    Ranks are taken within each task, about their mean, so that tasks which differ in both count for
    nothing; for the p blocks change places within their task.

    Args:
        x: One value for each block of each task.
        y: Another.
        draws: Permutations.
        seed: Of them.

    Returns:
        None where in every task one of the two is the same for all blocks.
    """
    places_x, places_y = [
        [rankdata(task) - (len(task) + 1) / 2 for task in values] for values in (x, y)
    ]
    scale = np.sqrt(np.sum(np.concatenate(places_x) ** 2) * np.sum(np.concatenate(places_y) ** 2))
    if not any(np.ptp(one) and np.ptp(other) for one, other in zip(x, y, strict=True)):
        return None
    generator = np.random.default_rng(seed)
    value, permuted = 0.0, np.zeros(draws)
    for one, other in zip(places_x, places_y, strict=True):
        value += one @ other / scale
        permuted += generator.permuted(np.tile(other, (draws, 1)), axis=1) @ one / scale
    far = np.abs([value, *permuted])
    return Correlation(
        float(value),
        p_value=float((far >= far[0] - 1e-12).mean()),
        least_p_value=float((far >= far.max() - 1e-12).mean()),
    )


def repeatability(results: Sequence[Result], seen: str) -> float | None:
    """Return how alike two seeds see the blocks: the mean correlation of all pairs of seeds.

    None where a seed sees the same in all blocks of every task.

    Args:
        results: Of all tasks by one measure.
        seen: A name in `seen_by_seed`.
    """
    by_seed = [one.seen_by_seed[seen] for one in results]
    found = [
        correlation([task[one] for task in by_seed], [task[other] for task in by_seed], draws=1)
        for one, other in combinations(range(min(map(len, by_seed))), 2)
    ]
    values = [one.value for one in found if one is not None]
    return float(np.mean(values)) if len(values) == len(found) else None


def correlations(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the correlation of all that was foretold with all that was seen."""
    found: list[dict[str, Any]] = []
    for x, y in product(results[0].foretold, results[0].seen):
        value = correlation([one.foretold[x] for one in results], [one.seen[y] for one in results])
        rho, *p_values = value or (None, None, None)
        known = dict(zip(("p_value", "least_p_value"), p_values, strict=True))
        found.append({"foretold": x, "seen": y, "spearman": rho, **known})
    return found


def payload(results: Sequence[Result]) -> dict[str, Any]:
    """Return all that one measure says of all tasks, as it stands in `analysis.json`."""
    tasks: dict[str, Any] = {}
    for one in results:
        scores, count = one.scores, len(one.scores.blocks)
        best, none = scores.best(), np.zeros(count, int)
        gains = {
            "best over rank 0": between(best, none),
            "best over rank 1": between(best, none + RANKS.index(1)),
            "per doubling": per_doubling(count),
        }
        tasks[one.task] = {
            "measure": scores.measure,
            "blocks": list(scores.blocks),
            "seeds": list(scores.seeds),
            "ranks": list(RANKS),
            "means": scores.means.tolist(),
            "error of a run by its seed": scores.seed_variance**0.5,
            "best rank by seed": np.array(RANKS)[scores.best_by_seed()].tolist(),
            "gains": {
                name: np.stack(scores.contrast(weights), axis=1).tolist()
                for name, weights in gains.items()
            },
            **{name: values.tolist() for name, values in {**one.seen, **one.foretold}.items()},
            **{
                f"increment error, {texts}": list(profile.increment_standard_errors)
                for texts, profile in one.profiles.items()
            },
        }
    return {
        "tasks": tasks,
        "correlations": correlations(results),
        "repeatability": {seen: repeatability(results, seen) for seen in results[0].seen_by_seed},
    }


def read_results(folder: Path) -> list[tuple[Result, ...]]:
    """Return what came of every task, all by their headline metric and all by the Brier score."""
    found: list[list[Result]] = []
    for task in read_json(folder / SWEEP_FILE, kind="sweep")["tasks"]:
        profiles = {
            texts: DimensionProfile.from_pretrained(folder / task / texts)
            for texts in (TRAINED, MORE)
        }
        measures = read_scores(folder, task, profiles[TRAINED].blocks)
        found.append([Result(task, scores, profiles) for scores in measures])
    return list(zip(*found, strict=True))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read a folder, and write what it says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="the sweep's --output_dir")
    folder: Path = parser.parse_args(arguments).folder
    metric, brier = map(payload, read_results(folder))
    said = tables(metric, brier)
    write_json(folder / "analysis.json", {"metric": metric, "brier": brier}, kind="sweep_analysis")
    write_text(folder / "tables.md", said)
    for name, found in (("metric", metric), ("brier", brier)):
        for kind, draw in (("scores", scores_figure), ("scatter", scatter_figure)):
            svg = to_svg(draw(found), description=describe(found))
            write_text(folder / f"{kind}-{name}.svg", standalone(svg))
    sys.stdout.write(said)


if __name__ == "__main__":
    main()
