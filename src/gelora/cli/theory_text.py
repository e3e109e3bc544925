"""What `gelora verify` shows: tables and sentences for a terminal, and the same as one JSON object.

Pure: values in, text out.
"""

from dataclasses import asdict
from typing import Any

from gelora.cli.tables import table
from gelora.dimension.profile import DimensionProfile
from gelora.lab.pages import theory_wording
from gelora.lab.pages.theory_tables import (
    USE_HEADINGS,
    theory_rows,
    tolerance_rows,
    use_rows,
    weights_fishers,
)
from gelora.lab.theory.record import TheoryRecord
from gelora.lab.theory.theorem import check_theorem
from gelora.lab.theory.usage import bound_in_use
from gelora.ranks import RankPlan

_HEADINGS = (
    *("block", "dimension", "rank by input", "verdict"),
    *("growth", "rank by weights", "verdict"),
)
_TOLERANCE_HEADINGS = (
    *("tolerance", "rank by input", "dimension ≤ rank", "rank by weights", "growth ≤ rank"),
)


def theory_text(profile: DimensionProfile, plan: RankPlan, theory: TheoryRecord) -> str:
    """Return the tables of what was measured, and what there is to know about them."""
    uses = bound_in_use(theory.updates, plan, theory.tolerance)
    sentences = [
        *theory_wording.verdict_sentences(profile, theory),
        *theory_wording.tolerance_sentences(profile, theory),
    ]
    parts = [_block_table(profile, theory), "\n".join(sentences), _tolerance_table(profile, theory)]
    if theory.fishers:
        parts.append(theory_wording.fisher_sentence(theory))
    if uses:
        parts += [table(USE_HEADINGS, use_rows(uses)), theory_wording.use_sentence(uses)]
    return "\n\n".join(parts)


def theory_payload(
    profile: DimensionProfile, plan: RankPlan, theory: TheoryRecord
) -> dict[str, Any]:
    """Return the same as one JSON object: what follows from the spectra, which theory.json has."""
    return {
        "tolerance": theory.tolerance,
        "inequalities": [
            {**asdict(one), "rank": one.rank.value, "rank_is_exact": one.rank.is_exact}
            for one in check_theorem(profile, theory.jacobians, tolerance=theory.tolerance)
        ],
        "fishers": [
            {
                "block": one.block,
                "of": one.of,
                "stage": one.stage,
                "num_samples": one.num_samples,
                "rank": one.spectrum.numerical_rank(theory.tolerance).value,
                "effective_rank": one.spectrum.effective_rank,
            }
            for one in theory.fishers
        ],
        "modules": [asdict(use) for use in bound_in_use(theory.updates, plan, theory.tolerance)],
    }


def _block_table(profile: DimensionProfile, theory: TheoryRecord) -> str:
    rows = [
        [
            *(row.name, row.dimension.left, row.dimension.rank, row.dimension.verdict),
            *(row.growth.left, row.growth.rank, row.growth.verdict),
        ]
        for row in theory_rows(profile, theory)
    ]
    fishers = weights_fishers(profile, theory)
    if not fishers:
        return table(_HEADINGS, rows)
    return table(
        [*_HEADINGS, "Fisher rank", "effective"],
        [[*row, *ranks] for row, ranks in zip(rows, fishers, strict=True)],
    )


def _tolerance_table(profile: DimensionProfile, theory: TheoryRecord) -> str:
    return table(
        _TOLERANCE_HEADINGS,
        [
            [row.tolerance, row.input_ranks, row.dimension, row.parameter_ranks, row.growth]
            for row in tolerance_rows(profile, theory)
        ],
    )
