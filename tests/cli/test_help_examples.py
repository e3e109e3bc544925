"""The examples in the help of the verbs run one after the other."""

import shlex
from pathlib import Path

import pytest

from gelora.cli import main
from gelora.cli.config import EXAMPLES, FLAGS
from gelora.cli.parsing import parse

FEW_ROWS = ["--max_train_samples", "80", "--max_eval_samples", "20"]
FEW_TEXTS = ["--num_samples", "60"]
FEW_STEPS = ["--max_steps", "2"]
SHORTER = {
    "inspect": [*FEW_ROWS, *FEW_TEXTS],
    "measure": [*FEW_ROWS, *FEW_TEXTS],
    "train": FEW_STEPS,
    "compare": ["--seeds", "0", *FEW_ROWS, *FEW_TEXTS, *FEW_STEPS],
    "verify": ["--jacobian_samples", "1", "--jacobian_rank", "8", "--fisher_samples", "2"],
    "run": [*FEW_ROWS, *FEW_TEXTS, *FEW_STEPS],
}
"""Flags that make an example short."""


def test_examples_are_read_and_name_flags_of_gelora():
    for verb, example in EXAMPLES.items():
        program, named, *rest = shlex.split(example)
        assert (program, named) == ("gelora", verb)
        assert parse(verb, rest).extra.keys() <= FLAGS.keys(), example


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    needs_both_runs = "compare-profiles"
    for verb in sorted(EXAMPLES, key=needs_both_runs.__eq__):
        arguments = shlex.split(EXAMPLES[verb])[1:]
        assert main([*arguments, "--quiet", *SHORTER.get(verb, [])]) == 0, EXAMPLES[verb]
    assert Path("runs/demo/report.html").is_file()
