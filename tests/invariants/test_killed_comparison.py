"""A comparison that is killed, at any moment, and started again ends as one left alone."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gelora.lab.comparison import compare
from gelora.lab.comparison.results import Results, read_results
from tiny_comparison import KILLED, tiny_settings

SCRIPT = Path(__file__).with_name("killed_comparison.py")
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(SCRIPT.parents[1]), os.environ.get("PYTHONPATH", "")]),
}


@pytest.mark.slow
def test_killed_while_it_writes(tmp_path):
    command = [sys.executable, str(SCRIPT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    *killed, ending = map(int, done.stdout.split())
    assert set(killed) == {-signal.SIGKILL}
    assert len(killed) >= 5
    assert ending == 0
    check_as_left_alone(tmp_path)


@pytest.mark.slow
def test_killed_while_others_run(tmp_path):
    """Kill the command from outside, at whatever it is at, and then let it end."""
    tiny_settings(tmp_path, steps=2)
    task = tmp_path / "tiny.yaml"
    task.write_text(
        f"model_name_or_path: {tmp_path / 'model'}\ntrain_file: {tmp_path / 'train.jsonl'}\n"
        f"validation_file: {tmp_path / 'validation.jsonl'}\nmax_length: 32\nmax_steps: 2\n"
        "per_device_train_batch_size: 8\nseed: 3\n"
    )
    command = [
        *(sys.executable, "-m", "gelora", "compare", "--tasks", str(task), "--methods", "lora"),
        *("--budget", "r=1", "--seeds", "0", "1", "--processes", "2"),
        *("--output_dir", str(tmp_path / "out")),
    ]
    results = tmp_path / "out" / "results.jsonl"
    for wanted in (1, 3):
        process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
        while process.poll() is None and _num_lines(results) < wanted:
            time.sleep(0.05)
        process.kill()
        process.wait()
    subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True)
    found = read_results(tmp_path / "out")
    assert len(found.rows) == 8
    check_lines(tmp_path / "out", found)


def check_as_left_alone(folder: Path) -> None:
    settings = tiny_settings(folder, steps=2)
    left_alone = compare([settings], folder / "alone", **KILLED)
    found = read_results(folder / "out")
    assert _without_times(found) == _without_times(left_alone)
    check_lines(folder / "out", found)


def check_lines(folder: Path, found: Results) -> None:
    """Check that the files hold each line once, and no other."""
    for name, records in (
        ("results.jsonl", [(row.hash, row.budget) for row in found.rows]),
        ("trials.jsonl", [(trial.hash, trial.budget) for trial in found.trials]),
        ("predictions.jsonl", [(one, None) for one in found.predictions]),
    ):
        path = folder / name
        text = path.read_text() if path.exists() else ""
        lines = [json.loads(line) for line in text.splitlines()]
        keys = [(line["hash"], line.get("budget")) for line in lines]
        assert sorted(keys) == sorted(records)
    assert {row.hash for row in found.rows} == set(found.predictions)


def _num_lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def _without_times(results: Results):
    timeless = {
        "selection_seconds": 0,
        "training_seconds": 0,
        "steps_per_second": 0,
        "peak_memory_bytes": 0,
    }
    return (
        [replace(row, **timeless) for row in results.rows],
        [replace(trial, seconds=0) for trial in results.trials],
        results.predictions,
        results.references,
    )
