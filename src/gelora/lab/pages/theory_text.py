"""What `gelora verify` shows: tables and sentences for a terminal, and the same as one JSON object.

Pure: values in, text out.
"""

from dataclasses import asdict
from typing import Any

import pandas as pd

from gelora.dimension.profile import DimensionProfile
from gelora.lab.pages.theory_section import theory_sentence
from gelora.lab.pages.theory_tables import (
    block_table,
    tolerance_table,
    use_table,
    weights_fishers,
)
from gelora.lab.theory.record import TheoryRecord
from gelora.lab.theory.theorem import check_theorem
from gelora.lab.theory.usage import bound_in_use
from gelora.ranks import RankPlan
from gelora.report.text import table

_STATEMENTS = ("dimension", "increment")


def theory_text(profile: DimensionProfile, plan: RankPlan, theory: TheoryRecord) -> str:
    """Return the tables of what was measured, and what there is to know about them."""
    uses = bound_in_use(theory.updates, plan, theory.tolerance)
    sentences = [
        *(theory_sentence("verdict", profile, theory, name) for name in _STATEMENTS),
        theory_sentence("tolerance", theory),
        *(theory_sentence("breaking", profile, theory, name) for name in _STATEMENTS),
    ]
    tolerances = _lines(tolerance_table(profile, theory))
    parts = [_block_table(profile, theory), "\n".join(sentences), table(*tolerances)]
    if theory.fishers:
        parts.append(theory_sentence("fisher", theory))
    if uses:
        parts += [table(*_lines(use_table(uses))), theory_sentence("use", uses)]
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
    headings, rows = _lines(block_table(profile, theory).drop(columns="below tolerance"))
    fishers = weights_fishers(profile, theory)
    if not fishers:
        return table(headings, rows)
    return table(
        [*headings, "Fisher rank", "effective"],
        [[*row, *ranks] for row, ranks in zip(rows, fishers, strict=True)],
    )


def _lines(frame: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return a frame's headings and rows, in the terminal's shorter words."""
    headings = [name.replace("by the ", "by ") for name in frame.columns]
    return headings, frame.to_numpy().tolist()
