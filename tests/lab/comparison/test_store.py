"""The folder of a comparison: who may write in it, and what a crash leaves there."""

import shutil

import pytest

from gelora.artifacts import ENVIRONMENT_FILE, read_json
from gelora.errors import OutputExistsError
from gelora.lab.comparison.lines import append_line, read_lines
from gelora.lab.comparison.results import Predictions
from gelora.lab.comparison.store import Store


def test_one_process_writes_at_a_time(tmp_path):
    with (
        Store(tmp_path),
        pytest.raises(OutputExistsError, match=f"Another gelora writes in {tmp_path}"),
    ):
        Store(tmp_path)
    with Store(tmp_path):
        pass  # it is free again


def test_what_it_was_made_with_is_said_by_who_writes(tmp_path, monkeypatch):
    path = tmp_path / ENVIRONMENT_FILE
    with Store(tmp_path):
        before = read_json(path, kind="environment")
        monkeypatch.setattr("sys.argv", ["script.py", "another"])
        with pytest.raises(OutputExistsError):
            Store(tmp_path)
        assert read_json(path, kind="environment") == before
    with Store(tmp_path):
        assert read_json(path, kind="environment")["command"] == ["python", "script.py", "another"]


def test_predictions_whose_row_a_crash_kept_from_coming_are_dropped(two_budgets, tmp_path):
    folder, results, _ = two_budgets
    copy = shutil.copytree(folder, tmp_path / "copy")
    path = copy / "predictions.jsonl"
    before = path.read_bytes()
    append_line(path, Predictions("no such row", {"label": [0, 1]}))
    with Store(copy):
        assert path.read_bytes() == before
    assert {one.hash for one in read_lines(path, Predictions)} == {row.hash for row in results.rows}


def test_what_was_measured_is_measured_no_more(two_budgets):
    folder, results, specs = two_budgets
    with Store(folder) as store:
        (selection,) = store.selections().values()
    planned = next(spec for spec in specs if spec.method == "gelora")
    assert selection == planned.selection
    row = next(row for row in results.rows if row.method == "gelora")
    assert row.selection_seconds == selection.seconds
    assert row.forward_tokens == selection.profile.forward_tokens
