"""Help, version and unknown verbs: quick, complete, and without loading what a verb needs."""

import re
import subprocess
import sys

import pytest

from gelora.cli import main
from gelora.cli.config import BASIC_FLAGS, EXAMPLES, VERBS, flags_of
from gelora.lab.baselines import MODULES

HEAVY = {"torch", "transformers", "peft", "datasets", "numpy", "scipy", "matplotlib"}


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], []])
def test_help_lists_every_verb(arguments, capsys):
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text and verb.summary in text for name, verb in VERBS.items())


def flags_in(text):
    """Return the names of the flags that a help text lists."""
    return set(re.findall(r"^. --(\w+)", text, flags=re.MULTILINE))


@pytest.fixture
def help_of(capsys):
    """Return a function that returns what a command prints."""

    def call(*arguments):
        assert main(arguments) == 0
        return capsys.readouterr().out

    return call


def test_every_verb_has_basic_flags_and_an_example():
    assert BASIC_FLAGS.keys() == EXAMPLES.keys() == VERBS.keys()
    for verb, names in BASIC_FLAGS.items():
        assert set(names) <= set(flags_of(verb)), verb


@pytest.mark.parametrize("verb", VERBS)
def test_help_lists_basic_flags_and_help_all_lists_all(verb, help_of):
    operands = VERBS[verb].operands
    basic, everything = help_of(verb, "--help"), help_of(verb, "--help-all")
    assert flags_in(basic) == {*BASIC_FLAGS[verb]} - {*operands}
    assert flags_in(everything) == {*flags_of(verb)} - {*operands}
    last = f"gelora {verb} --help-all lists all {len(flags_of(verb))} flags."
    assert basic.splitlines()[-1] == last
    assert last not in everything
    for text in (basic, everything):
        assert f"\n{VERBS[verb].summary}\n\nExample:\n  {EXAMPLES[verb]}\n" in text


def test_other_spellings_of_help(help_of):
    assert help_of("help") == help_of("--help")
    expected = help_of("plan", "--help")
    assert help_of("help", "plan") == expected
    assert help_of("plan", "--budget", "r=8", "-h") == expected
    expected = help_of("plan", "--help-all")
    assert help_of("help", "plan", "--help-all") == expected
    assert help_of("plan", "--help_all") == expected


def test_help_of_an_unknown_verb(capsys):
    assert main(["help", "plam"]) == 2
    assert capsys.readouterr().err == "gelora: There is no verb 'plam'; did you mean 'plan'?\n"


@pytest.mark.parametrize("flag", ["--help", "--help-all"])
def test_help_of_compare_names_every_method(flag, help_of):
    text = " ".join(help_of("compare", flag).split())
    assert f"Any of {', '.join(MODULES)}, lora-r1, lora-r2, ..." in text


@pytest.mark.parametrize("flag", ["--help", "--help-all"])
def test_usage_of_compare_profiles_names_both_profiles(flag, help_of):
    usage = help_of("compare-profiles", flag).splitlines()[0]
    assert usage == "usage: gelora compare-profiles [-h] [OPTIONS] BEFORE AFTER"


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


def test_help_loads_nothing_heavy():
    commands = [["--help"], *([verb, flag] for verb in VERBS for flag in ("--help", "--help-all"))]
    code = (
        f"import sys; from gelora.cli import main; codes = {{main(a) for a in {commands!r}}}; "
        f"print(codes, sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "{0} []"


def test_help_takes_less_than_a_second_of_processor_time():
    code = "import time; from gelora.cli import main; main(['run', '--help'])"
    code += "; print(time.process_time())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout.splitlines()[-1]) < 1


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
