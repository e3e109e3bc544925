"""Texts that are cut are told of once for each set, however often it is read."""

import json

import pytest

from gelora.cli import main

STEPS = ["--max_steps", "2", "--eval_strategy", "steps", "--eval_steps", "1", "--use_cpu"]


def told(capsys) -> list[str]:
    """Return what was said of texts that are cut."""
    lines = capsys.readouterr().err.splitlines()
    return [line for line in lines if "longer than" in line]


@pytest.fixture
def expected(data_files):
    """Return what is to be said of every set at 12 tokens, two of them special."""

    def line(where, file):
        texts = [json.loads(row)["sentence"].split() for row in file.read_text().splitlines()]
        cut = sum(len(words) + 2 > 12 for words in texts)
        assert 0 < cut < len(texts)
        counted = f"{cut} of {len(texts)} texts are longer than 12 tokens and are cut"
        return f"Warning: {where}: {counted}: raise --max_length if the model takes more."

    train, validation = data_files
    places = {"Measuring": train, "train, training": train, "train, validation": validation}
    return [line(where, file) for where, file in places.items()]


def test_texts_that_are_cut_are_told_of_once_a_set(flags, expected, out, capsys):
    assert main(["run", *flags, *STEPS, "--max_length", "12"]) == 0
    assert told(capsys) == expected
    assert main(["evaluate", "--output_dir", str(out)]) == 0
    assert told(capsys) == expected[2:]
    assert main(["evaluate", "--output_dir", str(out), "--max_length", "32"]) == 0
    assert told(capsys) == []
