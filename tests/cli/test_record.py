"""What a folder says of its run: stages, inputs, flags; and what it refuses."""

import shlex

import pytest
import yaml

from gelora.artifacts import CONFIG_FILE, ENVIRONMENT_FILE, read_json, write_json
from gelora.cli import main, record
from gelora.cli.config import Config
from gelora.cli.flags import RunFlags
from gelora.errors import ArtifactError, OutputExistsError

FACTS = {"device": "cpu", "model_revision": None, "data": {"rows": 9}}


@pytest.fixture
def config(tmp_path):
    return Config(run=RunFlags(output_dir=str(tmp_path)))


def write(config, stage="measure", **inputs):
    record.write(config, "run", stage=stage, inputs=inputs, facts=FACTS, seconds=1.5)


def test_stages_do_not_disturb_each_other(config):
    write(config, "measure", seed=1)
    write(config, "train", seed=2)
    stages = record.read_stages(config.folder)
    assert {name: stage["inputs"] for name, stage in stages.items()} == {
        "measure": {"seed": 1},
        "train": {"seed": 2},
    }
    record.forget(config.folder, "measure")
    assert set(record.read_stages(config.folder)) == {"train"}


def test_the_environment_has_what_its_contract_says(config):
    write(config)
    environment = read_json(config.folder / ENVIRONMENT_FILE, kind="environment")
    assert set(environment) == {
        *("command", "python", "packages", "platform", "processor_count", "device"),
        *("git_commit", "model_revision", "data", "stages"),
    }


def test_the_command_in_the_file_repeats_the_run(config, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/somewhere/gelora", "run", "--text_columns", "a b"])
    write(config)
    text = (config.folder / CONFIG_FILE).read_text()
    first, second, *_ = text.splitlines()
    assert first.endswith("written by: gelora run --text_columns 'a b'")
    path = shlex.quote(str(config.folder / CONFIG_FILE))
    assert second == f"# To repeat: gelora run --config {path} --output_dir ANOTHER_FOLDER"
    assert yaml.safe_load(text)["output_dir"] == str(config.folder)


def test_a_folder_that_was_only_verified_is_verified_again(config):
    record.write_config(config, "verify")
    second = (config.folder / CONFIG_FILE).read_text().splitlines()[1]
    assert second.startswith("# To repeat: gelora verify --config")
    record.write_config(config, "train")
    second = (config.folder / CONFIG_FILE).read_text().splitlines()[1]
    assert second.startswith("# To repeat: gelora run --config")


@pytest.mark.parametrize("same", [{}, {"seed": 1, "columns": ["a"], "hash": None}])
def test_unchanged_inputs_pass(config, same):
    write(config, **same)
    record.check_inputs(config.folder, "measure", same, holds="profile")


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ({"seed": 2}, "holds the profile of another run: seed is 1 there, 2 now."),
        ({"seed": 1, "x": True}, "x is None there, True now"),
        ({"zeal": 1, "depth": 2, "seed": 3}, "depth is None there, 2 now"),
        ({}, "seed is 1 there, None now"),
        ({"seed": 64 * "a"}, "seed is 1 there, aaaaaaaaaaaa… now"),
    ],
)
def test_changed_inputs_are_another_run(config, now, message):
    write(config, seed=1)
    with pytest.raises(OutputExistsError, match=message):
        record.check_inputs(config.folder, "measure", now, holds="profile")


def test_a_stage_that_was_not_recorded_is_another_run(config):
    with pytest.raises(OutputExistsError, match="nothing says how its profile came about"):
        record.check_inputs(config.folder, "measure", {}, holds="profile")


def test_forgetting_needs_no_record(config):
    record.forget(config.folder, "measure")
    assert not list(config.folder.iterdir())


@pytest.mark.parametrize(("kind", "message"), [("rank_plan", "is of kind"), (None, "JSON")])
def test_an_environment_that_cannot_be_read(config, kind, message):
    path = config.folder / ENVIRONMENT_FILE
    if kind:
        write_json(path, {}, kind=kind)
    else:
        path.write_text("{")
    with pytest.raises(ArtifactError, match=message):
        record.read_stages(config.folder)


def test_hashes_tell_rows_apart():
    assert record.sha256_of([["a", "b"]]) != record.sha256_of([["ab", ""]])


def test_module_is_a_program(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["gelora", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("gelora ")
