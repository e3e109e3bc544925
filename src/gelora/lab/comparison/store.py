"""The folder of a comparison while it is written, by one process at a time."""

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gelora.artifacts import ENVIRONMENT_FILE, write_json, write_text
from gelora.environment import describe_environment
from gelora.hidden_states.devices import default_device, device_name
from gelora.lab.comparison.engines import Failed
from gelora.lab.comparison.lines import append_line, as_line, read_lines
from gelora.lab.comparison.results import (
    COMPARISON_FILE,
    FAILURES_FILE,
    LABELS_FILE,
    PREDICTIONS_FILE,
    RESULTS_FILE,
    TRIALS_FILE,
    Failure,
    Predictions,
    Reference,
    Row,
    Trial,
)
from gelora.lab.comparison.selection import read_selections, save_selection
from gelora.lab.comparison.settings import Cell, Selection, TaskSettings
from gelora.locks import hold_folder

PROFILES_FOLDER = "profiles"


class Store:
    """Knows what is there, and appends to it; `with` holds the folder for this process.

    A run's predictions are written before its row, which makes it done. Predictions without a row
    are what a crash left between the two, and are dropped. What the folder says of command and
    machine is of who opened it last.

    Args:
        folder: Of the comparison, made if it is not there.
        overwrite: Whether to remove what an earlier comparison left in it.

    Raises:
        OutputExistsError: Another process holds the folder.
        ArtifactError: A file in it cannot be read.
    """

    def __init__(self, folder: Path, *, overwrite: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._held = contextlib.ExitStack()
        self._held.enter_context(hold_folder(folder))
        if overwrite:
            for name in (COMPARISON_FILE, RESULTS_FILE, PREDICTIONS_FILE, TRIALS_FILE):
                (folder / name).unlink(missing_ok=True)
            shutil.rmtree(folder / PROFILES_FOLDER, ignore_errors=True)
        self._rows = {row.key: row for row in read_lines(folder / RESULTS_FILE, Row)}
        self._trials = {trial.key: trial for trial in read_lines(folder / TRIALS_FILE, Trial)}
        self._drop_predictions_without_rows()
        (folder / FAILURES_FILE).unlink(missing_ok=True)  # all of these are tried again
        environment = describe_environment(device=device_name(default_device()))
        write_json(folder / ENVIRONMENT_FILE, environment, kind="environment")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._held.close()

    @property
    def num_lines(self) -> int:
        """Lines of runs and trials that are there, whatever settings and code they are of."""
        return len(self._rows) + len(self._trials)

    def has(self, cell: Cell) -> bool:
        """Say whether the line of a cell is there."""
        return cell.key in (self._trials if cell.is_trial else self._rows)

    def alike(self, cell: Cell) -> Row | Trial | None:
        """Return what the same run left elsewhere: for another budget, or under another name."""
        records = self._trials if cell.is_trial else self._rows
        return next((one for one in records.values() if one.hash == cell.hash), None)

    def trial(self, cell: Cell) -> Trial | None:
        """Return what a trial left."""
        return self._trials.get(cell.key)

    def keep(self, record: Row | Trial) -> None:
        """Append the line of a run or a trial."""
        if isinstance(record, Trial):
            append_line(self.folder / TRIALS_FILE, record)
            self._trials[record.key] = record
        else:
            append_line(self.folder / RESULTS_FILE, record)
            self._rows[record.key] = record

    def keep_predictions(self, predictions: Predictions) -> None:
        """Append the predictions of a run; its row comes next."""
        append_line(self.folder / PREDICTIONS_FILE, predictions)

    def fail(self, stage: str, task: TaskSettings, failed: Failed, **where: Any) -> None:
        """Append a failure."""
        nowhere = {"method": "", "budget": "", "seed": None, "learning_rate": None}
        append_line(
            self.folder / FAILURES_FILE,
            Failure(
                stage=stage,
                task=task.name,
                varied=dict(task.varied),
                error=failed.error,
                traceback=failed.traceback,
                **{**nowhere, **where},
            ),
        )

    def selections(self) -> dict[str, Selection]:
        """Return the selections of earlier calls, by key."""
        return read_selections(self.folder / PROFILES_FOLDER)

    def keep_selection(self, selection: Selection) -> None:
        """Keep a profile, with what it took."""
        save_selection(self.folder / PROFILES_FOLDER, selection)

    def keep_references(self, references: Mapping[str, Reference]) -> None:
        """Write what the tasks' predictions are scored by."""
        tasks = {name: asdict(reference) for name, reference in references.items()}
        write_json(self.folder / LABELS_FILE, {"tasks": tasks}, kind="labels")

    def keep_asked(
        self, settings: Mapping[str, Any], *, rows: Sequence[Cell], trials: Sequence[Cell]
    ) -> None:
        """Write what this call asks for."""
        asked = {
            "settings": dict(settings),
            "rows": [cell.key for cell in rows],
            "trials": [cell.key for cell in trials],
        }
        write_json(self.folder / COMPARISON_FILE, asked, kind="comparison")

    def _drop_predictions_without_rows(self) -> None:
        path = self.folder / PREDICTIONS_FILE
        found = read_lines(path, Predictions)
        done = {row.hash for row in self._rows.values()}
        kept = [one for one in found if one.hash in done]
        if len(kept) < len(found):
            write_text(path, "".join(map(as_line, kept)))
