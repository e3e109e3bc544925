"""Read the user's rows as columns: CSV, JSON and JSON Lines files, plain or .gz, and Hub splits.

Files are read in memory by the standard library: nothing is cached, a text that says `NA` stays
that text, and a bad line is named. What the columns mean is decided in `data.py`.
"""

import csv
import gzip
import hashlib
import io
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets

from gelora.errors import DataError

_SUFFIXES = (".csv", ".json", ".jsonl")
_COMMIT = re.compile(r"\b[0-9a-f]{40}\b")
_LONGEST_FIELD = 2**31 - 1  # csv's own limit, 128 KiB, is shorter than a long document


@dataclass(frozen=True)
class Table:
    """Rows as columns, and where they came from.

    Attributes:
        source: The file's name or the Hub split, for messages.
        columns: The values of every column, all of the same length.
        string_columns: The columns that hold texts, for guessing which to use.
        class_names: The names of the classes, for columns whose file format records them.
        splits: The names of all splits of the data set, none for a file.
        provenance: JSON-able; file names without folders, so that no machine's paths are kept.
    """

    source: str
    columns: Mapping[str, Sequence[Any]]
    string_columns: tuple[str, ...]
    provenance: Mapping[str, Any]
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    splits: tuple[str, ...] = ()


def read_file(path: str | Path) -> Table:
    """Read a local file; its kind is told by its name.

    Raises:
        DataError: The file is missing, of an unknown kind, not UTF-8, damaged, without rows, or
            a line of it cannot be read.
    """
    path = Path(path)
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix not in _SUFFIXES:
        raise DataError(
            f"{path.name} must end in {', '.join(_SUFFIXES)}, or in one of these + .gz."
        )
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    text = _decode(raw, path)
    columns = _read_csv(text, path.name) if suffix == ".csv" else _read_json(text, path.name)
    if not any(columns.values()):
        raise DataError(f"{path.name} holds no rows.")
    return Table(
        source=path.name,
        columns=columns,
        string_columns=tuple(name for name, values in columns.items() if _is_text(values)),
        provenance={"file": path.name, "sha256": hashlib.sha256(raw).hexdigest()},
    )


def read_split(dataset_name: str, config: str | None, split: str) -> Table:
    """Read one split of a data set from the Hub, its cache, or a local folder.

    Raises:
        DataError: The data set, its config or the split cannot be loaded.
    """
    source = f"{dataset_name}/{config} [{split}]" if config else f"{dataset_name} [{split}]"
    try:
        rows = datasets.load_dataset(dataset_name, config, split=split)
    except (OSError, ValueError) as error:  # what datasets raises for a name, a config, a split
        is_offline = isinstance(error, ConnectionError) and os.environ.get("HF_HUB_OFFLINE")
        offline = " (HF_HUB_OFFLINE is set)" if is_offline else ""
        reason = " ".join(str(error).split())  # for an unknown split, it lists those there are
        raise DataError(f"{source} cannot be loaded{offline}: {reason}") from error
    if not isinstance(rows, datasets.Dataset):
        raise DataError(f"{source} is a {type(rows).__name__}, not one split of rows.")
    features = rows.features
    commits = [_COMMIT.search(file["filename"]) for file in rows.cache_files]
    return Table(
        source=source,
        columns={name: rows[name] for name in rows.column_names},
        string_columns=tuple(
            name
            for name, feature in features.items()
            if isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string")
        ),
        provenance={
            "dataset": dataset_name,
            "config": config,
            "split": split,
            "revision": next((commit.group() for commit in commits if commit), None),
        },
        class_names={
            name: tuple(feature.names)
            for name, feature in features.items()
            if isinstance(feature, datasets.ClassLabel)
        },
        splits=tuple(rows.info.splits or ()),
    )


def _decode(raw: bytes, path: Path) -> str:
    try:
        # utf-8-sig, for Excel starts its files with a byte-order mark
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name} is not UTF-8 (byte {error.start} is {_byte(error)}): save it as UTF-8."
        ) from error
    except (EOFError, zlib.error, OSError) as error:
        raise DataError(f"{path.name} is no complete gzip file: {error}.") from error


def _byte(error: UnicodeDecodeError) -> str:
    return f"0x{error.object[error.start]:02x}"


def _read_csv(text: str, name: str) -> dict[str, list[Any]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    limit = csv.field_size_limit(_LONGEST_FIELD)
    try:
        header = next(reader, [])
        if len(set(header)) < len(header):
            raise DataError(f"{name} has two columns of one name in its header: {header}.")
        rows: list[list[str]] = []
        for row in reader:
            if len(row) not in (0, len(header)):
                raise DataError(
                    f"Line {reader.line_num} of {name} has {len(row)} fields, its header has "
                    f"{len(header)}."
                )
            if row:
                rows.append(row)
    except csv.Error as error:
        raise DataError(f"Line {reader.line_num} of {name} is no CSV: {error}.") from error
    finally:
        csv.field_size_limit(limit)
    return {column: [row[index] for row in rows] for index, column in enumerate(header)}


def _read_json(text: str, name: str) -> dict[str, list[Any]]:
    rows: list[dict[str, Any]] = []
    for where, row in _json_values(text, name):
        if not isinstance(row, dict):
            raise DataError(f"{where} of {name} is no JSON object but {row!r:.50}.")
        rows.append(row)
    columns = dict.fromkeys(column for row in rows for column in row)
    return {column: [row.get(column) for row in rows] for column in columns}


def _json_values(text: str, name: str) -> Iterator[tuple[str, Any]]:
    """Yield every row with its place, from an array or, as many .json files are, from lines."""
    if text.lstrip().startswith("["):
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"Line {error.lineno} of {name} is no JSON: {error.msg}.") from error
        yield from ((f"Item {number}", value) for number, value in enumerate(values, start=1))
        return
    # not splitlines(), which also splits at the line separators that JSON strings may hold
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield f"Line {number}", json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"Line {number} of {name} is no JSON: {error.msg}.") from error


def _is_text(values: Sequence[Any]) -> bool:
    """Tell texts from numbers, which a CSV file writes alike."""
    present = [value for value in values if value is not None]
    return (
        bool(present)
        and all(isinstance(value, str) for value in present)
        and not all(is_number(value) for value in present)
    )


def is_number(text: str) -> bool:
    """Tell whether a text is blank or can be read as a number."""
    if not text.strip():
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True
