"""Results on standard output, everything else on standard error, and exit codes."""

import errno
import json
import logging
import sys
import types
import warnings
from pathlib import Path

import pytest

from gelora.artifacts import METRICS_FILE, PLAN_FILE, PROFILE_FILE
from gelora.checkpoints import CHECKPOINT_FILES
from gelora.cli import main
from gelora.cli.console import (
    Output,
    hush_libraries,
    only_results_on_stdout,
    shows_progress,
    warn_if_busy,
)
from gelora.cli.flags import RunFlags
from gelora.errors import ConfigError, DuplicateSamplesWarning
from gelora.locks import hold_folder


@pytest.fixture
def report(monkeypatch, tmp_path):
    """Replace what `gelora report` does by a function, and return the setter."""
    monkeypatch.chdir(tmp_path)  # the default folder is held by one process at a time

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
        (
            FileNotFoundError(2, "No such file", "x"),
            2,
            "gelora: No such file (x). --debug shows where.\n",
        ),
        (KeyboardInterrupt(), 130, "gelora: interrupted.\n"),
    ],
)
def test_exit_codes(report, error, code, message, capsys):
    def fail(config):
        raise error

    report(fail)
    assert main(["report"]) == code
    assert capsys.readouterr() == ("", message)


def test_a_fault_of_our_own_is_told_with_code_1_and_shown_by_debug(report, monkeypatch, capsys):
    report(lambda config: 1 / 0)
    monkeypatch.setattr("gelora.cli.boundary._OURS", Path(__file__).parent)
    assert main(["report"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("gelora: ZeroDivisionError: division by zero. This looks like a fault")
    assert error.count("\n") == 1
    assert main(["report", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full: free some space"),
        (RuntimeError("basic_ios::clear: iostream error"), "The disk is full: free some space"),
        (RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory"), "Memory ran"),
        (MemoryError(), "Memory ran out: lower --per_device_train_batch_size"),
        (ModuleNotFoundError("No module named 'x'", name="x.y"), "pip install x."),
        (RuntimeError("\"addmm\" not implemented for 'Half'"), "add --dtype float32."),
        (KeyError("lora"), "KeyError: 'lora'."),
    ],
)
def test_what_libraries_raise_is_one_sentence_with_what_is_kept(
    report, error, message, tmp_path, capsys
):
    def fail(config):
        for name in (PROFILE_FILE, PLAN_FILE):
            (config.folder / name).touch()
        for step in (9, 10, 11):
            checkpoint = config.folder / f"checkpoint-{step}"
            checkpoint.mkdir()
            for name in CHECKPOINT_FILES[: 1 if step == 11 else None]:  # the last was cut short
                (checkpoint / name).write_text("{}")
        exec(compile("raise error", "a/library.py", "exec"), {"error": error})

    report(fail)
    assert main(["report", "--output_dir", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert "out keeps the dimensions, the ranks and checkpoint-10; the same command with" in line
    assert "--resume_from_checkpoint true goes on from there." in line


def test_what_a_finished_run_keeps_needs_no_checkpoint(report, tmp_path, capsys):
    def fail(config):
        (config.folder / METRICS_FILE).touch()
        checkpoint = config.folder / "checkpoint-4"
        checkpoint.mkdir()
        for name in CHECKPOINT_FILES:
            (checkpoint / name).write_text("{}")
        raise MemoryError

    report(fail)
    assert main(["report", "--output_dir", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "out keeps the metrics; the same command goes on from there." in error
    assert "checkpoint" not in error


def test_an_interrupt_says_what_is_kept(report, tmp_path, capsys):
    def fail(config):
        (config.folder / PROFILE_FILE).touch()
        raise KeyboardInterrupt

    report(fail)
    assert main(["report", "--output_dir", str(tmp_path)]) == 130
    told = f"interrupted. {tmp_path} keeps the dimensions; the same command goes on from there."
    assert capsys.readouterr().err == f"gelora: {told}\n"


def test_help_is_a_verb(capsys):
    assert main(["help"]) == 0
    assert "usage: gelora VERB" in capsys.readouterr().out
    assert main(["help", "plan"]) == 0
    assert "--rank_rule" in capsys.readouterr().out
    assert main(["help", "nonsense"]) == 2


def test_one_run_holds_a_folder_at_a_time(report, tmp_path, capsys):
    out = tmp_path / "new" / "out"
    report(lambda config: main(["report", "--output_dir", str(out)]))
    with hold_folder(out):
        assert main(["report", "--output_dir", str(out)]) == 2
    assert f"Another gelora writes in {out}: wait for it to end" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()  # nothing was written
    report(lambda config: Output("free again", {}))
    assert main(["report", "--output_dir", str(out)]) == 0


def test_a_busy_machine_is_told(monkeypatch, caplog):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (2.0, 0, 0), raising=False)
    warn_if_busy()
    assert not caplog.text
    monkeypatch.setattr("os.getloadavg", lambda: (3.6, 0, 0), raising=False)
    warn_if_busy()
    assert "3.6 processes want the 2 processors" in caplog.text


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
