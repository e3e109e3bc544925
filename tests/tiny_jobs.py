"""What engines are given to do in tests: other processes import it by this name."""

import os
import signal
import time
from pathlib import Path

from gelora.errors import ConfigError


def process_of(item):
    return item, os.getpid()


def fail_on_odd(item):
    if item == 1:
        raise ConfigError("one is not taken")
    if item == 3:
        raise ZeroDivisionError("three")
    if item == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * item


def stay(path):
    """Leave the process's number in a file, and stay."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(300)


def stay_or_return(path):
    return None if path is None else stay(path)


def overlap(folder):
    """Return how many of these run at the same time."""
    mine = Path(folder) / str(os.getpid())
    mine.touch()
    time.sleep(0.2)
    count = len(list(Path(folder).iterdir()))
    mine.unlink()
    return count


def die_at_first(path):
    """Kill the own process, the first time that it is called with this path."""
    path = Path(path)
    if not path.exists():
        path.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()
