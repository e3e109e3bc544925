"""`gelora report`: the files of a run, or of a comparison, in; report.html out.

Pages are imported when one is written: pandas and matplotlib take a second to load.
"""

from pathlib import Path

from gelora.cli.config import Config, resolved
from gelora.cli.console import Output
from gelora.lab.comparison.results import COMPARISON_FILE


def main(config: Config) -> Output:
    """Write the report of the run or comparison, and show its path."""
    is_comparison = (config.folder / COMPARISON_FILE).is_file()
    path = _write_comparison(config.folder) if is_comparison else write_run_report(config.folder)
    return Output(str(path), {"report": str(path)})


def write_run_report(folder: Path) -> Path:
    """Write the report of a run: with the theory, and with settings beside their defaults."""
    from gelora.lab.pages.theory_section import theory_section
    from gelora.report import write_report
    from gelora.report.cut_section import cut_section

    sections = [cut_section, theory_section]
    return write_report(folder, sections=sections, defaults=resolved(Config(), "run"))


def _write_comparison(folder: Path) -> Path:
    from gelora.lab.pages.comparison_page import write_comparison

    return write_comparison(folder)
