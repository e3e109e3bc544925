"""Pooled states of all layers, row by row: in main memory, or in files that stay.

A kept store is a folder with one matrix (samples, width) in float32 for every layer, as .npy, and
hidden_states.json, which says what was measured and how: all that a profile needs beside the
estimates. Until the last row is written it bears another name.
"""

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Float
from numpy.lib.format import open_memmap
from torch import Tensor
from torch.distributed import ProcessGroup

from gelora.artifacts import Artifact, read_json
from gelora.dimension.profile import BlockModule, LeftOut, StopReason
from gelora.errors import ArtifactError, ConfigError, OutputExistsError
from gelora.hidden_states.processes import (
    exchange_rows,
    from_main,
    machines_of,
    rank_in,
    wait_for_all,
)
from gelora.settings import MeasurementSettings

STATES_FOLDER = "hidden_states"
"""The store's name in the folder of a run."""

Matrix = Float[np.ndarray, "samples _"]


@dataclass(frozen=True)
class HiddenStatesRecord(Artifact):
    """What was measured, and how: what a profile says beside the estimates.

    Attributes:
        settings: How the states were read, with the pooling that was used.
        num_rows: Texts that passed the model: the rows of every matrix.
        num_copies: Texts that did not, being copies of others. The other fields are those of
            `DimensionProfile`.
    """

    FILE: ClassVar[str] = "hidden_states.json"
    KIND: ClassVar[str] = "hidden_states"

    layers: tuple[str, ...]
    blocks: tuple[str, ...]
    modules: tuple[BlockModule, ...]
    fingerprint: Mapping[str, Any]
    settings: MeasurementSettings
    seed: int
    stopped_by: StopReason
    num_texts: int
    num_copies: int
    num_rows: int
    forward_tokens: int
    left_out: tuple[LeftOut, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


class HiddenStatesStore:
    """Room for the states of every text at every layer, filled as texts pass the model.

    In main memory it takes texts x width x layers x 4 bytes, and more only as it is filled; in
    files the same on disk, at once. Several processes fill one store: in memory each ends with all
    rows; on disk they share the files, as only processes of one machine can.

    Used as a context: what is not kept is gone at the end, whatever happens.
    """

    def __init__(
        self,
        num_texts: int,
        *,
        folder: str | Path | None,
        overwrite: bool = False,
        group: ProcessGroup | None = None,
    ) -> None:
        """Take a place, and no room yet.

        Args:
            num_texts: Rows at most.
            folder: Where to keep the states, or None for main memory.
            overwrite: Whether a store there is replaced, once the new one is complete.
            group: All processes that fill it.

        Raises:
            ConfigError: Processes on several machines are to fill files.
            OutputExistsError: The folder is there already, or is no store to overwrite.
        """
        self._num_texts = num_texts
        self._folder = None if folder is None else Path(folder)
        self._group = group
        self._matrices: list[Matrix] = []
        if self._folder is None:
            return
        if self._folder.exists() and not (overwrite and _is_store(self._folder)):
            raise OutputExistsError(
                f"{self._folder} {'holds no states' if overwrite else 'exists'}, and hidden states"
                " are to be kept there: remove it, or name another folder."
            )
        machines = machines_of(group)
        if len(machines) > 1:  # what one writes to a mapped file, another may never see
            raise ConfigError(
                f"Hidden states cannot be kept by processes on {len(machines)} machines"
                f" ({', '.join(machines)}): measure on one, or do not keep them."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._matrices = []
        if self._folder is not None and rank_in(self._group) == 0:
            shutil.rmtree(_unfinished(self._folder), ignore_errors=True)

    def write(self, rows: Sequence[int], states: Sequence[Float[Tensor, "rows _"]]) -> None:
        """Put the states of some texts, one tensor per layer, into their rows."""
        if not self._matrices:
            self._allocate([layer.shape[1] for layer in states])
        for matrix, layer in zip(self._matrices, states, strict=True):
            matrix[rows] = layer.numpy()

    def exchange(self, rows_of: Sequence[Sequence[int]]) -> None:
        """Give every process what the others wrote: for each of them, the rows it wrote."""
        if not self._matrices:
            self._allocate([])  # there are fewer batches than processes
        if self._group is not None and self._folder is None:
            exchange_rows(self._matrices, rows_of, self._group)
        wait_for_all(self._group)

    def first(self, num_rows: int) -> list[Matrix]:
        """Return the first rows of every layer, not copied."""
        return [matrix[:num_rows] for matrix in self._matrices]

    def keep(self, record: HiddenStatesRecord) -> None:
        """Cut files to the rows that the record counts, and give the folder its name."""
        if self._folder is None:
            return
        num_layers = len(self._matrices)
        self._matrices = []  # closes the files
        wait_for_all(self._group)
        if rank_in(self._group) == 0:
            unfinished = _unfinished(self._folder)
            for layer in range(num_layers):
                _cut(_matrix_path(unfinished, layer), record.num_rows)
            record.save_pretrained(unfinished)
            remove_states(self._folder)
            unfinished.rename(self._folder)
        wait_for_all(self._group)

    def _allocate(self, widths: Sequence[int]) -> None:
        """Make room for every layer, as wide as the main process says: it has seen states."""
        shapes = [(self._num_texts, width) for width in from_main(widths, self._group)]
        if self._folder is None:
            self._matrices = [np.empty(shape, dtype=np.float32) for shape in shapes]
            return
        unfinished = _unfinished(self._folder)
        paths = [_matrix_path(unfinished, layer) for layer in range(len(shapes))]
        if rank_in(self._group) == 0:
            shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
            unfinished.mkdir(parents=True)
            for path, shape in zip(paths, shapes, strict=True):
                open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
                self._claim_room(path)
        wait_for_all(self._group)
        self._matrices = [open_memmap(path, mode="r+") for path in paths]

    def _claim_room(self, path: Path) -> None:
        """Take the file's room on disk: without it, a write to a mapped file kills the process."""
        if not hasattr(os, "posix_fallocate"):
            return
        size = path.stat().st_size
        try:
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # not every file system can
                raise OSError(
                    error.errno,
                    f"{self._folder} has no room for {size:,} bytes more, the states of"
                    f" {self._num_texts} texts at one layer ({error.strerror}): make room, or"
                    " measure fewer texts",
                ) from error


def open_states(folder: str | Path) -> tuple[HiddenStatesRecord, list[Matrix]]:
    """Open states that were kept: their record, and one matrix in a file for every layer.

    Args:
        folder: The store, or the folder of the run that holds it.

    Raises:
        ArtifactError: There is no complete store.
    """
    folder = store_in(folder)
    payload = read_json(folder / HiddenStatesRecord.FILE, kind=HiddenStatesRecord.KIND)
    record = HiddenStatesRecord.from_dict(payload)
    return record, [_open(folder, i, record.num_rows) for i in range(len(record.layers))]


def store_in(folder: str | Path) -> Path:
    """Return the store that a folder is, or that the folder of a run holds.

    Raises:
        ArtifactError: There is none.
    """
    for place in (Path(folder), Path(folder) / STATES_FOLDER):
        if _is_store(place):
            return place
    raise ArtifactError(
        f"{folder} holds no hidden states: keep them when you measure, by --keep_hidden_states or"
        " keep_hidden_states=FOLDER."
    )


def remove_states(folder: Path) -> None:
    """Remove a store that was kept, if the folder is one."""
    if _is_store(folder):
        shutil.rmtree(folder)


def _is_store(folder: Path) -> bool:
    return (folder / HiddenStatesRecord.FILE).is_file()


def _open(folder: Path, layer: int, num_rows: int) -> Matrix:
    path = _matrix_path(folder, layer)
    try:
        # Nothing is written to the file; "r" gives arrays that torch warns of.
        matrix = open_memmap(path, mode="c")
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}): measure again.") from error
    if matrix.ndim != 2 or len(matrix) != num_rows or matrix.dtype != np.float32:
        raise ArtifactError(
            f"{path} holds {matrix.dtype} of shape {matrix.shape}, not float32 of {num_rows} rows,"
            " as its record says: measure again."
        )
    return matrix


def _cut(path: Path, num_rows: int) -> None:
    """Shorten a .npy file to its first rows; its header has room for any number of them."""
    with path.open("r+b") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        header = {"shape": (num_rows, *shape[1:]), "fortran_order": False, "descr": dtype.str}
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + num_rows * shape[1] * dtype.itemsize)


def _matrix_path(folder: Path, layer: int) -> Path:
    return folder / f"layer_{layer:03}.npy"


def _unfinished(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.unfinished")
