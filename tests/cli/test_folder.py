"""What a run's folder says of itself is the default of every verb; other folders say nothing."""

import re

import pytest
import yaml

from gelora.artifacts import CONFIG_FILE
from gelora.cli import main
from gelora.cli.config import resolved
from gelora.cli.parsing import parse
from gelora.errors import ConfigError

SAVED = {
    "output_dir": "elsewhere",
    "train_file": "a.csv",
    "text_columns": ["x", "y"],
    "max_length": 32,
    "model_name_or_path": "m",
    "seed": 7,
    "num_samples": 60,
    "rank_rule": "paper",
    "lora_alpha": 9,
    "max_steps": 4,
    "run_name": "2024_01",
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / CONFIG_FILE).write_text("# gelora 0.1.0, written by\n" + yaml.safe_dump(SAVED))
    return tmp_path


@pytest.mark.parametrize("verb", ["measure", "train", "evaluate", "run"])
def test_the_folders_flags_are_the_defaults(folder, verb):
    config = parse(verb, ["--output_dir", str(folder)])
    assert config.folder == folder
    assert config.task_name is None
    assert config.data.train_file == "a.csv"
    assert config.data.text_columns == ("x", "y")
    assert config.model_name == "m"
    assert (config.run.seed, config.data.max_length) == (7, 32)
    assert config.extra == (
        {"max_steps": 4, "run_name": "2024_01"} if verb in ("train", "run") else {}
    )


def test_the_command_line_is_above_the_file_and_that_above_the_folder(folder):
    file = folder / "x.yaml"
    file.write_text("seed: 8\nmax_length: 64\n")
    flags = ["--output_dir", str(folder), "--config", str(file), "--seed", "9"]
    config = parse("measure", flags)
    assert (config.run.seed, config.data.max_length) == (9, 64)
    assert config.measurement.num_samples == 60


@pytest.mark.parametrize("place", ["command line", "file"])
def test_other_data_replace_the_folders_as_a_whole(folder, place):
    flags = ["--output_dir", str(folder)]
    if place == "file":
        (folder / "x.yaml").write_text("task_name: rte\n")
        flags += ["--config", str(folder / "x.yaml")]
    else:
        flags += ["--task_name", "rte"]
    config = parse("train", flags)
    assert config.task_name == "rte"
    assert config.data.train_file is None
    assert config.data.text_columns is None
    assert config.data.max_length == 32  # of the model's texts, whatever they are


def test_another_validation_file_keeps_the_columns(folder):
    config = parse("evaluate", ["--output_dir", str(folder), "--validation_file", "b.csv"])
    assert (config.data.train_file, config.data.validation_file) == ("a.csv", "b.csv")
    assert config.data.text_columns == ("x", "y")


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ([], "mm.jsonl"),
        (["--validation_file", "b.jsonl"], None),
        (["--validation_file", "b.jsonl", "--validation_mismatched_file", "c.jsonl"], "c.jsonl"),
    ],
)
def test_another_validation_file_drops_its_mismatched_companion(folder, more, kept):
    saved = {"task_name": "mnli", "validation_file": "m.jsonl"}
    saved |= {"validation_mismatched_file": "mm.jsonl"}
    (folder / CONFIG_FILE).write_text("# gelora 0.1.0, written by\n" + yaml.safe_dump(saved))
    data = parse("evaluate", ["--output_dir", str(folder), *more]).data
    assert data.validation_mismatched_file == kept
    assert data.task_name == "mnli"


def test_one_way_to_say_it_drops_the_other(folder):
    flags = ["--output_dir", str(folder), "--budget", "r=8", "--scaling", "1"]
    ranks = parse("plan", flags).ranks
    assert ranks.budget == "r=8"
    assert ranks.lora_alpha is None


def test_what_is_remembered_is_written_again(folder):
    assert (
        resolved(parse("run", ["--output_dir", str(folder)]), "run").items()
        >= {
            **SAVED,
            "output_dir": str(folder),
            "text_columns": ("x", "y"),
        }.items()
    )


def test_training_elsewhere_or_after_another_verb_keeps_the_data(flags, out, capsys):
    assert main(["measure", *flags]) == 0
    assert main(["plan", "--output_dir", str(out)]) == 0
    training = ["--max_steps", "1", "--use_cpu", "--save_strategy", "no", "--eval_strategy", "no"]
    assert main(["train", "--output_dir", str(out), *training, "--json"]) == 0
    assert '"task": "train"' in capsys.readouterr().out
    config = yaml.safe_load((out / CONFIG_FILE).read_text())
    assert config["train_file"] == flags[flags.index("--train_file") + 1]
    assert config["max_length"] == 32


def test_a_folder_that_is_no_runs_says_nothing(tmp_path):
    (tmp_path / CONFIG_FILE).write_text("seed: 7\n")
    assert parse("measure", ["--output_dir", str(tmp_path)]).run.seed == 42


def test_a_broken_config_in_the_folder_is_one_sentence(folder):
    (folder / CONFIG_FILE).write_text("# gelora 0.1.0\nseed: [\n")
    message = f"The config file {folder / CONFIG_FILE} is not YAML: while parsing"
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse("train", ["--output_dir", str(folder)])
