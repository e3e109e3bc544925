"""The whole flow on a tiny model: what it leaves, what it prints, and what a second call does."""

import json
import os
import re
import subprocess
import sys

import pytest
import yaml
from peft import PeftModel
from transformers import AutoModelForSequenceClassification

from gelora.artifacts import ADAPTER_FOLDER, METRICS_FILE, PLAN_FILE, PROFILE_FILE, read_json
from gelora.cli import main
from gelora.cli.config import Config
from gelora.hidden_states.loading import EMBEDDED_MODEL
from gelora.ranks import RankPlan
from gelora.tasks.known import TASKS

QUICK = ["--max_steps", "4", "--eval_strategy", "steps", "--eval_steps", "2", "--use_cpu"]
FILES = {
    *("config.yaml", "environment.json", "dimension_profile.json", "rank_plan.json", "adapter"),
    *("metrics.json", "report.html"),
}


@pytest.fixture(scope="module")
def finished(model_folder, data_files, tmp_path_factory):
    """Run it once as a user does, in a process of its own; return the folder and the process."""
    out = tmp_path_factory.mktemp("runs") / "one"
    train_file, validation_file = map(str, data_files)
    command = [
        *(sys.executable, "-m", "gelora", "run", "--model_name_or_path", str(model_folder)),
        *("--train_file", train_file, "--validation_file", validation_file),
        *("--text_columns", "sentence", "--label_column", "kind", "--max_length", "32"),
        *("--output_dir", str(out), *QUICK),
    ]
    environment = {**os.environ, "HF_HOME": str(out / "no-cache")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return out, done


def test_it_leaves_all_files_of_a_run(finished):
    out, _ = finished
    found = {path.name for path in out.iterdir() if not path.name.startswith("checkpoint-")}
    assert found - {"no-cache"} == FILES
    adapter = {path.name for path in (out / ADAPTER_FOLDER).iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", PROFILE_FILE, PLAN_FILE} <= adapter


def test_it_ends_with_ranks_metrics_and_the_report(finished):
    out, done = finished
    lines = done.stdout.splitlines()
    assert lines[0].split() == [
        *("block", "dimension", "increment", "rank", "P(rank)", "modules", "parameters")
    ]
    heading = next(line for line in lines if line.startswith("metric"))
    headings = ["metric", "adapter", "frozen encoder", "majority class", "texts"]
    assert re.split("  +", heading) == headings
    assert any(line.startswith("accuracy ") and " ± " in line for line in lines)
    assert lines[-1] == str(out / "report.html")
    decision = done.stdout.split("\n\n")[-2]
    assert "a linear model on the frozen encoder" in decision
    assert re.search(r"Use rank(s of)? \d", decision)


def test_standard_error_says_what_was_done_without_tracebacks_or_bars(finished):
    _, done = finished
    assert "Measuring" in done.stderr
    assert "Traceback" not in done.stderr
    assert "it/s" not in done.stderr


def test_metrics_say_what_the_contract_of_the_file_says(finished):
    out, _ = finished
    metrics = read_json(out / METRICS_FILE, kind="metrics")
    assert set(metrics["baselines"]) == {"frozen_encoder", "majority"}
    assert set(metrics["seconds"]) == {"measure", "baselines", "train", "evaluate"}
    assert metrics["metrics"]["accuracy"]["num_samples"] == 40
    assert metrics["num_labels"] == 2
    assert metrics["label_names"] is None
    assert metrics["plan_hash"] == RankPlan.from_pretrained(out).content_hash()
    planned = RankPlan.from_pretrained(out).trainable_parameters
    assert metrics["trainable_parameters"]["adapter"] == planned
    assert [entry["step"] for entry in metrics["history"] if "eval_loss" in entry] == [2, 4]


def test_the_environment_is_told_without_the_machines_paths(finished):
    out, _ = finished
    environment = read_json(out / "environment.json", kind="environment")
    assert environment["command"][:2] == ["gelora", "run"]
    assert environment["packages"]["torch"]
    assert environment["device"] == "cpu"
    assert environment["data"]
    assert set(environment["stages"]) == {"measure", "train"}


def test_plain_peft_loads_the_adapter(finished, model_folder):
    out, _ = finished
    model = AutoModelForSequenceClassification.from_pretrained(model_folder)
    adapted = PeftModel.from_pretrained(model, str(out / ADAPTER_FOLDER))
    config = json.loads((out / ADAPTER_FOLDER / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(model_folder)
    assert adapted.peft_config["default"].r == max(RankPlan.from_pretrained(out).ranks)


def test_a_second_call_does_nothing_again_and_says_so(finished, capsys):
    out, done = finished
    before = {path: path.read_bytes() for path in out.glob("*.*")}
    assert main(["run", "--config", str(out / "config.yaml")]) == 0
    output = capsys.readouterr()
    assert output.out == done.stdout
    for what in ("not measured again", "rank_plan.json is complete", "not trained again"):
        assert what in output.err
    assert {path: path.read_bytes() for path in out.glob("*.*")} == before


def test_its_config_repeats_it_elsewhere(finished, tmp_path):
    out, _ = finished
    again = tmp_path / "again"
    assert main(["run", "--config", str(out / "config.yaml"), "--output_dir", str(again)]) == 0
    for name in (PROFILE_FILE, PLAN_FILE, f"{ADAPTER_FOLDER}/adapter_model.safetensors"):
        assert (again / name).read_bytes() == (out / name).read_bytes(), name
    first, second = (yaml.safe_load((one / "config.yaml").read_text()) for one in (out, again))
    assert first | {"output_dir": str(again)} == second


def test_other_flags_in_the_same_folder_are_refused(finished, capsys):
    out, _ = finished
    before = {path: path.read_bytes() for path in out.glob("*.*")}
    for flag, message in (
        (["--num_samples", "60"], "num_samples is 4000 there, 60 now"),
        (["--learning_rate", "0.1"], "learning_rate is 0.001 there, 0.1 now"),
        (["--max_steps", "5"], "max_steps is 4 there, 5 now"),
        (["--max_train_samples", "70"], "texts_sha256 is "),
        (
            ["--min_rank", "3"],
            "rank_plan.json is of another run: ranks [3, 4, 1] there, [3, 4, 3] now",
        ),
        (["--precision", "0"], "precision is 0.1 there, 0.0 now"),
    ):
        assert main(["run", "--config", str(out / "config.yaml"), *flag]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert message in error
        assert "another --output_dir, or --overwrite" in error
    assert {path: path.read_bytes() for path in out.glob("*.*")} == before


@pytest.mark.parametrize("flag", ["--output_dir", "--adapter"])
def test_evaluate_remembers_the_run_and_gives_its_metrics(finished, flag, capsys):
    out, _ = finished
    folder = out / ADAPTER_FOLDER if flag == "--adapter" else out
    assert main(["evaluate", flag, str(folder), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["task"] == "train"
    assert printed["metrics"] == read_json(out / METRICS_FILE, kind="metrics")["metrics"]


def test_report_is_the_same_again(finished, capsys):
    out, _ = finished
    before = (out / "report.html").read_bytes()
    assert main(["report", "--output_dir", str(out)]) == 0
    assert capsys.readouterr().out == f"{out / 'report.html'}\n"
    assert (out / "report.html").read_bytes() == before


def test_report_as_json(finished, capsys):
    out, _ = finished
    assert main(["report", "--output_dir", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(out / "report.html")}


def test_the_default_is_what_the_library_embeds():
    assert Config().model_name == EMBEDDED_MODEL
    assert Config().task_name in TASKS
