"""The report's section on the theory: what its template shows, gathered from the record.

Figures come from `theory_figures`, rows from `theory_tables`, sentences from `theory_wording`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from gelora.artifacts import PROFILE_FILE, THEORY_FILE
from gelora.dimension.profile import DimensionProfile
from gelora.lab.pages import theory_figures, theory_tables, theory_wording
from gelora.lab.theory.record import TheoryRecord
from gelora.lab.theory.usage import ModuleUse, bound_in_use
from gelora.ranks import RankPlan
from gelora.report.page import Section
from gelora.report.run_files import RunFiles, check_origin
from gelora.report.templating import template
from gelora.report.theme import to_svg


def theory_section(folder: Path, run: RunFiles) -> Section | None:
    """Return the section on what `gelora verify` measured, or None before it.

    Raises:
        ArtifactError: theory.json cannot be read, or is of another profile.
    """
    path = folder / THEORY_FILE
    if not path.is_file():
        return None
    theory = TheoryRecord.from_pretrained(path)
    check_origin(path, theory.profile_hash, PROFILE_FILE, run.profile.content_hash())
    shown = _shown(run.profile, run.plan, theory)
    page = template("theory.html.jinja", package="gelora.lab.pages").render(theory=shown)
    # Markup: the template has escaped every name.
    return Section("theory", theory.content_hash(), Markup(page))


def _shown(profile: DimensionProfile, plan: RankPlan, theory: TheoryRecord) -> dict[str, Any]:
    """Return what the template of the section shows."""
    uses = bound_in_use(theory.updates, plan, theory.tolerance)
    return {
        "lead": theory_wording.verdict_sentences(profile, theory),
        "notes": theory_wording.verdict_notes(profile, theory),
        "tolerance": theory_wording.tolerance_sentences(profile, theory),
        "rows": theory_tables.theory_rows(profile, theory),
        "tolerance_rows": theory_tables.tolerance_rows(profile, theory),
        "fisher": theory_wording.fisher_sentence(theory),
        "fisher_headings": theory_tables.fisher_headings(theory),
        "fisher_rows": theory_tables.fisher_rows(profile, theory),
        "fisher_lines": theory_wording.fisher_lines(theory),
        "use": theory_wording.use_sentence(uses),
        "use_headings": theory_tables.USE_HEADINGS,
        "use_rows": theory_tables.use_rows(uses),
        "time": theory_wording.time_sentence(theory),
        "figures": _figures(profile, plan, theory, uses),
    }


def _figures(
    profile: DimensionProfile, plan: RankPlan, theory: TheoryRecord, uses: Sequence[ModuleUse]
) -> dict[str, Markup]:
    found = {
        "spectra": to_svg(
            theory_figures.spectra_figure(profile, theory),
            description="Singular values of both Jacobians of every block, as shares of the "
            f"largest. {theory_wording.describe_ranks(profile, theory)}",
        ),
        "ranks": to_svg(
            theory_figures.ranks_figure(profile, theory),
            description=theory_wording.describe_tolerances(profile, theory),
        ),
    }
    if theory.fishers:
        found["fisher"] = to_svg(
            theory_figures.fisher_figure(profile, theory),
            description="Eigenvalues of the Fisher information of every block, as shares of the "
            f"largest. {theory_wording.fisher_sentence(theory)}",
        )
    if uses:
        found["use"] = to_svg(
            theory_figures.use_figure(plan, uses),
            description="For every module: its planned rank, the rank of its update, its "
            f"stable rank and the lower bound. {theory_wording.use_sentence(uses)}",
        )
    # Markup: our own SVG, in which `to_svg` and matplotlib have escaped every name.
    return {name: Markup(svg) for name, svg in found.items()}
