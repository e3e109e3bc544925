"""What `gelora verify` measured, as data frames of text for the terminal and the report."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd

from gelora.dimension.profile import DimensionProfile
from gelora.lab.theory.record import BlockFisher, FisherOf, Stage, TheoryRecord
from gelora.lab.theory.spectra import TOLERANCES, NumericalRank, Spectrum
from gelora.lab.theory.theorem import Inequality, InequalityVerdict, Statement, check_theorem
from gelora.lab.theory.usage import ModuleUse
from gelora.report.stacks import stack_layouts
from gelora.report.tables import text_frame
from gelora.report.text import with_error

FISHERS: Sequence[tuple[FisherOf, Stage]] = (
    ("weights", "before"),
    ("weights", "after"),
    ("lora", "before"),
    ("lora", "after"),
)
"""Every kind of Fisher information, in the order it is shown."""

OWNERS = {"weights": "weights", "lora": "LoRA factors"}
"""Whose Fisher information it is, in words."""

VERDICTS: Sequence[InequalityVerdict] = ("holds", "tight", "violated", "undecided")


def block_names(profile: DimensionProfile) -> list[str]:
    """Return the name of every whole block, "block 1", in the profile's order."""
    return [
        f"{layout.name} block {index + 1}".lstrip()
        for layout in stack_layouts(profile)
        for index in range(len(layout.sublayers) // len(layout.halves))
    ]


def block_positions(profile: DimensionProfile) -> list[int]:
    """Return the place of every whole block's output on a figure's horizontal axis."""
    return [
        position
        for layout in stack_layouts(profile)
        for position in layout.positions[len(layout.halves) :: len(layout.halves)]
    ]


class Limit(NamedTuple):
    """The tolerance below which a rank reaches the left side of its inequality.

    Attributes:
        is_exact: Whether the tolerance is known exactly; otherwise it is an upper bound.
        tolerance: Share of the largest singular value.
        block: Name of the block.
    """

    is_exact: bool
    tolerance: float
    block: str


def inequalities(
    profile: DimensionProfile,
    theory: TheoryRecord,
    statement: Statement,
    tolerance: float | None = None,
) -> list[Inequality]:
    """Return one of the theorem's two inequalities in every block.

    Args:
        profile: The dimensions.
        theory: The ranks.
        statement: Which of the two.
        tolerance: Of the ranks; by default the record's.
    """
    checked = theory.tolerance if tolerance is None else tolerance
    found = check_theorem(profile, theory.jacobians, tolerance=checked)
    return [inequality for inequality in found if inequality.statement == statement]


def by_verdict(
    profile: DimensionProfile, theory: TheoryRecord, statement: Statement
) -> dict[InequalityVerdict, list[int]]:
    """Return the indices of the blocks with each verdict that occurs."""
    verdicts = [found.verdict for found in inequalities(profile, theory, statement)]
    return {
        verdict: [index for index, found in enumerate(verdicts) if found == verdict]
        for verdict in VERDICTS
        if verdict in verdicts
    }


def first_to_break(profile: DimensionProfile, theory: TheoryRecord, statement: Statement) -> Limit:
    """Return the block whose rank needs the smallest tolerance to reach the left side."""
    found = inequalities(profile, theory, statement)
    limits = [
        Limit(inequality.breaking_is_exact, inequality.breaking_tolerance, name)
        for inequality, name in zip(found, block_names(profile), strict=True)
    ]
    return min(limits, key=lambda limit: limit[:2])


def block_table(profile: DimensionProfile, theory: TheoryRecord) -> pd.DataFrame:
    """Return both inequalities of every block; two pairs of columns share their names."""
    sides = [inequalities(profile, theory, statement) for statement in ("dimension", "increment")]
    columns = [
        *("block", "dimension", "rank by the input", "verdict", "below tolerance"),
        *("growth", "rank by the weights", "verdict", "below tolerance"),
    ]
    rows = [
        [name, *_side(dimension), *_side(growth)]
        for name, dimension, growth in zip(block_names(profile), *sides, strict=True)
    ]
    return pd.DataFrame(rows, columns=columns, dtype=object)


def tolerance_table(profile: DimensionProfile, theory: TheoryRecord) -> pd.DataFrame:
    """Return ranks and verdicts of all blocks at several tolerances and at the record's own."""
    return text_frame(
        {
            "tolerance": f"{tolerance:g}",
            "rank by the input": rank_range(found.rank for found in dimension),
            "dimension ≤ rank": _counts(dimension),
            "rank by the weights": rank_range(found.rank for found in growth),
            "growth ≤ rank": _counts(growth),
        }
        for tolerance in sorted({*TOLERANCES, theory.tolerance}, reverse=True)
        for dimension in [inequalities(profile, theory, "dimension", tolerance)]
        for growth in [inequalities(profile, theory, "increment", tolerance)]
    )


def fishers_of(theory: TheoryRecord, whose: FisherOf, stage: Stage) -> dict[str, BlockFisher]:
    """Return the Fisher information of one kind by the paths of the blocks that have it."""
    return {
        fisher.block: fisher
        for fisher in theory.fishers
        if (fisher.of, fisher.stage) == (whose, stage)
    }


def measured_fishers(theory: TheoryRecord) -> list[tuple[FisherOf, Stage]]:
    """Return the kinds of Fisher information that were measured."""
    return [kind for kind in FISHERS if fishers_of(theory, *kind)]


def fisher_table(profile: DimensionProfile, theory: TheoryRecord) -> pd.DataFrame:
    """Return rank and effective rank of each Fisher information of every block."""
    kinds = measured_fishers(theory)
    return text_frame(
        {
            "block": name,
            **{
                f"{OWNERS[whose]}, {stage}": _ranks(fishers_of(theory, whose, stage), block, theory)
                for whose, stage in kinds
            },
        }
        for name, block in zip(block_names(profile), profile.blocks, strict=True)
    )


def weights_fishers(profile: DimensionProfile, theory: TheoryRecord) -> list[tuple[str, str]]:
    """Return the ranks and effective ranks of every block's weights, before and after training.

    Empty where they were not measured.
    """
    kinds = [kind for kind in measured_fishers(theory) if kind[0] == "weights"]
    stages = [fishers_of(theory, *kind) for kind in kinds]
    found: list[tuple[str, str]] = []
    for block in profile.blocks if stages else ():
        spectra = [stage[block].spectrum for stage in stages if block in stage]
        ranks = [str(rank) for rank in numerical_ranks(spectra, theory)]
        effective = [f"{spectrum.effective_rank:.1f}" for spectrum in spectra]
        found.append((" → ".join(ranks), " → ".join(effective)))
    return found


def use_table(uses: Sequence[ModuleUse]) -> pd.DataFrame:
    """Return a row for every module: its bound, and the ranks that it was given and used."""
    return text_frame(
        {
            "module": use.module,
            "bound": str(use.bound),
            "rank": str(use.planned_rank),
            "used": str(use.numerical_rank),
            "stable rank": f"{use.stable_rank:.2f}",
            "effective rank": f"{use.effective_rank:.2f}",
        }
        for use in uses
    )


def numerical_ranks(spectra: Iterable[Spectrum], theory: TheoryRecord) -> list[NumericalRank]:
    """Return the ranks of spectra at the record's tolerance."""
    return [spectrum.numerical_rank(theory.tolerance) for spectrum in spectra]


def rank_range(ranks: Iterable[NumericalRank]) -> str:
    """Return the smallest and the largest of some ranks.

    >>> rank_range([NumericalRank(3, is_exact=True), NumericalRank(8, is_exact=False)])
    '3 to ≥ 8'
    """
    ordered = sorted(ranks, key=lambda rank: (rank.value, not rank.is_exact))
    low, high = ordered[0], ordered[-1]
    return str(low) if low == high else f"{low} to {high}"


def _side(found: Inequality) -> list[str]:
    return [
        with_error(found.left, found.standard_error, decimals=2),
        str(found.rank),
        found.verdict,
        f"{'' if found.breaking_is_exact else '≤ '}{found.breaking_tolerance:.2g}",
    ]


def _counts(found: Sequence[Inequality]) -> str:
    """Return how often each verdict was given, as "holds 5, tight 1"."""
    counts = Counter(inequality.verdict for inequality in found)
    return ", ".join(f"{verdict} {counts[verdict]}" for verdict in VERDICTS if counts[verdict])


def _ranks(fishers: dict[str, BlockFisher], block: str, theory: TheoryRecord) -> str:
    """Return rank and effective rank, or nothing for a block without modules to adapt."""
    if block not in fishers:
        return ""
    spectrum = fishers[block].spectrum
    return f"{spectrum.numerical_rank(theory.tolerance)} ({spectrum.effective_rank:.1f})"
