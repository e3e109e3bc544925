"""What is said of the theory as it was measured: sentences, no markup.

Every function turns numbers of the record into words; nothing is measured, drawn or written here.
"""

from collections.abc import Collection, Sequence

from gelora.dimension.profile import DimensionProfile
from gelora.lab.pages.theory_tables import (
    FISHERS,
    OWNERS,
    VERDICTS,
    fishers_of,
    of,
    rank_range,
    theory_rows,
    tolerance_rows,
)
from gelora.lab.theory.record import BlockFisher, TheoryRecord
from gelora.lab.theory.theorem import InequalityVerdict, Statement, check_theorem
from gelora.lab.theory.usage import ModuleUse
from gelora.report.stacks import block_names
from gelora.report.wording import duration, join, list_runs

STATEMENTS: dict[Statement, str] = {
    "dimension": "The theorem's inequality, dimension ≤ rank by the input,",
    "increment": "The corollary, sharpened to growth ≤ rank by the weights to adapt,",
}
_SAYS: dict[InequalityVerdict, str] = {
    "holds": "holds",
    "tight": "is tight",
    "violated": "is violated",
    "undecided": "is undecided",
}
VERDICT_NOTES: dict[InequalityVerdict, str] = {
    "holds": "The rank is above the left side by more than chance and bias may make of it, two "
    "standard errors or half a dimension; or all that is known of it is that it is no less.",
    "tight": "The two differ by no more than two standard errors or half a dimension.",
    "violated": "The left side is above the rank by more than both, two standard errors and half a "
    "dimension.",
    "undecided": "Of the rank it is only known that it is at least a number below the left side.",
}


def verdict_sentences(profile: DimensionProfile, theory: TheoryRecord) -> list[str]:
    """Return what became of each of the theorem's two inequalities."""
    return [verdict_sentence(profile, theory, statement) for statement in STATEMENTS]


def tolerance_sentences(profile: DimensionProfile, theory: TheoryRecord) -> list[str]:
    """Return what the tolerance means, and how far each inequality depends on it."""
    limits = [breaking_sentence(profile, theory, statement) for statement in STATEMENTS]
    return [tolerance_sentence(theory), *limits]


def verdict_sentence(profile: DimensionProfile, theory: TheoryRecord, statement: Statement) -> str:
    """Return where one of the theorem's inequalities holds, is tight, violated or undecided."""
    found = of(check_theorem(profile, theory.jacobians, tolerance=theory.tolerance), statement)
    names = block_names(profile)
    parts: list[str] = []
    for verdict in VERDICTS:
        blocks = [index for index, one in enumerate(found) if one.verdict == verdict]
        if blocks:
            where = list_runs(names, blocks, everything=f"all {len(names)} blocks")
            parts.append(f"{_SAYS[verdict]} in {where}")
    return f"{STATEMENTS[statement]} {join(parts)}."


def verdict_notes(
    profile: DimensionProfile, theory: TheoryRecord
) -> list[tuple[InequalityVerdict, str]]:
    """Return every verdict that occurs, and what it means."""
    found = check_theorem(profile, theory.jacobians, tolerance=theory.tolerance)
    given = {one.verdict for one in found}
    return [(verdict, VERDICT_NOTES[verdict]) for verdict in VERDICTS if verdict in given]


def tolerance_sentence(theory: TheoryRecord) -> str:
    """Return what the tolerance means, and how many samples the ranks are the largest of."""
    counts = {len(one.spectra) for one in theory.jacobians}
    texts = " or ".join(f"{count:,}" for count in sorted(counts))
    return (
        f"A singular value counts towards a rank if it is above {theory.tolerance:g} of the "
        f"largest; a Jacobian's rank is the largest over {texts} texts."
    )


def breaking_sentence(profile: DimensionProfile, theory: TheoryRecord, statement: Statement) -> str:
    """Return up to which tolerance the rank reaches the left side, and where that is least."""
    found = of(check_theorem(profile, theory.jacobians, tolerance=theory.tolerance), statement)
    limits = [(one.breaking_is_exact, one.breaking_tolerance) for one in found]
    is_exact, least = min(limits)
    where = block_names(profile)[limits.index((is_exact, least))]
    left = {"dimension": "dimension", "increment": "growth"}[statement]
    by = {"dimension": "input", "increment": "weights"}[statement]
    if not is_exact:
        return (
            f"The rank by the {by} reaches the {left}, rounded up, in {where} at tolerances below "
            f"{least:.2g} alone, if at any."
        )
    if least >= 1:
        return f"The rank by the {by} reaches the {left} at any tolerance, in every block."
    if least == 0:
        return f"At no tolerance does the rank by the {by} reach the {left} in {where}."
    return (
        f"The rank by the {by} reaches the {left}, rounded up, at any tolerance below "
        f"{least:.2g}; {where} is the first where it would not."
    )


def fisher_sentence(theory: TheoryRecord) -> str:
    """Return the ranks of the Fisher information over blocks, or "" where there is none."""
    kinds = [(whose, stage, fishers_of(theory, whose, stage)) for whose, stage in FISHERS]
    parts = [
        f"{OWNERS[whose]} {stage} training, {_fisher_ranges(fishers.values(), theory)}"
        for whose, stage, fishers in kinds
        if fishers
    ]
    if not parts:
        return ""
    most = max(one.num_samples for one in theory.fishers)
    return (
        f"Fisher information of a block by the gradients of {most:,} labelled texts, which no rank "
        f"of it can exceed: {'; '.join(parts)}."
    )


def fisher_lines(theory: TheoryRecord) -> str:
    """Return how the figure tells the kinds of Fisher information apart; "" where there is none."""
    colours, lines = {"weights": "blue", "lora": "purple"}, {"before": "dotted", "after": "solid"}
    shown = [kind for kind in FISHERS if fishers_of(theory, *kind)]
    if not shown:
        return ""
    owners = dict.fromkeys(whose for whose, _ in shown)
    stages = dict.fromkeys(stage for _, stage in shown)
    told = [f"{OWNERS[whose]} {colours[whose]}" for whose in owners]
    return join([*told, *(f"{stage} training {lines[stage]}" for stage in stages)])


def describe_ranks(profile: DimensionProfile, theory: TheoryRecord) -> str:
    """Return every block's ranks in words, for those who do not see the figure."""
    rows = theory_rows(profile, theory)
    ranks = [f"{row.name} {row.dimension.rank} and {row.growth.rank}" for row in rows]
    return f"Ranks by the input and by the weights: {', '.join(ranks)}."


def describe_tolerances(profile: DimensionProfile, theory: TheoryRecord) -> str:
    """Return what each tolerance makes of the ranks, in words."""
    return " ".join(
        f"At {row.tolerance}: rank {row.input_ranks} by the input and {row.parameter_ranks} by the "
        "weights."
        for row in tolerance_rows(profile, theory)
    )


def use_sentence(uses: Sequence[ModuleUse]) -> str:
    """Return how much of the rank given was used, or "" without a trained adapter."""
    if not uses:
        return ""
    given, used = (sum(ranks) for ranks in zip(*map(_given_and_used, uses), strict=True))
    full = sum(use.numerical_rank == use.planned_rank for use in uses)
    below = sum(use.numerical_rank < use.bound for use in uses)
    stable = [use.stable_rank for use in uses]
    return (
        f"Of the rank given to {len(uses):,} modules, {given:,} in all, training used {used:,} "
        f"({100 * used / given:.0f} %): all of it in {full:,} of them, and less than the growth "
        f"of the dimension in {below:,}. The stable rank of their updates is {min(stable):.2f} to "
        f"{max(stable):.2f}."
    )


def time_sentence(theory: TheoryRecord) -> str:
    """Return how long each part took."""
    parts = [f"{part} {duration(seconds)}" for part, seconds in sorted(theory.seconds.items())]
    return f"Time: {', '.join(parts)}."


def _fisher_ranges(fishers: Collection[BlockFisher], theory: TheoryRecord) -> str:
    ranks = rank_range([one.spectrum.numerical_rank(theory.tolerance) for one in fishers])
    effective = [one.spectrum.effective_rank for one in fishers]
    return f"rank {ranks}, effective rank {min(effective):.1f} to {max(effective):.1f}"


def _given_and_used(use: ModuleUse) -> tuple[int, int]:
    return use.planned_rank, use.numerical_rank
