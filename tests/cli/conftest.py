"""Folders and files for the verbs: a tiny model with its tokenizer, and labelled texts."""

import json
from pathlib import Path

import pytest
from transformers.utils.logging import disable_progress_bar

from gelora.cli import main
from tiny_models import save_tiny, tiny_bert, tiny_tokenizer
from tiny_tasks import tiny_task


@pytest.fixture(scope="session", autouse=True)
def no_bars():
    """Do what the command's environment variables do where transformers is not imported yet."""
    disable_progress_bar()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    return save_tiny(tiny_bert(), tiny_tokenizer(), tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def data_files(tmp_path_factory):
    """Write the tiny task as JSON lines, and return both paths."""
    folder = tmp_path_factory.mktemp("data")
    task = tiny_task(num_train=96, num_validation=40)
    return tuple(
        _write_lines(folder / f"{name}.jsonl", split)
        for name, split in (("train", task.train), ("validation", task.validation))
    )


@pytest.fixture
def flags(model_folder, data_files, tmp_path):
    """Name the model, the texts and an output folder, for any verb that takes them."""
    train_file, validation_file = map(str, data_files)
    return [
        *("--model_name_or_path", str(model_folder), "--output_dir", str(tmp_path / "out")),
        *("--train_file", train_file, "--validation_file", validation_file),
        *("--text_columns", "sentence", "--label_column", "kind", "--max_length", "32"),
    ]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def error_of(capsys):
    """Return a function that runs a command that must fail, and returns its one sentence."""

    def call(arguments):
        capsys.readouterr()
        assert main(arguments) == 2
        output = capsys.readouterr()
        assert not output.out
        assert "Traceback" not in output.err
        last = output.err.splitlines()[-1]
        assert last.startswith("gelora: ")
        return last

    return call


def _write_lines(path: Path, split) -> Path:
    rows = [{"sentence": row["text"], "kind": row["label"], "id": i} for i, row in enumerate(split)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
