"""How the ranks and the result move when one setting of a method is varied.

Reads rows only; the runs come from `gelora compare --vary`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gelora.lab.comparison.results import Results, RunResult
from gelora.lab.comparison.statistics import (
    DRAWS,
    Difference,
    Resampled,
    Summary,
    difference_of,
    resampled_metrics,
)


@dataclass(frozen=True)
class Variation:
    """All runs of a method with one value of a setting.

    Attributes:
        summary: Of these runs.
        varied: Settings by name; empty for the runs as the comparison has them.
        modules_moved: How many of the modules that both adapt have another rank than in the first
            variation of the same task, budget and method; None for that one itself.
        modules_shared: How many modules both adapt.
        difference: Of the result from the first variation's, not corrected for their number; None
            for that one itself, and with fewer than two seeds in common.
    """

    summary: Summary
    varied: Mapping[str, str]
    modules_moved: int | None
    modules_shared: int
    difference: Difference | None

    @property
    def ranks(self) -> Mapping[str, int]:
        """Rank of every adapted module, by the first seed; most methods have one for all."""
        return self.summary.rows[0].ranks

    @property
    def block_ranks(self) -> list[str]:
        """The rank of every block in order; several, if its modules differ, as "1/2"."""
        blocks: dict[str, set[int]] = {}
        for module, rank in self.ranks.items():
            blocks.setdefault(re.sub(r"(\.\d+)\..*", r"\1", module), set()).add(rank)
        # A file has its modules by the alphabet, where block 10 comes before block 2.
        ordered = sorted(blocks, key=lambda block: list(map(int, re.findall(r"\d+", block))))
        return ["/".join(map(str, sorted(blocks[block]))) for block in ordered]


def variations(results: Results, *, draws: int = DRAWS, seed: int = 0) -> list[Variation]:
    """Return every value of every varied setting, after the runs without one if there are any.

    Args:
        results: What is there of a comparison.
        draws: Resamplings of the items.
        seed: Of the resamplings.
    """
    varied = {(row.task, row.budget, row.method) for row in results.rows if row.varied}
    groups: dict[tuple[str, str, str], dict[tuple[tuple[str, str], ...], list[RunResult]]] = {}
    for row in sorted(results.rows, key=lambda row: bool(row.varied)):
        place = row.task, row.budget, row.method
        if place in varied:
            values = groups.setdefault(place, {})
            values.setdefault(tuple(sorted(row.varied.items())), []).append(row)
    resampled = {
        task: resampled_metrics(results, task, draws=draws, seed=seed)
        for task in {task for task, _, _ in groups}
    }
    return [
        _variation(rows, first, resampled[task])
        for (task, _, _), values in groups.items()
        for first in [next(iter(values.values()))]
        for rows in values.values()
    ]


def _variation(
    rows: Sequence[RunResult], first: Sequence[RunResult], resampled: Resampled
) -> Variation:
    ranks, others = rows[0].ranks, first[0].ranks
    shared = [module for module in ranks if module in others]
    is_first = rows is first
    return Variation(
        summary=Summary(rows[0].task, rows[0].budget, rows[0].method, rows),
        varied=rows[0].varied,
        modules_moved=None if is_first else sum(ranks[m] != others[m] for m in shared),
        modules_shared=len(shared),
        difference=None if is_first else difference_of(rows, first, resampled),
    )
