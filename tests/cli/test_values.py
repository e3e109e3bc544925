"""Values pass through YAML and the command line as they were written."""

import pytest
import yaml

from gelora.cli.forwarding import training_arguments
from gelora.cli.parsing import parse
from gelora.cli.values import as_arguments, as_mapping, read_yaml

TEXTS = ["no", "on", "2024_01", "007", "1.10", "1e-3", "2024-01-01", "0x10", "12:30:00", "NaN", "~"]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_stay_what_was_written(text):
    assert as_mapping(["--run_name", text]) == {"run_name": text}
    assert as_mapping(as_arguments({"run_name": text})) == {"run_name": text}
    assert parse("train", ["--run_name", text]).extra == {"run_name": text}
    assert parse("train", [f"--run_name={text}"]).extra == {"run_name": text}


@pytest.mark.parametrize("text", TEXTS[:-1])
def test_a_file_says_what_the_command_line_says(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(f"run_name: {text}\n")
    assert read_yaml(path) == {"run_name": text}
    path.write_text(yaml.safe_dump({"run_name": text}))
    assert read_yaml(path) == {"run_name": text}


def test_numbers_truth_values_and_mappings_have_their_types(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: 3\nb: -0.5\nc: true\nd: False\ne: null\nf: [1, x]\ng: {h: 1e-3, i: no}\n")
    values = read_yaml(path)
    assert values == {
        "a": 3,
        "b": -0.5,
        "c": True,
        "d": False,
        "e": None,
        "f": [1, "x"],
        "g": {"h": 0.001, "i": "no"},
    }
    del values["e"]
    assert as_mapping(as_arguments(values)) == values


@pytest.mark.parametrize("place", ["command line", "file"])
def test_training_arguments_get_what_was_written(tmp_path, place):
    flags = ["--use_cpu", "--output_dir", str(tmp_path / "out")]
    if place == "file":
        path = tmp_path / "x.yaml"
        path.write_text(
            "logging_strategy: no\nsave_strategy: no\nrun_name: 2024_01\nweight_decay: 1e-3\n"
            "lr_scheduler_type: cosine_with_restarts\nlr_scheduler_kwargs: {num_cycles: 2}\n"
        )
        flags += ["--config", str(path)]
    else:
        flags += ["--logging_strategy", "no", "--save_strategy", "no", "--run_name", "2024_01"]
        flags += ["--weight_decay", "1e-3", "--lr_scheduler_type", "cosine_with_restarts"]
        flags += ["--lr_scheduler_kwargs", '{"num_cycles": 2}']
    arguments = training_arguments(parse("train", flags))
    assert arguments.logging_strategy == "no"
    assert arguments.save_strategy == "no"
    assert arguments.run_name == "2024_01"
    assert arguments.weight_decay == 0.001
    assert arguments.lr_scheduler_kwargs == {"num_cycles": 2}
