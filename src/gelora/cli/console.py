"""What a command shows: its result on standard output, everything else on standard error.

Only here are handlers for logs and warnings set up; the library logs and shows nothing by itself.
"""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from gelora.cli.boundary import as_flags
from gelora.cli.flags import RunFlags
from gelora.errors import GeloraWarning

LOGGER = logging.getLogger("gelora")


@dataclass(frozen=True)
class Output:
    """What a verb has to say: as text, and as one JSON object."""

    text: str
    payload: dict[str, Any]


def is_main_process() -> bool:
    """Say whether this process speaks, of those that accelerate or torchrun launched together."""
    return os.environ.get("RANK", "0") == "0"


def shows_progress(flags: RunFlags) -> bool:
    """Say whether progress bars are wanted: at a terminal, unless quiet."""
    return sys.stderr.isatty() and not flags.quiet


@contextlib.contextmanager
def only_results_on_stdout(flags: RunFlags) -> Iterator[None]:
    """Send logs, warnings and whatever a library prints to standard error, while inside."""
    hush_libraries(flags)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(message)s"))
    level = LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(_log_level(flags))
    with contextlib.ExitStack() as stack:
        stack.callback(LOGGER.setLevel, level)
        stack.callback(LOGGER.removeHandler, handler)
        if flags.quiet:  # our handler keeps the standard error that there was
            nowhere = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("always", GeloraWarning)
        warnings.showwarning = _show_warning
        yield


def warn_if_busy() -> None:
    """Warn where the processors are busy, for PyTorch's threads then wait for each other."""
    cores = os.cpu_count() or 1
    if not hasattr(os, "getloadavg") or os.environ.get("OMP_NUM_THREADS") == "1":
        return
    load = os.getloadavg()[0]
    if load > cores:
        LOGGER.warning(
            "Warning: %.1f processes want the %d processors. If this machine stays so busy, "
            "OMP_NUM_THREADS=1 is many times faster.",
            load,
            cores,
        )


def hush_libraries(flags: RunFlags) -> None:
    """Set what the Hugging Face libraries read when they are first imported."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else it warns after a fork
    if not flags.verbose:
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        # It says at its import what it could be faster with, and at every layer what it rounds.
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if not shows_progress(flags):
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")


class _Formatter(logging.Formatter):
    """Writes the Python arguments that a warning names as flags."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return as_flags(text) if record.levelno >= logging.WARNING else text


def _log_level(flags: RunFlags) -> int:
    if not is_main_process():
        return logging.ERROR  # the main process says the same
    return logging.DEBUG if flags.verbose else logging.WARNING if flags.quiet else logging.INFO


def _show_warning(  # noqa: PLR0917 - as the standard library calls it
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show ours in one plain line; those of other libraries are for --verbose."""
    if issubclass(category, GeloraWarning):
        LOGGER.warning("Warning: %s", message)
    else:
        LOGGER.debug("%s:%d: %s: %s", filename, lineno, category.__name__, message)
