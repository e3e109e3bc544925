"""Tutorials that make their own files run as they stand: every block, in order, offline."""

import re
import shlex
from pathlib import Path

import pytest

import reference
from docs.test_printed_commands import AS_THEY_STAND, PAGES, commands_in
from gelora.artifacts import (
    ADAPTER_FOLDER,
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    METRICS_FILE,
    REPORT_FILE,
    read_json,
)
from gelora.cli import main

PROMISED = re.compile(r"(Use rank|ranks \(|good$)")
"""Lines of a page's output that do not depend on the last digit of a computation."""


def blocks(page):
    """Return the language and the text of every block of a page, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```", PAGES[page], flags=re.DOTALL | re.MULTILINE)


def follow(page):
    """Run all blocks of a page in the working folder."""
    names = {}
    for language, text in blocks(page):
        if language == "python":
            exec(text, names)
        elif language == "console":
            for command in commands_in(f"```console\n{text}```"):
                assert main(shlex.split(command)[1:]) == 0, command


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", AS_THEY_STAND)
def test_a_tutorial_runs_and_prints_what_it_promises(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    follow(page)
    printed = capsys.readouterr().out.splitlines()
    promised = [
        line
        for language, text in blocks(page)
        for line in text.splitlines()
        if language in ("text", "output") and PROMISED.match(line)
    ]
    assert promised
    assert {*promised} <= {*printed}
    if Path("runs").exists():
        check_files(Path("runs/reviews"))


def check_files(folder):
    """Compare the files of a run with the page that lists them and their fields."""
    stamps = {"kind", "schema_version"}
    assert read_json(folder / METRICS_FILE, kind="metrics").keys() == reference.METRICS.keys()
    environment = read_json(folder / ENVIRONMENT_FILE, kind="environment")
    assert environment.keys() - stamps == reference.ENVIRONMENT.keys()
    names = {path.name for path in folder.iterdir()}
    left = {name for name in names if not name.startswith((".", "checkpoint-"))}
    assert {ADAPTER_FOLDER, CONFIG_FILE, REPORT_FILE} <= left
    assert left <= {*reference.files()}
