"""Results on standard output, everything else on standard error, and exit codes."""

import json
import logging
import sys
import types
import warnings

import pytest

from gelora.cli import main
from gelora.cli.console import (
    Output,
    hush_libraries,
    only_results_on_stdout,
    shows_progress,
)
from gelora.cli.flags import RunFlags
from gelora.errors import ConfigError, DuplicateSamplesWarning


@pytest.fixture
def report(monkeypatch):
    """Replace what `gelora report` does by a function, and return the setter."""

    def replace_by(function):
        module = types.ModuleType("gelora.cli.report")
        module.main = function
        monkeypatch.setitem(sys.modules, "gelora.cli.report", module)

    return replace_by


def noisy(config):
    del config
    sys.stdout.write("a library prints\n")
    logging.getLogger("gelora.training").info("progress")
    logging.getLogger("gelora.training").debug("details")
    warnings.warn("5 copies", DuplicateSamplesWarning, stacklevel=1)
    return Output("the table", {"a": 1})


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        ([], "a library prints\nprogress\nWarning: 5 copies\n"),
        (["--quiet"], "Warning: 5 copies\n"),
        (["--verbose"], "a library prints\nprogress\ndetails\nWarning: 5 copies\n"),
    ],
)
def test_only_the_result_is_on_stdout(report, flags, error, capsys):
    report(noisy)
    assert main(["report", *flags]) == 0
    output = capsys.readouterr()
    assert output.out == "the table\n"
    assert output.err == error


def test_json_prints_one_object(report, capsys):
    report(noisy)
    assert main(["report", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"a": 1}


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigError("What to do."), 2, "gelora: What to do.\n"),
        (FileNotFoundError(2, "No such file", "x"), 2, "gelora: [Errno 2] No such file: 'x'\n"),
        (KeyboardInterrupt(), 130, "gelora: interrupted.\n"),
    ],
)
def test_exit_codes(report, error, code, message, capsys):
    def fail(config):
        raise error

    report(fail)
    assert main(["report"]) == code
    assert capsys.readouterr() == ("", message)


def test_what_nobody_foresaw_is_not_hidden(report):
    def fail(config):
        raise RuntimeError("a bug")

    report(fail)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["report"])


def test_other_libraries_warnings_stay_out_of_the_way(capsys):
    with only_results_on_stdout(RunFlags()):
        warnings.simplefilter("always")
        warnings.warn("of interest to programmers", UserWarning, stacklevel=1)
    assert not capsys.readouterr().err


def test_nothing_stays_set_up_afterwards():
    logger = logging.getLogger("gelora")
    before = (logger.level, list(logger.handlers), sys.stdout, warnings.showwarning)
    with only_results_on_stdout(RunFlags(verbose=True)):
        pass
    assert (logger.level, list(logger.handlers), sys.stdout, warnings.showwarning) == before


@pytest.mark.parametrize(
    ("terminal", "quiet", "expected"), [(True, False, True), (True, True, False), (False,) * 3]
)
def test_bars_are_for_terminals(monkeypatch, terminal, quiet, expected):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert shows_progress(RunFlags(quiet=quiet)) is expected


@pytest.mark.parametrize(("verbose", "level"), [(False, logging.ERROR), (True, logging.NOTSET)])
def test_bitsandbytes_says_nothing_of_what_it_could_be_faster_with(monkeypatch, verbose, level):
    logger = logging.getLogger("bitsandbytes")
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    hush_libraries(RunFlags(verbose=verbose))
    assert logger.level == level
