"""The report's section on what `gelora verify` measured."""

from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Template
from markupsafe import Markup

from gelora.artifacts import PROFILE_FILE, THEORY_FILE
from gelora.lab.pages import theory_figures as figures
from gelora.lab.pages import theory_tables as tables
from gelora.lab.theory.record import TheoryRecord
from gelora.lab.theory.usage import bound_in_use
from gelora.report.page import Section, svg
from gelora.report.run_files import RunFiles, check_origin
from gelora.report.tables import code, html_table
from gelora.report.templating import sentence, template


def theory_section(folder: Path, run: RunFiles) -> Section | None:
    """Return the section on what `gelora verify` measured, or None before it.

    Raises:
        ArtifactError: theory.json cannot be read, or is of another profile.
    """
    path = folder / THEORY_FILE
    if not path.is_file():
        return None
    profile, theory = run.profile, TheoryRecord.from_pretrained(path)
    check_origin(path, theory.profile_hash, PROFILE_FILE, profile.content_hash())
    uses = bound_in_use(theory.updates, run.plan, theory.tolerance)
    drawn = {
        "ranks": figures.ranks_figure(profile, theory),
        "spectra": figures.spectra_figure(profile, theory),
    }
    if theory.fishers:
        drawn["fisher"] = figures.fisher_figure(profile, theory)
    if uses:
        drawn["use"] = figures.use_figure(run.plan, uses)
    page = _template("theory.html.jinja", table=_table, svg=svg).render(
        profile=profile,
        theory=theory,
        uses=uses,
        figures=drawn,
        blocks=tables.block_table(profile, theory),
        tolerances=tables.tolerance_table(profile, theory),
        fishers=tables.fisher_table(profile, theory),
        modules=tables.use_table(uses),
        verdicts=[
            verdict
            for verdict in tables.VERDICTS
            if any(verdict in tables.by_verdict(profile, theory, s) for s in figures.STATEMENTS)
        ],
    )
    # Markup: the template has escaped every name.
    return Section("theory", "Theory", theory.content_hash(), Markup(page))


def theory_sentence(name: str, *values: object) -> str:
    """Return a sentence of `theory_sentences.jinja` on one line."""
    return sentence(name, *values, source=_template("theory_sentences.jinja"))


def _template(name: str, **functions: Any) -> Template:
    known = {
        "OWNERS": tables.OWNERS,
        "block_names": tables.block_names,
        "by_verdict": tables.by_verdict,
        "first_to_break": tables.first_to_break,
        "fishers_of": tables.fishers_of,
        "measured_fishers": tables.measured_fishers,
        "numerical_ranks": tables.numerical_ranks,
        "rank_range": tables.rank_range,
        "fully_used": lambda uses: [u for u in uses if u.numerical_rank == u.planned_rank],
        "below_bound": lambda uses: [u for u in uses if u.numerical_rank < u.bound],
    }
    return template(name, package="gelora.lab.pages", functions={**known, **functions})


def _table(frame: pd.DataFrame, label: str) -> Markup:
    """Return a table with paths as code, and verdicts that ask for doubt marked."""
    if "module" in frame:
        frame = frame.assign(module=pd.Series(map(code, frame["module"]), dtype=object))
    html = str(html_table(frame, label))
    for verdict in ("violated", "undecided"):
        html = html.replace(f"<td>{verdict}<", f'<td class="doubt">{verdict}<')
    return Markup(html)
