"""Write a folder whole or not at all, and replace none that was not asked to be replaced."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gelora.artifacts import usual_mode
from gelora.errors import OutputExistsError


@contextmanager
def new_folder(
    destination: str | Path, *, holds: str, overwrite: bool, source: str | Path | None = None
) -> Iterator[Path]:
    """Yield an empty folder, which takes the destination's name once all in it is written.

    Args:
        destination: Must not exist, or be empty, unless it is to be overwritten.
        holds: A file that every such export holds: a folder without it is not replaced.
        overwrite: Replace what is there.
        source: What the export is made from, which is never replaced.

    Raises:
        OutputExistsError: There is something that must not be replaced.
    """
    path = Path(destination)
    check_folder(path, holds=holds, overwrite=overwrite, source=source)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as beside:
        written = Path(beside) / "new"
        written.mkdir()  # not mkdtemp's own folder, whose mode would hide it from the team
        yield written
        mode = usual_mode(Path(beside))
        for file in filter(Path.is_file, written.rglob("*")):
            file.chmod(mode)  # safetensors' own 0600 would hide the weights from a server
        if path.exists():
            path.rename(Path(beside) / "old")
        written.rename(path)


def check_folder(
    path: Path, *, holds: str, overwrite: bool, source: str | Path | None = None
) -> None:
    """Check that a folder may be written, as `new_folder` does before anything is.

    Raises:
        OutputExistsError: There is something that must not be replaced.
    """
    if not path.is_file() and not (path.is_dir() and any(path.iterdir())):
        return
    if not overwrite:
        raise OutputExistsError(
            f"{path} is not empty: name another folder, or --overwrite to replace it."
        )
    place = path.resolve()
    if source is not None and place in (Path(source).resolve(), *Path(source).resolve().parents):
        raise OutputExistsError(f"{path} holds {source}, which the export is made from.")
    if not (path / holds).is_file():
        raise OutputExistsError(
            f"{path} holds no {holds}, so it is no such export and is not replaced: name another "
            "folder."
        )


def check_file(path: Path, *, overwrite: bool) -> None:
    """Check that a file may be written.

    Raises:
        OutputExistsError: There is one that is not to be replaced.
    """
    if path.exists() and not overwrite:
        raise OutputExistsError(
            f"{path} exists: name another folder, or --overwrite to replace it."
        )


def copy_files(
    source: Path, destination: Path, *, suffixes: frozenset[str], but: frozenset[str] = frozenset()
) -> None:
    """Copy the files with these suffixes that the destination does not have yet.

    Args:
        source: Folder to copy from.
        destination: Folder to copy to.
        suffixes: Endings of the files.
        but: Names of files that are not copied.
    """
    for path in sorted(source.iterdir()):
        is_wanted = path.is_file() and path.suffix in suffixes and path.name not in but
        if is_wanted and not (destination / path.name).exists():
            shutil.copyfile(path, destination / path.name)
