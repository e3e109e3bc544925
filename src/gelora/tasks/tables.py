"""Read the user's rows as columns, from files, saved data sets and the Hub.

Text files are read in memory and nothing is cached. What the columns mean is decided elsewhere.
Importing this loads neither torch nor `datasets`.
"""

import hashlib
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gelora.errors import DataError
from gelora.tasks.text_files import read_csv, read_json

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

FILE_KINDS = (".csv", ".tsv", ".tab", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow")
"""Endings of the files that are read; the text files may be packed as .gz or .zst."""

_TABS = (".tsv", ".tab")
_PACKED = {".gz": "gzip", ".zst": "zstd"}
BINARY = (".parquet", ".arrow")
_SAVED = ("dataset_dict.json", "state.json")  # what `save_to_disk` leaves in its folder
_COMMIT = re.compile(r"\b[0-9a-f]{40}\b")
_VALIDATION_SPLITS = ("validation", "valid", "val", "dev", "test")
"""Splits of a saved data set to validate on, in order of preference."""
_WHOLE = ""
"""Name of the only part of a saved data set that has no splits."""


@dataclass(frozen=True)
class Table:
    """Rows as columns, and where they came from.

    Attributes:
        source: The file's name or the Hub split, for messages.
        columns: The values of every column, all of the same length.
        string_columns: The columns that hold texts, for guessing which to use.
        provenance: JSON-able; file names without folders, so that no machine's paths are kept.
        class_names: The names of the classes, for columns whose file format records them.
        splits: The names of all splits of the data set, none for a file.
    """

    source: str
    columns: Mapping[str, Sequence[Any]]
    string_columns: tuple[str, ...]
    provenance: Mapping[str, Any]
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    splits: tuple[str, ...] = ()

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values()), ()))

    def values(self, name: str) -> Sequence[Any] | None:
        """Return a column, or a nested field by its dotted name; None if there is none.

        A row that lacks the field has None.

        >>> table = Table("a.json", {"meta": [{"label": 1}, {}]}, (), {})
        >>> table.values("meta.label"), table.values("meta.text")
        ([1, None], None)
        """
        if name in self.columns:
            return self.columns[name]
        outer, dot, inner = name.partition(".")
        while dot and outer not in self.columns:
            more, dot, inner = inner.partition(".")
            outer = f"{outer}.{more}"
        if not dot:
            return None
        nested = [_nested(value, inner) for value in self.columns[outer]]
        return None if all(value is None for value in nested) else nested


@dataclass(frozen=True)
class Tables:
    """A task's rows as they were read.

    Attributes:
        name: Name of the task, the data set or the file.
        train: Rows to train on; None where only a validation file is named.
        validation: Rows to validate on; None where training rows are to be held out.
        more_validation: Further tables to validate on, by the ending of their metrics' names.
    """

    name: str
    train: Table | None
    validation: Table | None
    more_validation: Mapping[str, Table] = field(default_factory=dict[str, Table])

    @property
    def first(self) -> Table:
        """The table whose columns decide: the training table, if there is one.

        Raises:
            DataError: There is no table at all.
        """
        table = self.train or self.validation
        if table is None:
            raise DataError(f"{self.name} has neither training nor validation rows.")
        return table


def read_file(path: str | Path) -> Table:
    """Read a local file; its kind is told by its name.

    Raises:
        DataError: The file is missing, of an unknown kind, not UTF-8, damaged, without rows, or
            a line of it cannot be read.
    """
    path = Path(path)
    packing = path.suffix if path.suffix in _PACKED else ""
    kind = (path.with_suffix("").suffix if packing else path.suffix).lower()
    if kind not in FILE_KINDS or (packing and kind in BINARY):
        raise DataError(
            f"{path} must end in {', '.join(FILE_KINDS)}; text files may be packed as "
            f"{' or '.join(_PACKED)}. A folder must be one that save_to_disk wrote."
        )
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    provenance = {"file": path.name, "sha256": hashlib.sha256(raw).hexdigest()}
    if kind in BINARY:
        return _of_dataset(_read_arrow(path, kind), source=path.name, provenance=provenance)
    text = _decode(_unpacked(raw, path, packing) if packing else raw, path)
    if kind in _TABS:
        columns = read_csv(text, path.name, separators=("\t",))
    elif kind == ".csv":
        columns = read_csv(text, path.name)
    else:
        columns = read_json(text, path.name)
    if not any(columns.values()):
        raise DataError(f"{path.name} holds no rows.")
    return Table(
        source=path.name,
        columns=columns,
        string_columns=tuple(name for name, values in columns.items() if _is_text(values)),
        provenance=provenance,
    )


def is_saved(path: str | Path) -> bool:
    """Say whether a path is the folder of a data set that `save_to_disk` wrote."""
    return any((Path(path) / name).is_file() for name in _SAVED)


def read_saved(path: str | Path, split: str | None = None) -> tuple[Table, Table | None]:
    """Read the folder of a data set that `save_to_disk` wrote.

    Args:
        path: The folder.
        split: Of a `DatasetDict`, the split to read first; None for `train`.

    Returns:
        The split, and the split to validate on, if the folder has one: validation, valid, val, dev
        or test, whichever comes first.

    Raises:
        DataError: The folder cannot be read, or has no such split.
    """
    splits, source = _saved_splits(path), Path(path).name
    if _WHOLE in splits:
        if split not in (None, "train"):
            raise DataError(f"{source} is one data set without splits; it has no split {split!r}.")
        return _saved_table(source, splits, _WHOLE), None
    name = split or "train"
    if name not in splits:
        raise DataError(f"{source} has no split {name!r}; it has {', '.join(map(repr, splits))}.")
    validation = next((s for s in _VALIDATION_SPLITS if s in splits and s != name), None)
    return (
        _saved_table(source, splits, name),
        None if validation is None else _saved_table(source, splits, validation),
    )


def read_saved_validation(path: str | Path) -> Table:
    """Read the rows to validate on from the folder of a data set that `save_to_disk` wrote.

    Raises:
        DataError: The folder cannot be read, or has several splits and none to validate on.
    """
    splits, source = _saved_splits(path), Path(path).name
    name = next((name for name in (_WHOLE, *_VALIDATION_SPLITS) if name in splits), None)
    if name is None:
        example = Path(path) / next(iter(splits))
        raise DataError(
            f"{source} has none of the splits {', '.join(_VALIDATION_SPLITS)} to validate on; it "
            f"has {', '.join(splits)}: name the folder of one, as {example}."
        )
    if name != _WHOLE:
        logger.info("%s [%s] is validated on.", source, name)
    return _saved_table(source, splits, name)


def _saved_splits(path: str | Path) -> "dict[str, Dataset]":
    import datasets  # noqa: PLC0415 - slow to import, and most files do without

    try:
        saved = datasets.load_from_disk(str(path))
    except Exception as error:  # pyarrow, json and OS errors alike
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if isinstance(saved, datasets.Dataset):
        return {_WHOLE: saved}
    return {str(name): rows for name, rows in saved.items()}


def _saved_table(source: str, splits: "Mapping[str, Dataset]", name: str) -> Table:
    if name == _WHOLE:
        return _of_dataset(splits[name], source=source, provenance={"folder": source})
    provenance = {"folder": source, "split": name}
    return _of_dataset(splits[name], source=f"{source} [{name}]", provenance=provenance)


def read_split(dataset_name: str, config: str | None, split: str) -> Table:
    """Read one split of a data set from the Hub, its cache, or a local folder.

    Raises:
        DataError: The data set, its config or the split cannot be loaded.
    """
    import datasets  # noqa: PLC0415 - slow to import, and files do without

    source = f"{dataset_name}/{config} [{split}]" if config else f"{dataset_name} [{split}]"
    if is_saved(dataset_name):
        return read_saved(dataset_name, split)[0]
    try:
        rows = datasets.load_dataset(dataset_name, config, split=split)
    except Exception as error:  # datasets raises many kinds for a name, a config, a split, a file
        is_offline = isinstance(error, ConnectionError) and os.environ.get("HF_HUB_OFFLINE")
        offline = " (HF_HUB_OFFLINE is set)" if is_offline else ""
        reason = " ".join(str(error).split())  # for an unknown split, it lists those there are
        raise DataError(f"{source} cannot be loaded{offline}: {reason}") from error
    if not isinstance(rows, datasets.Dataset):
        raise DataError(f"{source} is a {type(rows).__name__}, not one split of rows.")
    commits = [_COMMIT.search(file["filename"]) for file in rows.cache_files]
    provenance = {
        "dataset": dataset_name,
        "config": config,
        "split": split,
        "revision": next((commit.group() for commit in commits if commit), None),
    }
    return _of_dataset(rows, source=source, provenance=provenance)


def is_number(text: str) -> bool:
    """Tell whether a text is blank or can be read as a number."""
    if not text.strip():
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def _of_dataset(rows: "Dataset", *, source: str, provenance: Mapping[str, Any]) -> Table:
    import datasets  # noqa: PLC0415 - its caller has imported it

    if not len(rows):
        raise DataError(f"{source} holds no rows.")
    features = rows.features
    return Table(
        source=source,
        columns={name: list(rows[name]) for name in rows.column_names},
        string_columns=tuple(
            name
            for name, feature in features.items()
            if isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string")
        ),
        provenance=provenance,
        class_names={
            name: tuple(feature.names)
            for name, feature in features.items()
            if isinstance(feature, datasets.ClassLabel)
        },
        splits=tuple(rows.info.splits or ()),
    )


def _read_arrow(path: Path, kind: str) -> "Dataset":
    """Read a binary file without a cache."""
    import datasets  # noqa: PLC0415 - slow to import, and most files do without
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        if kind == ".parquet":
            table = pq.read_table(path)
        else:
            try:
                table = pa.ipc.open_stream(path).read_all()
            except pa.ArrowInvalid:
                table = pa.ipc.open_file(path).read_all()
        return datasets.Dataset(table)
    except (pa.ArrowException, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path.name} is no complete {kind} file: {reason}") from error


def _unpacked(raw: bytes, path: Path, packing: str) -> bytes:
    import pyarrow as pa  # noqa: PLC0415 - slow to import, and most files are not packed

    codec = _PACKED[packing]
    try:
        return pa.input_stream(pa.py_buffer(raw), compression=codec).read()
    except OSError as error:
        raise DataError(f"{path.name} is no complete {codec} file: {error}.") from error


def _decode(raw: bytes, path: Path) -> str:
    try:
        return raw.decode("utf-8-sig")  # Excel starts its files with a byte-order mark
    except UnicodeDecodeError as error:
        byte = f"0x{error.object[error.start]:02x}"
        raise DataError(
            f"{path.name} is not UTF-8 (byte {error.start} is {byte}): save it as UTF-8."
        ) from error


def _nested(value: Any, name: str) -> Any:
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _is_text(values: Sequence[Any]) -> bool:
    """Tell texts from numbers, which a CSV file writes alike."""
    present = [value for value in values if value is not None]
    return (
        bool(present)
        and all(isinstance(value, str) for value in present)
        and not all(is_number(value) for value in present)
    )
