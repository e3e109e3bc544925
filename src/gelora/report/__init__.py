"""The report of a run and the model card of its adapter: figures, and pages that need no network.

Reads the files a run leaves and nothing else; it never sees a model. The names below are loaded
when first used.
"""

from typing import TYPE_CHECKING

from gelora.lazy import loader

if TYPE_CHECKING:
    from gelora.report.card import write_card
    from gelora.report.page import write_report

__all__ = ["write_card", "write_report"]

__getattr__ = loader(
    __name__,
    {
        "write_card": "gelora.report.card",
        "write_report": "gelora.report.page",
    },
)
