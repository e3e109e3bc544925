"""Kill one of the processes that a Ray cluster runs things in, in the middle of its work."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Killed:
    processes: list[int] = field(default_factory=list)


@contextlib.contextmanager
def kill_a_run(folder: Path) -> Iterator[Killed]:
    """Kill the first process that trains in the comparison in folder/ray, once it is measured."""
    killed, stopped = Killed(), threading.Event()

    def watch() -> None:
        while not stopped.is_set() and not killed.processes:
            time.sleep(0.05)
            if (folder / "ray" / "labels.json").exists():
                killed.processes += [p for p in _workers()[:1] if _is_killed(p)]

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield killed
    finally:
        stopped.set()
        watcher.join()


def _workers() -> list[int]:
    """Return the processes that call something for Ray, which then are called after it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(b"ray::attempt"):
                found.append(int(path.parent.name))
    return found


def _is_killed(process: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
        return True
    return False
