"""A local Ray cluster of two workers: what is killed is done again, what fails is not."""

import builtins
import os
import sys
from pathlib import Path

import pytest

from gelora.errors import MissingExtraError
from gelora.lab.comparison import compare
from gelora.lab.comparison.engines import Failed, run_on_ray
from tiny_jobs import die_at_first, fail_on_odd
from tiny_ray import kill_a_run

TESTS = Path(__file__).parents[2]


@pytest.fixture
def workers_find_tests(monkeypatch):
    """Let the workers, which Ray starts with this environment, import what these tests do."""
    paths = [str(TESTS), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_killed_worker_is_replaced_and_an_error_is_told(workers_find_tests, tmp_path):
    path = tmp_path / "first"
    ((item, process),) = run_on_ray(die_at_first, [str(path)], processes=2)
    assert item == str(path)
    assert process not in (int(path.read_text()), os.getpid())

    outcomes = dict(run_on_ray(fail_on_odd, [0, 1, 2], processes=2))
    assert outcomes == {0: 0, 1: Failed("ConfigError: one is not taken"), 2: 4}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_comparison_whose_worker_is_killed_is_whole(workers_find_tests, settings, tmp_path):
    options = {"methods": [], "budgets": ["r=1"], "seeds": [0, 1], "processes": 2}
    with kill_a_run(tmp_path) as killed:
        found = compare([settings], tmp_path / "ray", engine="ray", **options)
    assert killed.processes
    alone = compare([settings], tmp_path / "local", engine="local", **options)
    assert not found.failures
    assert [row.key for row in found.rows] == [row.key for row in alone.rows]
    assert found.predictions == alone.predictions


def test_without_ray_it_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def no_ray(name, *args, **kwargs):
        if name == "ray":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_ray)
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'gelora\[ray\]'"):
        list(run_on_ray(fail_on_odd, [0], processes=1))
