"""The rows of what `gelora verify` measured, as text: for its table on a terminal and the report.

They say what the record holds, number by number; sentences about it are in `theory_wording`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gelora.dimension.profile import DimensionProfile
from gelora.lab.theory.record import BlockFisher, FisherOf, Stage, TheoryRecord
from gelora.lab.theory.spectra import TOLERANCES, NumericalRank
from gelora.lab.theory.theorem import Inequality, InequalityVerdict, Statement, check_theorem
from gelora.lab.theory.usage import ModuleUse
from gelora.report import wording
from gelora.report.stacks import block_names

FISHERS: Sequence[tuple[FisherOf, Stage]] = (
    ("weights", "before"),
    ("weights", "after"),
    ("lora", "before"),
    ("lora", "after"),
)
"""Every kind of Fisher information there may be, in the order it is shown."""

OWNERS = {"weights": "weights", "lora": "LoRA factors"}
"""Whose Fisher information it is, in words."""

VERDICTS: Sequence[InequalityVerdict] = ("holds", "tight", "violated", "undecided")


@dataclass(frozen=True)
class Side:
    """One inequality of a block: the left side, the rank, and what became of it."""

    left: str
    rank: str
    verdict: str
    breaking_tolerance: str


@dataclass(frozen=True)
class TheoryRow:
    """Both inequalities of one block."""

    name: str
    dimension: Side
    growth: Side


@dataclass(frozen=True)
class ToleranceRow:
    """What one tolerance makes of all blocks: the ranges of their ranks, and their verdicts."""

    tolerance: str
    input_ranks: str
    dimension: str
    parameter_ranks: str
    growth: str


def theory_rows(profile: DimensionProfile, theory: TheoryRecord) -> list[TheoryRow]:
    """Return a row for every block."""
    found = check_theorem(profile, theory.jacobians, tolerance=theory.tolerance)
    return [
        TheoryRow(name, dimension=_side(dimension), growth=_side(growth))
        for name, dimension, growth in zip(
            block_names(profile), of(found, "dimension"), of(found, "increment"), strict=True
        )
    ]


def tolerance_rows(profile: DimensionProfile, theory: TheoryRecord) -> list[ToleranceRow]:
    """Return a row for every tolerance that ranks are shown at, and for the record's own."""
    rows: list[ToleranceRow] = []
    for tolerance in sorted({*TOLERANCES, theory.tolerance}, reverse=True):
        found = check_theorem(profile, theory.jacobians, tolerance=tolerance)
        dimension, growth = of(found, "dimension"), of(found, "increment")
        rows.append(
            ToleranceRow(
                tolerance=f"{tolerance:g}",
                input_ranks=rank_range([one.rank for one in dimension]),
                dimension=_counts(dimension),
                parameter_ranks=rank_range([one.rank for one in growth]),
                growth=_counts(growth),
            )
        )
    return rows


def of(inequalities: Sequence[Inequality], statement: Statement) -> list[Inequality]:
    """Return the inequalities of one of the two kinds, in the order of the blocks."""
    return [one for one in inequalities if one.statement == statement]


def fishers_of(theory: TheoryRecord, whose: FisherOf, stage: Stage) -> dict[str, BlockFisher]:
    """Return the Fisher information of one kind by the paths of the blocks that have it."""
    return {one.block: one for one in theory.fishers if (one.of, one.stage) == (whose, stage)}


def fisher_headings(theory: TheoryRecord) -> list[str]:
    """Return the headings of `fisher_rows` beside the block's."""
    return [f"{OWNERS[whose]}, {stage}" for whose, stage in _measured(theory)]


def fisher_rows(profile: DimensionProfile, theory: TheoryRecord) -> list[list[str]]:
    """Return for every block its name, and rank and effective rank of each Fisher information."""
    columns = [fishers_of(theory, *kind) for kind in _measured(theory)]
    return [
        [name, *(_ranks(column.get(block), theory) for column in columns)]
        for name, block in zip(block_names(profile), profile.blocks, strict=True)
    ]


def weights_fishers(profile: DimensionProfile, theory: TheoryRecord) -> list[tuple[str, str]]:
    """Return the ranks and effective ranks of every block's weights, before and after training.

    Empty where they were not measured.
    """
    stages = [fishers_of(theory, *kind) for kind in _measured(theory) if kind[0] == "weights"]
    if not stages:
        return []
    found: list[tuple[str, str]] = []
    for block in profile.blocks:
        fishers = [stage[block] for stage in stages if block in stage]
        ranks = [_rank(one, theory) for one in fishers]
        effective = [f"{one.spectrum.effective_rank:.1f}" for one in fishers]
        found.append((" → ".join(ranks), " → ".join(effective)))
    return found


def use_rows(uses: Sequence[ModuleUse]) -> list[list[str]]:
    """Return for every module its path, bound, rank given, rank used, stable and effective rank."""
    return [
        [
            use.module,
            str(use.bound),
            str(use.planned_rank),
            str(use.numerical_rank),
            f"{use.stable_rank:.2f}",
            f"{use.effective_rank:.2f}",
        ]
        for use in uses
    ]


USE_HEADINGS = ("module", "bound", "rank", "used", "stable rank", "effective rank")
"""Of `use_rows`."""


def rank_range(ranks: Sequence[NumericalRank]) -> str:
    """Return the smallest and the largest of some ranks.

    >>> rank_range([NumericalRank(3, is_exact=True), NumericalRank(8, is_exact=False)])
    '3 to ≥ 8'
    """
    low, *_, high = sorted([*ranks, *ranks], key=lambda rank: (rank.value, not rank.is_exact))
    return str(low) if low == high else f"{low} to {high}"


def _side(one: Inequality) -> Side:
    return Side(
        left=wording.with_error(one.left, one.standard_error, decimals=2),
        rank=str(one.rank),
        verdict=one.verdict,
        breaking_tolerance=f"{'' if one.breaking_is_exact else '≤ '}{one.breaking_tolerance:.2g}",
    )


def _counts(inequalities: Sequence[Inequality]) -> str:
    """Return how often each verdict was given, as "holds 5, tight 1"."""
    counts = Counter(one.verdict for one in inequalities)
    return ", ".join(f"{verdict} {counts[verdict]}" for verdict in VERDICTS if counts[verdict])


def _measured(theory: TheoryRecord) -> list[tuple[FisherOf, Stage]]:
    return [kind for kind in FISHERS if fishers_of(theory, *kind)]


def _ranks(fisher: BlockFisher | None, theory: TheoryRecord) -> str:
    """Return rank and effective rank, or nothing for a block without modules to adapt."""
    return f"{_rank(fisher, theory)} ({fisher.spectrum.effective_rank:.1f})" if fisher else ""


def _rank(fisher: BlockFisher, theory: TheoryRecord) -> str:
    return str(fisher.spectrum.numerical_rank(theory.tolerance))
