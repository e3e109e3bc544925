"""`gelora report`: the files of a run in, report.html out."""

from gelora.cli.config import Config
from gelora.cli.console import Output
from gelora.reporting import write_report


def main(config: Config) -> Output:
    """Write the report of the run, and show its path."""
    path = write_report(config.folder)
    return Output(str(path), {"report": str(path)})
