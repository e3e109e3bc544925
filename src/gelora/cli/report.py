"""`gelora report`: the files of a run, or of a comparison, in; report.html out."""

from gelora.cli.config import Config
from gelora.cli.console import Output
from gelora.comparison.results import COMPARISON_FILE
from gelora.reporting import write_report
from gelora.reporting.comparison_page import write_comparison


def main(config: Config) -> Output:
    """Write the report of the run or comparison, and show its path."""
    is_comparison = (config.folder / COMPARISON_FILE).is_file()
    path = write_comparison(config.folder) if is_comparison else write_report(config.folder)
    return Output(str(path), {"report": str(path)})
