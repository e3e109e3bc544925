"""Files of one JSON object a line, which grow by whole lines and lose none when a process dies."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from gelora.errors import ArtifactError

Record = TypeVar("Record")

_CHUNK = 1 << 16
"""Bytes that are read at a time in search of the last whole line."""


def read_lines(path: Path, kind: type[Record]) -> list[Record]:
    """Return the dataclasses that a file holds, none if there is no file.

    A last line without its end was cut short by a crash, and is not counted.

    Raises:
        ArtifactError: A line is no such dataclass.
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
                f"Line {number} of {path} is no {kind.__name__} ({error}): remove it, and what it "
                "told is made again."
            ) from error
    return records


def append_line(path: Path, record: Any) -> None:
    """Append a dataclass as one line, on disk when this returns; a line cut short goes first.

    Raises:
        ArtifactError: It holds NaN or infinity, which JSON cannot carry.
    """
    line = as_line(record).encode()
    with path.open("ab+") as file:
        file.truncate(_whole_lines(file))
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def as_line(record: Any) -> str:
    """Return a dataclass as a line of a file.

    Raises:
        ArtifactError: It holds NaN or infinity, which JSON cannot carry.
    """
    try:
        return json.dumps(dataclasses.asdict(record), sort_keys=True, allow_nan=False) + "\n"
    except ValueError as error:
        raise ArtifactError(
            f"A {type(record).__name__} holds a value that JSON cannot carry: {error}."
        ) from error


def _whole_lines(file: BinaryIO) -> int:
    """Return how many bytes of a file are whole lines, reading back from its end."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _CHUNK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
