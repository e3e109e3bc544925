"""Comparisons in this process alone, where no test is about processes."""

import pytest
from transformers.utils.logging import disable_progress_bar

from gelora.lab.comparison import checks, compare, grid
from gelora.lab.comparison.engines import attempt
from gelora.lab.comparison.settings import RunSpec
from tiny_comparison import TWO_BUDGETS, tiny_settings


@pytest.fixture(scope="session")
def settings(tmp_path_factory):
    """Name a tiny model and a tiny task."""
    disable_progress_bar()
    return tiny_settings(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def ran(monkeypatch):
    """Run all here, and return the list that every spec joins when it is run."""
    return run_here(monkeypatch)


@pytest.fixture
def one_method(monkeypatch):
    """Leave one method of those that are always there, and return the least to compare with it."""
    monkeypatch.setattr(checks, "ALWAYS", ("lora-r1",))
    return {"methods": [], "budgets": ["r=1"], "seeds": [0]}


@pytest.fixture(scope="session")
def two_budgets(settings, tmp_path_factory):
    """Return a comparison's folder, its results and the specs that were run."""
    folder = tmp_path_factory.mktemp("two_budgets")
    with pytest.MonkeyPatch.context() as patch:
        specs = run_here(patch)
        return folder, compare([settings], folder, **TWO_BUDGETS), specs


def run_here(patch: pytest.MonkeyPatch) -> list[RunSpec]:
    specs: list[RunSpec] = []

    def run(function, items):
        for item in items:
            if isinstance(item, RunSpec):
                specs.append(item)
            yield item, attempt(function, item, threads=1)

    patch.setattr(grid, "_engine", lambda name, processes: run)
    return specs
