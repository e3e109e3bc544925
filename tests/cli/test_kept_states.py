"""`gelora measure --keep_hidden_states`, and measuring from what it kept without a model."""

import os
import socket
import subprocess
import sys

import pytest
import yaml

from gelora.artifacts import CONFIG_FILE, PROFILE_FILE
from gelora.cli import main
from gelora.dimension.profile import DimensionProfile
from gelora.measurement.store import STATES_FOLDER, open_states


@pytest.fixture
def kept(flags, out, capsys):
    assert main(["measure", *flags, "--keep_hidden_states"]) == 0
    capsys.readouterr()
    return out


@pytest.fixture
def alone(kept, monkeypatch):
    """Return the folder of kept states, and let whatever loads a model or texts fail the test."""
    monkeypatch.setattr("gelora.cli.loading.load_backbone", lambda *_: pytest.fail("a model"))
    monkeypatch.setattr("gelora.cli.loading.load_data", lambda *_, **__: pytest.fail("texts"))
    return kept


def test_the_same_estimator_gives_the_same_bytes(alone, tmp_path):
    other = tmp_path / "other"
    given = ["--hidden_states", str(alone), "--output_dir", str(other)]
    assert main(["measure", *given]) == 0
    assert (other / PROFILE_FILE).read_bytes() == (alone / PROFILE_FILE).read_bytes()


def test_another_estimator_needs_no_model(alone, tmp_path, capsys):
    folder = str(alone / STATES_FOLDER)
    given = ["--hidden_states", folder, "--output_dir", str(tmp_path / "other")]
    assert main(["measure", *given, "--estimator", "gride_4"]) == 0
    first = capsys.readouterr().out
    assert DimensionProfile.from_pretrained(tmp_path / "other").estimator == "gride_4"
    config = yaml.safe_load((tmp_path / "other" / CONFIG_FILE).read_text())
    assert config["hidden_states"] == folder
    assert not config.keys() & {"model_name_or_path", "task_name", "train_file", "pooling"}

    assert main(["measure", "--output_dir", str(tmp_path / "other")]) == 0
    output = capsys.readouterr()
    assert output.out == first
    assert "is complete and unchanged, so it is not measured again" in output.err


def test_other_states_are_another_measurement(alone, tmp_path, error_of):
    given = ["--hidden_states", str(alone), "--output_dir", str(tmp_path / "other")]
    assert main(["measure", *given]) == 0
    record = alone / STATES_FOLDER / "hidden_states.json"
    record.write_text(record.read_text().replace('"seed": 42', '"seed": 43'))
    message = error_of(["measure", *given])
    assert "dimension_profile.json of another run: states_sha256 is " in message
    assert main(["measure", *given, "--overwrite"]) == 0
    assert DimensionProfile.from_pretrained(tmp_path / "other").seed == 43


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--pooling", "last"], "--pooling last was decided when the states in "),
        (["--model_name_or_path", "m"], "--model_name_or_path m was decided when the states in "),
        (["--num_samples", "60"], "--num_samples 60 was decided when the states in "),
        (["--keep_hidden_states"], "--keep_hidden_states True was decided"),
        (["--estimator", "gride_4", "--discard_fraction", "2"], "discard_fraction must be"),
        (["--hidden_states", "nowhere"], "There is no file nowhere/hidden_states.json"),
    ],
)
def test_what_does_not_go_with_kept_states(alone, tmp_path, more, message, error_of):
    given = ["--hidden_states", str(alone), "--output_dir", str(tmp_path / "other")]
    assert message in error_of(["measure", *given, *more])
    assert not (tmp_path / "other" / PROFILE_FILE).exists()


def test_kept_states_need_a_folder_of_their_own(kept, error_of):
    message = "--hidden_states needs an --output_dir: the folder that the states lie in holds the"
    assert message in error_of(["measure", "--hidden_states", str(kept)])
    message = f"{kept} holds the dimension_profile.json of another run: "
    assert message in error_of(["measure", "--hidden_states", str(kept), "--output_dir", str(kept)])


def test_a_model_in_the_folder_of_kept_states_replaces_them(kept, flags, tmp_path):
    given = ["--hidden_states", str(kept), "--output_dir", str(tmp_path / "other")]
    assert main(["measure", *given]) == 0
    more = ["--output_dir", str(tmp_path / "other"), "--overwrite", "--pooling", "last"]
    assert main(["measure", *flags, *more]) == 0
    assert DimensionProfile.from_pretrained(tmp_path / "other").pooling == "last"


def test_overwriting_a_measurement_replaces_its_states(kept, flags):
    assert main(["measure", *flags, "--keep_hidden_states", "--num_samples", "80"]) == 2
    assert open_states(kept)[0].num_texts == 96
    again = ["--overwrite", "--num_samples", "80"]
    assert main(["measure", *flags, "--keep_hidden_states", *again]) == 0
    assert open_states(kept)[0].num_texts == 80
    assert main(["measure", *flags, "--overwrite", "--no_keep_hidden_states"]) == 0
    assert not (kept / STATES_FOLDER).exists()


def test_states_without_a_profile_are_not_overwritten_unasked(kept, flags, error_of):
    (kept / PROFILE_FILE).unlink()  # as a crash between the two leaves it
    message = error_of(["measure", *flags, "--keep_hidden_states"])
    assert f"{kept / STATES_FOLDER} exists" in message


@pytest.mark.slow
def test_processes_launched_together_leave_one_run(flags, kept, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    out = tmp_path / "together"
    command = [sys.executable, "-m", "gelora", "measure", *flags, "--output_dir", str(out)]
    launched = [
        subprocess.Popen(
            [*command, "--keep_hidden_states"],
            env={
                **os.environ,
                "RANK": rank,
                "LOCAL_RANK": rank,
                "WORLD_SIZE": "2",
                "LOCAL_WORLD_SIZE": "2",
                "MASTER_ADDR": "localhost",
                "MASTER_PORT": str(port),
                "ACCELERATE_USE_CPU": "true",
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    said = [process.communicate()[0] for process in launched]
    assert [process.returncode for process in launched] == [0, 0]
    assert said[0].startswith("level ")
    assert not said[1]
    assert (out / PROFILE_FILE).read_bytes() == (kept / PROFILE_FILE).read_bytes()
    assert {path.name for path in out.iterdir()} == {path.name for path in kept.iterdir()}
