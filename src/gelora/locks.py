"""One process at a time writes into a folder, on every system."""

import contextlib
from collections.abc import Generator
from pathlib import Path

from filelock import FileLock, Timeout

from gelora.errors import OutputExistsError

LOCK_FILE = ".gelora.lock"


@contextlib.contextmanager
def hold_folder(folder: Path) -> Generator[None, None, None]:
    """Hold a folder for this process while inside; the system frees it when the process ends.

    The folder is made if it is not there, and removed again if nothing was written into it.

    Raises:
        OutputExistsError: Another process holds it.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_FILE
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise OutputExistsError(
            f"Another gelora writes in {folder}: wait for it to end, or give another --output_dir."
        ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps a file that is open
            path.unlink()  # while it is held, so that nobody else holds a file that is gone
        lock.release()
        for empty in made:
            with contextlib.suppress(OSError):
                empty.rmdir()
