"""`gelora report`: the files of a run, or of a comparison, in; report.html out."""

from gelora.cli.config import Config
from gelora.cli.console import Output
from gelora.lab.comparison.results import COMPARISON_FILE
from gelora.lab.pages.comparison_page import write_comparison
from gelora.lab.pages.theory_section import theory_section
from gelora.report import write_report


def main(config: Config) -> Output:
    """Write the report of the run or comparison, and show its path."""
    is_comparison = (config.folder / COMPARISON_FILE).is_file()
    path = (
        write_comparison(config.folder)
        if is_comparison
        else write_report(config.folder, sections=[theory_section])
    )
    return Output(str(path), {"report": str(path)})
