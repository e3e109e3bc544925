"""Verbs that need no model load no torch, and refusals come before it is loaded."""

import subprocess
import sys

import pytest

from example_profiles import make_profile

HEAVY = ("torch", "transformers", "peft", "datasets", "bitsandbytes", "accelerate")


def run(arguments, folder):
    """Run a command in a process of its own; return its exit code, output and heavy imports."""
    code = (
        "import sys; from gelora.cli import main; code = main(sys.argv[1:]); "
        f"print('LOADED', sorted(set({HEAVY}) & set(sys.modules))); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def profile(tmp_path):
    make_profile([5, 8, 6]).save_pretrained(tmp_path / "one")
    return tmp_path / "one"


def test_plan_report_and_compare_profiles_load_no_torch(profile, tmp_path):
    for arguments in (
        ["plan", "--output_dir", profile],
        ["plan", "--profile", profile, "--output_dir", tmp_path / "two", "--budget", "r=4"],
        ["report", "--output_dir", profile],
        ["compare-profiles", profile, tmp_path / "two"],
    ):
        code, output, errors = run(arguments, tmp_path)
        assert code == 0, errors
        assert output.rstrip().endswith("LOADED []"), arguments
    assert (profile / "report.html").is_file()


DATA = ["--model_name_or_path", "m", "--train_file", "a.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--train_file", "nosuch.csv"], "There is no file nosuch.csv"),
        (["run", *DATA, "--validation_file", "nosuch.csv"], "There is no file nosuch.csv"),
        (["run", *DATA, "--label_column", "lable"], "no column 'lable' in a.csv"),
        (["measure", *DATA, "--text-columns", "txt"], "did you mean 'text'?"),
        (["run", *DATA, "--budget", "8"], "did you mean --budget r=8?"),
        (["run", *DATA, "--budget", "r8"], "budget must be a positive number of parameters, or"),
        (["run", *DATA, "--rank_rule", "budget"], "needs a budget"),
        (["run", *DATA, "--max_rank", "0"], "max_rank must be a whole number, at least 1. Got 0"),
        (["run", *DATA, "--lora_rank", "8"], "ranks are planned: --budget r=8"),
        (["run", *DATA[2:], "--model_name_or_path", "./m"], "There is no folder ./m"),
        (["measure", *DATA[2:], "--model_name_or_path", "a.csv"], "a.csv is a file"),
        (["run", *DATA[:2], "--train_file", "."], ". must end in .csv"),
        (["run", *DATA[:2], "--train_file", "no/rows.csv"], "rows.csv holds no rows"),
        (["run", *DATA, "--output_dir", "a.csv"], "a.csv is a file, not a folder"),
        (["train", "--plan", "nosuch"], "nosuch holds no rank_plan.json"),
        (["plan", "--profile", "nosuch"], "nosuch holds no dimension_profile.json"),
        (["plan", "out"], "Did you mean --output_dir out?"),
        (["run", "a.csv"], "Did you mean --train_file a.csv?"),
        (["measure", "--model_name_or_path", "m"], "The data must be named"),
        (["train", "--output_dir", "nosuch"], "nosuch holds no rank_plan.json"),
        (["plan", "--output_dir", "nosuch"], "nosuch holds no dimension_profile.json"),
        (["evaluate", "--output_dir", "nosuch"], "The data must be named"),
    ],
)
def test_what_needs_no_model_is_refused_before_torch_is_loaded(tmp_path, arguments, message):
    (tmp_path / "a.csv").write_text("text,label\nw1,a\nw2,b\n")
    (tmp_path / "no").mkdir()
    (tmp_path / "no" / "rows.csv").touch()
    code, output, errors = run(arguments, tmp_path)
    assert code == 2, errors
    assert message in errors
    assert output == "LOADED []\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "no"]
