"""The report of a run and the model card of its adapter: figures, and pages that need no network.

Reads the files a run leaves and nothing else; it never sees a model.
"""

from gelora.reporting.card import write_card
from gelora.reporting.page import write_report

__all__ = ["write_card", "write_report"]
