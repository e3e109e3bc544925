"""The report of a run: figures, and one page that needs no network.

Reads the files a run leaves and nothing else; it never sees a model.
"""

from gelora.reporting.page import write_report

__all__ = ["write_report"]
