"""`gelora measure --keep_hidden_states`, and measuring from what it kept without a model."""

import shutil
import socket
import sys

import pytest
import yaml

from gelora.artifacts import CONFIG_FILE, PROFILE_FILE
from gelora.cli import main
from gelora.cli.parsing import parse
from gelora.dimension.profile import DimensionProfile
from gelora.hidden_states.store import STATES_FOLDER, open_states
from measure_together import launch


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
    assert DimensionProfile.from_pretrained(tmp_path / "other").settings.estimator == "gride_4"
    config = yaml.safe_load((tmp_path / "other" / CONFIG_FILE).read_text())
    assert config["hidden_states"] == folder
    before = yaml.safe_load((alone / CONFIG_FILE).read_text())
    for name in ("model_name_or_path", "train_file", "text_columns", "max_length"):
        assert config[name] == before[name]
    assert not config.keys() & {"task_name", "pooling", "num_samples"}

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
    assert yaml.safe_load((tmp_path / "other" / CONFIG_FILE).read_text())["seed"] == 43


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--pooling", "last"], "--pooling last was decided when the states in "),
        (["--model_name_or_path", "m"], "--model_name_or_path m was decided when the states in "),
        (["--num_samples", "60"], "--num_samples 60 was decided when the states in "),
        (["--keep_hidden_states"], "--keep_hidden_states True was decided"),
        (["--estimator", "gride_4", "--discard_fraction", "2"], "discard_fraction must be"),
        (["--hidden_states", "nowhere"], "nowhere holds no hidden states: keep them when you"),
        (["--granularity", "block"], "--granularity block was decided when the states in "),
        (["--num-samples=4000"], "--num_samples 4000 was decided when the states in "),
        (["--seed", "7"], "--seed 7 was decided when the states in "),
    ],
)
def test_what_does_not_go_with_kept_states(alone, tmp_path, more, message, error_of):
    given = ["--hidden_states", str(alone), "--output_dir", str(tmp_path / "other")]
    assert message in error_of(["measure", *given, *more])
    assert not (tmp_path / "other" / PROFILE_FILE).exists()


def test_a_file_may_not_say_how_states_come_about_beside_them(alone, tmp_path, error_of):
    file = tmp_path / "x.yaml"
    file.write_text(f"hidden_states: {alone}\ngranularity: block\n")
    message = error_of(["measure", "--config", str(file), "--output_dir", str(tmp_path / "other")])
    assert "--granularity block was decided when the states in " in message


def test_the_config_repeats_the_measurement(alone, tmp_path):
    other, third = tmp_path / "other", tmp_path / "third"
    given = ["--hidden_states", str(alone), "--estimator", "gride_2"]
    assert main(["measure", *given, "--output_dir", str(other)]) == 0
    header = (other / CONFIG_FILE).read_text().splitlines()[1]
    command = header.removeprefix("# To measure again: gelora ").split()
    command[command.index("ANOTHER_FOLDER")] = str(third)
    assert main(command) == 0
    assert (third / PROFILE_FILE).read_bytes() == (other / PROFILE_FILE).read_bytes()


def test_verbs_that_follow_know_the_model_and_the_texts(kept, tmp_path):
    other = ["--output_dir", str(tmp_path / "other")]
    assert main(["measure", "--hidden_states", str(kept), *other]) == 0
    config, before = parse("train", other), parse("train", ["--output_dir", str(kept)])
    assert (config.model, config.data) == (before.model, before.data)
    assert config.data.max_length == 32


def test_measuring_again_in_the_same_folder_keeps_its_states_and_flags(alone):
    given = ["--output_dir", str(alone)]
    before = parse("train", given)
    profile = (alone / PROFILE_FILE).read_bytes()
    again = ["--hidden_states", str(alone), "--estimator", "gride_2", "--overwrite"]
    assert main(["measure", *given, *again]) == 0
    assert (alone / PROFILE_FILE).read_bytes() != profile
    assert (parse("train", given).model, parse("train", given).data) == (before.model, before.data)
    assert open_states(alone)[0].num_texts == 96


def test_states_without_their_run_name_no_model(alone, tmp_path):
    (tmp_path / "far").mkdir()
    store = (alone / STATES_FOLDER).rename(tmp_path / "far" / "store")
    other = tmp_path / "other"
    assert main(["measure", "--hidden_states", str(store), "--output_dir", str(other)]) == 0
    config = yaml.safe_load((other / CONFIG_FILE).read_text())
    assert not config.keys() & {"model_name_or_path", "task_name", "train_file", "max_length"}


def test_other_states_do_not_stay_beside_a_new_profile(kept, flags, tmp_path):
    other = ["--output_dir", str(tmp_path / "other")]
    for command in (
        ["measure", "--hidden_states", str(kept)],
        ["plan", "--profile", str(kept)],
    ):
        more = ["--keep_hidden_states", "--num_samples", "80", "--overwrite"]
        assert main(["measure", *flags, *other, *more]) == 0
        assert (tmp_path / "other" / STATES_FOLDER).exists()
        assert main([*command, *other, "--overwrite"]) == 0
        assert not (tmp_path / "other" / STATES_FOLDER).exists()
    assert (kept / STATES_FOLDER).exists()


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
    assert DimensionProfile.from_pretrained(tmp_path / "other").settings.pooling == "last"


def test_overwriting_a_measurement_replaces_its_states(kept, flags):
    assert main(["measure", *flags, "--keep_hidden_states", "--num_samples", "80"]) == 2
    assert open_states(kept)[0].num_texts == 96
    again = ["--overwrite", "--num_samples", "80"]
    assert main(["measure", *flags, "--keep_hidden_states", *again]) == 0
    assert open_states(kept)[0].num_texts == 80
    assert main(["measure", *flags, "--overwrite", "--no_keep_hidden_states"]) == 0
    assert not (kept / STATES_FOLDER).exists()


@pytest.mark.parametrize("value", ["nonsense", "query"])
def test_overwriting_that_fails_leaves_the_states(kept, flags, value):
    again = ["--keep_hidden_states", "--overwrite", "--num_samples", "40"]
    assert main(["measure", *flags, *again, "--target_modules", value]) == 2
    assert main(["measure", *flags, "--overwrite", "--target_modules", "nonsense"]) == 2
    assert open_states(kept)[0].num_texts == 96
    assert (kept / PROFILE_FILE).exists()


@pytest.mark.parametrize("more", [[], ["--keep_hidden_states"]])
def test_states_without_a_profile_are_not_overwritten_unasked(
    kept, flags, more, error_of, monkeypatch
):
    elsewhere = shutil.copytree(kept, kept.with_name("elsewhere"))
    (kept / PROFILE_FILE).unlink()  # as a crash between the two leaves it
    monkeypatch.setattr("gelora.cli.loading.load_backbone", lambda *_: pytest.fail("a model"))
    message = error_of(["measure", *flags, *more])
    assert f"{kept / STATES_FOLDER} is there, and {PROFILE_FILE} is not" in message
    assert "--overwrite" in message
    assert message == error_of(["measure", "--hidden_states", str(elsewhere), *flags[2:4]])
    command = f"measure --hidden_states {kept} --output_dir {kept}"
    assert command in message
    assert main(command.split()) == 0


@pytest.mark.slow
def test_processes_launched_together_leave_one_run(flags, kept, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    out = tmp_path / "together"
    command = [sys.executable, "-m", "gelora", "measure", *flags, "--output_dir", str(out)]
    environments = [
        {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": str(port),
            "ACCELERATE_USE_CPU": "true",
        }
        for rank in "01"
    ]
    ended = launch([[*command, "--keep_hidden_states"]] * 2, environments)
    assert [process.returncode for process in ended] == [0, 0]
    assert ended[0].stdout.startswith("layer ")
    assert not ended[1].stdout
    assert (out / PROFILE_FILE).read_bytes() == (kept / PROFILE_FILE).read_bytes()
    assert {path.name for path in out.iterdir()} == {path.name for path in kept.iterdir()}
