"""Help, version and unknown verbs: quick, complete, and without loading what a verb needs."""

import subprocess
import sys

import pytest

from gelora.cli import main
from gelora.cli.config import VERBS, flags_of

HEAVY = {"torch", "transformers", "peft", "datasets", "numpy", "scipy", "matplotlib"}


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], []])
def test_help_lists_every_verb(arguments, capsys):
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text and verb.summary in text for name, verb in VERBS.items())


@pytest.mark.parametrize("verb", VERBS)
def test_a_verbs_help_lists_its_flags(verb, capsys):
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert VERBS[verb].summary in " ".join(text.split())
    assert all(f"--{flag} " in text or f"--{flag}," in text for flag in flags_of(verb))


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "gelora 0.1.0\n"


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        ("mesure", "There is no verb 'mesure'; did you mean 'measure'?"),
        ("x", "There is no verb 'x'; gelora --help lists them."),
    ],
)
def test_unknown_verb(verb, message, capsys):
    assert main([verb]) == 2
    output = capsys.readouterr()
    assert output.err == f"gelora: {message}\n"
    assert not output.out


@pytest.mark.parametrize("arguments", [["--help"], *([verb, "--help"] for verb in VERBS)])
def test_help_loads_nothing_heavy(arguments):
    code = (
        f"import sys; from gelora.cli import main; code = main({arguments!r}); "
        f"print(code, sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_a_training_key_in_a_file_does_not_undo_quiet(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("max_steps: 5\n")
    code = (
        "import os; os.environ.pop('HF_HUB_DISABLE_PROGRESS_BARS', None)\n"
        "from gelora.cli.parsing import parse\n"
        f"parse('measure', ['--quiet', '--config', {str(path)!r}])\n"
        "from huggingface_hub.utils import are_progress_bars_disabled\n"
        "from transformers.utils.logging import get_verbosity\n"
        "print(are_progress_bars_disabled(), get_verbosity())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "40"]
