"""The settings of the experiments are taken as gelora takes them."""

import re
import shlex
from pathlib import Path

import pytest

from gelora.cli.checks import check_flags
from gelora.cli.compare import tasks_of
from gelora.cli.parsing import parse
from gelora.lab.comparison.checks import check_comparison, methods_of

ROOT = Path(__file__).parents[2]
FILES = [
    path.relative_to(ROOT)
    for path in sorted((ROOT / "experiments").rglob("*.yaml"))
    if path.name != "config.yaml"  # what a run has left
]


def command(path):
    """Return the verb, and the arguments, that the first line of a file says to use it with."""
    line = (ROOT / path).read_text().splitlines()[0]
    program, verb, *arguments = shlex.split(line.rpartition(": ")[2].removeprefix("# "))
    assert program == "gelora"
    return verb, arguments


@pytest.fixture(autouse=True)
def root(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("gelora.cli.checks._check_files", lambda config: None)  # no data are here


@pytest.mark.parametrize("path", FILES, ids=str)
def test_the_first_line_is_the_command_that_takes_it(path):
    verb, (flag, named, *more) = command(path)
    assert flag == "--config"
    config = parse(verb, [flag, named, *more])
    check_flags(verb, config)
    if verb == "compare":
        check(config)
    assert path == Path(named) or str(path) in config.comparison.tasks


def check(config):
    tasks, flags = tasks_of(config), config.comparison
    check_comparison(
        tasks,
        methods=methods_of(tasks, flags.methods),
        budgets=flags.budgets,
        seeds=flags.seeds,
        learning_rates=flags.learning_rates,
    )


def test_there_are_as_many_as_there_were():
    assert len(FILES) == 14


def test_what_the_sensitivity_study_varies_can_be_varied():
    folder = ROOT / "experiments/sensitivity"
    (loop,) = re.findall(r"for vary in (.*?); do", (folder / "README.md").read_text(), re.DOTALL)
    varied = loop.replace("\\\n", " ").split()
    assert len(varied) == 5
    for one in varied:
        config = parse("compare", ["--config", str(folder / "compare.yaml"), "--vary", one])
        check(config)
        name, _, values = one.partition("=")
        assert [task.varied for task in tasks_of(config)] == [{name: v} for v in values.split(",")]
        assert (folder / name / "table.md").is_file()
