"""Show how far work has come: a bar at a terminal or in a notebook, elsewhere lines of the log."""

import io
import logging
import sys
from typing import Any

from tqdm.auto import tqdm
from tqdm.std import tqdm as plain_tqdm

logger = logging.getLogger(__name__)

SECONDS = 10.0
"""Time between two lines of the log."""


def progress_bar(
    total: int, *, description: str, unit: str, shown: bool | None
) -> "plain_tqdm[Any]":
    """Return a bar to update as work is done.

    Args:
        total: Units of work.
        description: What is done, in front of the bar.
        unit: What is counted.
        shown: False for nothing; True for a bar; None for a bar at a terminal or in a notebook,
            and elsewhere a line of the log every ten seconds.
    """
    settings: dict[str, Any] = {"total": total, "desc": description, "unit": unit}
    if shown is None and not (sys.stderr.isatty() or "ipykernel" in sys.modules):
        return _Lines(**settings, mininterval=SECONDS, delay=SECONDS, file=io.StringIO())
    return tqdm(**settings, disable=shown is False)


class _Lines(plain_tqdm):  # type: ignore[type-arg]
    """Logs a line where a bar would be drawn."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        del msg, pos
        logger.info("%s", str(self).strip())

    def close(self) -> None:
        self.disable = True  # the last line would only say that it is done
