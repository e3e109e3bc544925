"""How often the test of docs/comparison.md finds a difference where there is none.

    python benchmarks/comparison_test.py > comparison_test.json      # ten minutes, on one core
    python benchmarks/comparison_test.py --read comparison_test.json --table

Two equal methods answer items of unequal difficulty. Chance enters in three places: what a seed
makes of an item (always), how good a seed is, and how a method fares on an item. Each row tells how
often p is below 0.05 by gelora's test, beside two simpler ones: the plain bootstrap, which draws
seeds and items together and counts how often the difference changes its sign, and the bootstrap
over items alone.
"""

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from gelora.lab.comparison.statistics import paired_difference

SEEDS = (2, 3, 5, 10)
# Standard deviations, in units of the items' difficulty: of seeds, and of a method on an item.
CHANCES = {
    "neither": (0.0, 0.0),
    "seeds a little": (0.15, 0.0),
    "seeds": (0.5, 0.0),
    "items": (0.0, 0.5),
    "both": (0.15, 0.5),
}
LEVEL = 0.05


def answers(
    generator: np.random.Generator, difficulty: np.ndarray, seeds: int, chances: tuple[float, float]
) -> np.ndarray:
    """Return which items each seed of a method has right."""
    of_seed, of_item = chances
    items = difficulty + of_item * generator.normal(size=len(difficulty))
    chance = stats.norm.cdf(0.8 + items + of_seed * generator.normal(size=(seeds, 1)))
    return generator.random(chance.shape) < chance


def p_values(
    generator: np.random.Generator,
    seeds: int,
    chances: tuple[float, float],
    *,
    items: int,
    draws: int,
) -> tuple[float, float, float]:
    """Return p by gelora's test, the plain bootstrap and the bootstrap over items alone."""
    difficulty = generator.normal(size=items)
    first, second = (answers(generator, difficulty, seeds, chances) for _ in range(2))
    differences = first.astype(float) - second
    taken = generator.multinomial(items, np.full(items, 1 / items), size=draws)
    resampled = taken @ differences.T / items
    *_, ours = paired_difference(differences.mean(axis=1), resampled)
    drawn_seeds = generator.integers(0, seeds, resampled.shape)
    plain = np.take_along_axis(resampled, drawn_seeds, axis=1).mean(axis=1)
    beyond = min((plain <= 0).sum(), (plain >= 0).sum())
    error = resampled.mean(axis=1).std()
    by_items = 2 * stats.norm.sf(abs(differences.mean()) / error) if error else 1.0
    return ours, min(1.0, 2 * (beyond + 1) / (draws + 1)), float(by_items)


def table(rows: list[dict[str, Any]]) -> str:
    """Return the shares in Markdown."""
    lines = [
        "| seeds | what varies | gelora's test | plain bootstrap | items alone |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        shares = (f"{row[name]:.3f}" for name in ("gelora", "plain", "items_alone"))
        lines.append(f"| {row['seeds']} | {row['varies']} | {' | '.join(shares)} |")
    return "\n".join(lines)


def main() -> None:
    """Simulate all rows, or print the table of an earlier run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=277)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--read", help="JSON of an earlier run")
    parser.add_argument("--table", action="store_true", help="Markdown instead of JSON")
    flags = parser.parse_args()
    if flags.read:
        rows = json.loads(Path(flags.read).read_text(encoding="utf-8"))
    else:
        rows = []
        for seeds, (name, chances) in itertools.product(SEEDS, CHANCES.items()):
            generator = np.random.default_rng(flags.seed)
            found = np.array(
                [
                    p_values(generator, seeds, chances, items=flags.items, draws=flags.draws)
                    for _ in range(flags.repeats)
                ]
            )
            ours, plain, items_alone = (found < LEVEL).mean(axis=0).tolist()
            rows.append(
                {
                    "seeds": seeds, "varies": name, "gelora": ours, "plain": plain,
                    "items_alone": items_alone,
                }
            )  # fmt: skip
    print(table(rows) if flags.table else json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
