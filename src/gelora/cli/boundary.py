"""Turn every exception into a message for the user.

A message says what went wrong, what to do, what the run's folder keeps, and how to go on. Nothing
is imported here that is slow to import.
"""

import errno
import re
import traceback
from collections.abc import Mapping
from pathlib import Path

import gelora
from gelora.artifacts import ADAPTER_FOLDER, METRICS_FILE, PLAN_FILE, PROFILE_FILE
from gelora.checkpoints import last_complete
from gelora.cli.config import FLAGS
from gelora.errors import GeloraError

_OURS = Path(gelora.__file__).parent

_FULL = re.compile(
    r"no space left|quota exceeded|PytorchStreamWriter|unexpected pos|iostream error", re.IGNORECASE
)
_MEMORY = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|bad_alloc", re.IGNORECASE
)
_HALF = re.compile(r"not implemented for '(Half|BFloat16)'")
_FLAG = re.compile(
    rf"(?<![\w\-./'\"=])({'|'.join(sorted((n for n in FLAGS if '_' in n), key=len, reverse=True))})"
    r"(?![\w/'\"=]|\.\w)"
)

_KEPT: Mapping[str, str] = {
    PROFILE_FILE: "the dimensions",
    PLAN_FILE: "the ranks",
    ADAPTER_FOLDER: "the adapter",
    METRICS_FILE: "the metrics",
}
"""What a run's folder may keep of the work so far."""


def as_flags(message: str) -> str:
    """Write the Python arguments in a message as flags of the command line.

    >>> as_flags("max_length must be at least 1: set drop_empty.")
    '--max_length must be at least 1: set --drop_empty.'
    """
    return _FLAG.sub(r"--\1", message)


def message_of(error: BaseException, folder: Path | None) -> tuple[str, int]:
    """Return the message for an exception, and the exit code.

    Args:
        error: Any exception.
        folder: The run's folder, if it is known; the message says what it keeps.

    Returns:
        The message, and 2 for what the user can put right, 1 for a fault of gelora's own, and 130
        for an interrupt.
    """
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted.{_kept(folder)}", 130
    if isinstance(error, GeloraError):
        return as_flags(str(error)), 2
    if _is_foreign(error):
        return f"{_reason(error)}{_kept(folder)} --debug shows where.", 2
    report = " This looks like a fault of gelora: please report it, with what --debug shows."
    return f"{_reason(error)}{report}{_kept(folder)}", 1


def _reason(error: BaseException) -> str:
    """Return what went wrong and what to do about it."""
    kind, text = type(error).__name__, " ".join(str(error).split())
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    detail = f": {_short(text)}" if text else ""
    reason = f"{kind}{detail}{'' if detail.endswith('.') else '.'}"
    if is_full or _FULL.search(text):
        reason = "The disk is full: free some space, or give another --output_dir."
    elif isinstance(error, MemoryError) or kind == "OutOfMemoryError" or _MEMORY.search(text):
        reason = (
            "Memory ran out: lower --per_device_train_batch_size (and raise "
            "--gradient_accumulation_steps), --measure_batch_tokens or --max_length."
        )
    elif isinstance(error, ImportError):
        name = (getattr(error, "name", None) or "").partition(".")[0]
        install = f": pip install {name}." if name else "."
        reason = f"A package is missing or does not load ({_short(text)}){install}"
    elif half := _HALF.search(text):
        precision = {"Half": "float16", "BFloat16": "bfloat16"}[half[1]]
        reason = f"This processor does not compute in {precision}: add --dtype float32."
    elif isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        reason = f"{error.strerror}{where}."
    elif isinstance(error, RecursionError):
        reason = "Something is nested too deep to be read."
    return reason


def _kept(folder: Path | None) -> str:
    """Return what a folder keeps, and that the same command goes on from there."""
    if folder is None or not folder.is_dir():
        return ""
    kept = [what for name, what in _KEPT.items() if (folder / name).exists()]
    is_finished = (folder / METRICS_FILE).exists()
    checkpoint = None if is_finished else last_complete(folder)
    if checkpoint is not None:
        kept.append(checkpoint.name)
    if not kept:
        return ""
    *most, last = kept
    what = f"{', '.join(most)} and {last}" if most else last
    resume = "" if checkpoint is None else " with --resume_from_checkpoint true"
    return f" {folder} keeps {what}; the same command{resume} goes on from there."


def _is_foreign(error: BaseException) -> bool:
    """Say whether an exception comes from the system or another package, not from gelora's code."""
    if isinstance(error, OSError | MemoryError | ImportError):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    return not frames or not Path(frames[-1].filename).is_relative_to(_OURS)


def _short(text: str, length: int = 300) -> str:
    return text if len(text) <= length else f"{text[:length]}…"
