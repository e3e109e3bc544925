"""Files with one JSON object per line, which stay readable when a process dies while writing."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, TypeVar

from gelora.errors import ArtifactError

Record = TypeVar("Record")


def read_lines(path: Path, kind: type[Record]) -> list[Record]:
    """Return the records of a file, or none if there is no file.

    A last line without a line break was cut short by a crash. It is skipped.

    Args:
        path: The file.
        kind: Dataclass of the records.

    Raises:
        ArtifactError: A line does not hold the fields of the dataclass.
    """
    if not path.exists():
        return []
    *lines, _ = path.read_text(encoding="utf-8").split("\n")
    records: list[Record] = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(kind(**json.loads(line)))
        except (json.JSONDecodeError, TypeError) as error:
            raise ArtifactError(
                f"Line {number} of {path} is no {kind.__name__} ({error}): remove the line, and "
                "its run is repeated."
            ) from error
    return records


def append_line(path: Path, record: Any) -> None:
    """Append a dataclass as one line, which is on disk when this returns.

    A last line that a crash cut short is removed first.

    Raises:
        ArtifactError: The record holds NaN or infinity, which JSON cannot carry.
    """
    line = as_line(record).encode()
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read() not in (b"", b"\n"):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def as_line(record: Any) -> str:
    """Return a dataclass as a line of a file.

    Raises:
        ArtifactError: The record holds NaN or infinity, which JSON cannot carry.
    """
    try:
        return json.dumps(dataclasses.asdict(record), sort_keys=True, allow_nan=False) + "\n"
    except ValueError as error:
        raise ArtifactError(
            f"A {type(record).__name__} holds a value that JSON cannot carry: {error}."
        ) from error
