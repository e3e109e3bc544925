"""The folder of a comparison while one process writes it."""

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
    RunResult,
    Trial,
)
from gelora.lab.comparison.selection import read_selections, save_selection
from gelora.lab.comparison.settings import RunSpec, Selection, TaskSettings
from gelora.locks import hold_folder

PROFILES_FOLDER = "profiles"


class Store:
    """Reads the lines of a comparison and appends to them; `with` locks the folder.

    A run is done when its row is written, after its predictions. Predictions without a row, which
    a crash between the two leaves, are dropped. The folder's command and machine are those of the
    process that opened it last.

    Args:
        folder: Of the comparison; made if it is not there.
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
        self._rows = {row.key: row for row in read_lines(folder / RESULTS_FILE, RunResult)}
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

    def has(self, spec: RunSpec) -> bool:
        """Say whether the line of a spec is there."""
        return spec.key in (self._trials if spec.is_trial else self._rows)

    def alike(self, spec: RunSpec) -> RunResult | Trial | None:
        """Return the line of a run of the same hash, for another budget or task name."""
        records = self._trials if spec.is_trial else self._rows
        return next((record for record in records.values() if record.hash == spec.hash), None)

    def trial(self, spec: RunSpec) -> Trial | None:
        """Return the line of a trial, if it is done."""
        return self._trials.get(spec.key)

    def keep(self, record: RunResult | Trial) -> None:
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
        self, settings: Mapping[str, Any], *, rows: Sequence[RunSpec], trials: Sequence[RunSpec]
    ) -> None:
        """Write what this call asks for."""
        request = {
            "settings": dict(settings),
            "rows": [spec.key for spec in rows],
            "trials": [spec.key for spec in trials],
        }
        write_json(self.folder / COMPARISON_FILE, request, kind="comparison")

    def _drop_predictions_without_rows(self) -> None:
        path = self.folder / PREDICTIONS_FILE
        written = read_lines(path, Predictions)
        done = {row.hash for row in self._rows.values()}
        kept = [predictions for predictions in written if predictions.hash in done]
        if len(kept) < len(written):
            write_text(path, "".join(map(as_line, kept)))
