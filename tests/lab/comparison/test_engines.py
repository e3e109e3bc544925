"""Every item in a process of its own: one that fails or dies is its own outcome alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gelora.lab.comparison.engines import Failed, _see_one_gpu, attempt, run_locally
from tiny_jobs import fail_on_odd, overlap, process_of, stay_or_return

TESTS = Path(__file__).parents[2]


def test_each_item_has_a_process_of_its_own():
    outcomes = dict(run_locally(process_of, range(4), processes=2))
    assert {item: outcome[0] for item, outcome in outcomes.items()} == {n: n for n in range(4)}
    processes = {outcome[1] for outcome in outcomes.values()}
    assert len(processes - {os.getpid()}) == 4


def test_what_fails_or_dies_keeps_no_other_from_its_end():
    outcomes = dict(run_locally(fail_on_odd, range(7), processes=3))
    assert {item: outcomes[item] for item in (0, 2, 4, 6)} == {0: 0, 2: 4, 4: 8, 6: 12}
    assert outcomes[1] == Failed("ConfigError: one is not taken")
    assert outcomes[3].error == "ZeroDivisionError: three"
    assert "fail_on_odd" in outcomes[3].traceback
    assert outcomes[5].error == (
        "The process was killed by signal 9; memory may have run out: try fewer --processes."
    )


def test_no_more_run_at_a_time_than_asked_for(tmp_path):
    items = [str(tmp_path)] * 5
    counts = [outcome for _, outcome in run_locally(overlap, items, processes=2)]
    assert len(counts) == 5
    assert max(counts) <= 2


def test_leaving_ends_what_runs(tmp_path):
    path = tmp_path / "pid"
    outcomes = run_locally(stay_or_return, [None, str(path)], processes=2)
    assert next(outcomes) == (None, None)
    process = _wait_for(path)
    outcomes.close()
    assert _is_gone(process)


@pytest.mark.slow
def test_processes_end_with_a_killed_parent(tmp_path):
    path = tmp_path / "pid"
    code = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r}); from tiny_jobs import stay; "
        "from gelora.lab.comparison.engines import run_locally; "
        f"list(run_locally(stay, [{str(path)!r}], processes=1))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    process = _wait_for(path)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert _is_gone(process)


def test_what_a_run_prints_or_warns_of_goes_nowhere(capfd):
    def talk(item):
        sys.stdout.write(item)
        sys.stderr.write(item)
        return item

    assert attempt(talk, "hello", threads=1) == "hello"
    assert capfd.readouterr() == ("", "")


def _wait_for(path: Path) -> int:
    while not (path.exists() and path.read_text()):
        time.sleep(0.05)
    return int(path.read_text())


def _is_gone(process: int) -> bool:
    for _ in range(600):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("named", "slots", "seen"),
    [(None, range(4), ["0", "1", "2", "0"]), ("5,7,9", range(3), ["5", "7", "9"])],
)
def test_every_process_sees_one_gpu(named, slots, seen, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    found = []
    for slot in slots:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if named is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        _see_one_gpu(slot)
        found.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert found == seen
