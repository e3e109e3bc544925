"""A comparison that is killed over and over, in a process of its own.

    python killed_comparison.py FOLDER

Each start forks off a process that runs the comparison and kills itself with SIGKILL at the fourth
line that it appends: before the line, with half of it written, or after it. It says how each
ended, until one lives. Runs are done in the same process; lab/comparison/test_engines.py has what
becomes of others.
"""

import itertools
import os
import signal
import sys
from pathlib import Path

from gelora.lab.comparison import compare, grid, lines, store
from gelora.lab.comparison.engines import attempt
from tiny_comparison import KILLED, tiny_settings


def run_here(function, items):
    for item in items:
        yield item, attempt(function, item, threads=1)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_fourth_line(moment: str) -> None:
    count = itertools.count(1)

    def append_or_die(path, record):
        is_last = next(count) == 4
        if is_last and moment == "half":
            with path.open("a") as file:
                file.write(lines.as_line(record)[:-10])
        if is_last and moment != "after":
            die()
        lines.append_line(path, record)
        if is_last:
            die()

    store.append_line = append_or_die


def main(folder: Path) -> None:
    grid._engine = lambda name, processes: run_here
    settings = tiny_settings(folder, steps=2)
    for moment in itertools.cycle(("before", "half", "after")):
        child = os.fork()
        if child == 0:
            die_at_fourth_line(moment)
            compare([settings], folder / "out", **KILLED)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        ending = os.waitstatus_to_exitcode(status)
        sys.stdout.write(f"{ending}\n")
        sys.stdout.flush()
        if ending != -signal.SIGKILL:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
