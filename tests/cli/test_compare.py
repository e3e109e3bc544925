"""`gelora compare`: what its YAML and flags come to, what it leaves, and what it refuses."""

import json
from pathlib import Path

import pytest
import yaml

from gelora.cli import main
from gelora.cli.compare import tasks_of
from gelora.cli.parsing import parse
from gelora.lab.comparison import grid
from gelora.lab.comparison.engines import attempt
from gelora.lab.comparison.results import read_results

QUICK = {"max_steps": 4, "per_device_train_batch_size": 8}


@pytest.fixture
def here(monkeypatch):
    """Do all runs in this process."""

    def run(function, items):
        return ((item, attempt(function, item, threads=1)) for item in items)

    monkeypatch.setattr(grid, "_engine", lambda name, processes: run)


@pytest.fixture
def task_file(model_folder, data_files, tmp_path):
    train_file, validation_file = map(str, data_files)
    return write_yaml(
        tmp_path / "tiny.yaml",
        model_name_or_path=str(model_folder),
        train_file=train_file,
        validation_file=validation_file,
        text_columns=["sentence"],
        label_column="kind",
        max_length=32,
        rank_rule="paper",
        output_dir="runs/tiny",
        **QUICK,
    )


def write_yaml(path, **keys):
    path.write_text(yaml.safe_dump(keys))
    return str(path)


def settings_of(arguments):
    return tasks_of(parse("compare", arguments))


def test_from_a_file_to_rows_table_and_report(here, task_file, tmp_path, capsys):
    out = tmp_path / "out"
    config = write_yaml(
        tmp_path / "compare.yaml",
        tasks=[task_file],
        methods=["lora"],
        budget=["r=1"],
        seeds=[0, 1],
        output_dir=str(out),
    )
    assert main(["compare", "--config", config, "--budget", "r=2", "--json"]) == 0
    payload = json.loads(capsys.readouterr().out)
    results = read_results(out)
    assert [(row.method, row.budget, row.seed) for row in results.rows] == [
        (method, "r=2", seed)
        for method in ("gelora", "lora-r1", "lora-r2", "lora")
        for seed in (0, 1)
    ]
    assert [row["hash"] for row in payload["rows"]] == [row.hash for row in results.rows]
    assert payload["report"] == str(out / "report.html")
    files = {"environment.json", "results.jsonl", "table.md", "table.csv", "report.html"}
    assert files <= {path.name for path in out.iterdir()}

    lines = (out / "results.jsonl").read_bytes()
    assert main(["compare", "--config", config, "--budget", "r=2"]) == 0
    assert capsys.readouterr().out.rstrip().endswith(str(out / "report.html"))
    assert (out / "results.jsonl").read_bytes() == lines


def test_a_failure_is_said_at_the_end_in_one_sentence(here, task_file, tmp_path, error_of):
    arguments = ["--tasks", task_file, "--methods", "adalora", "--seeds", "0", "--max_steps", "1"]
    said = error_of(["compare", *arguments, "--output_dir", str(tmp_path / "out")])
    assert "1 of what was to run failed, and 3 runs are there" in said
    assert "tiny, adalora at paper: ConfigError: AdaLoRA's schedule needs 2 training steps" in said
    report = tmp_path / "out" / "report.html"
    assert report.exists()
    assert said.rstrip().endswith(f"What is there is in {report}.")


def test_flags_of_compare_hold_for_all_tasks(task_file, tmp_path):
    common = write_yaml(tmp_path / "compare.yaml", tasks=[task_file, "agreement"], max_length=16)
    arguments = ["--config", common, "--learning_rate", "2e-3", "--max_steps=7", "--seed", "5"]
    arguments += ["--model_name_or_path", "m"]
    tiny, agreement = settings_of(arguments)
    assert (tiny.name, agreement.name) == ("tiny", "agreement")
    for task in (tiny, agreement):
        assert task.max_length == 16
        assert task.training["learning_rate"] == 2e-3
        assert task.training["max_steps"] == 7
        assert task.seed == 5
    assert tiny.training["per_device_train_batch_size"] == 8
    assert agreement.training["per_device_train_batch_size"] == 16
    assert tiny.data["label_column"] == "kind"


def test_a_tasks_own_seed_holds_unless_another_is_named(task_file):
    assert settings_of(["--tasks", task_file])[0].data["seed"] == 42
    with Path(task_file).open("a") as file:
        file.write("seed: 11\n")
    assert settings_of(["--tasks", task_file])[0].data["seed"] == 11


def test_what_a_run_left_in_the_tasks_folder_does_not_count(task_file, tmp_path):
    (task,) = settings_of(["--tasks", task_file, "--output_dir", str(tmp_path / "out")])
    assert "output_dir" not in task.training
    assert not (tmp_path / "out").exists()


def test_nothing_of_saving_or_showing_is_part_of_the_settings(task_file):
    (task,) = settings_of(["--tasks", task_file, "--save_steps", "3", "--report_to", "none"])
    assert task.training == {
        "learning_rate": 1e-3,
        "max_steps": 4,
        "num_train_epochs": 5.0,
        "per_device_train_batch_size": 8,
        "warmup_steps": 0.06,
    }


@pytest.mark.parametrize(
    ("vary", "values"),
    [
        ("rounding=up,down", {"up": {"rounding": "up"}, "down": {"rounding": "down"}}),
        (
            "target_modules=query+value,all-linear",
            {
                "query+value": {"target_modules": ("query", "value")},
                "all-linear": {"target_modules": ("all-linear",)},
            },
        ),
    ],
)
def test_varying_is_one_task_for_each_value(vary, values, task_file):
    tasks = settings_of(["--tasks", task_file, "--vary", vary])
    name = vary.partition("=")[0]
    assert [task.varied for task in tasks] == [{name: value} for value in values]
    for task, changed in zip(tasks, values.values(), strict=True):
        assert {key: getattr(task.ranks, key) for key in changed} == changed


def test_varying_how_it_is_measured(task_file):
    tasks = settings_of(["--tasks", task_file, "--vary", "num_samples=100,200"])
    assert [task.measurement.num_samples for task in tasks] == [100, 200]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--vary", "learning_rate=1,2"], "--vary learning_rate=1,2 is not of the form"),
        (["--vary", "rounding"], "--vary rounding is not of the form NAME=VALUE,VALUE"),
        (["--use_dora"], "The task tiny sets --use_dora to True, which no comparison does"),
        (["--max_rank", "4"], "The task tiny sets --max_rank to 4, which no comparison does"),
        (["--rank_rule", "paper"], "--rank_rule paper is for gelora run: here each of --methods"),
        (["--early_stopping_patience", "2"], "tiny sets --early_stopping_patience to 2"),
        (["--load_best_model_at_end", "true"], "tiny asks for load_best_model_at_end"),
        (["--learning_rat", "1"], "no flag --learning_rat; did you mean 'learning_rate'?"),
        (["--methods", "lara"], "There is no method 'lara'"),
        (["--processes", "0"], "processes must be a whole number, at least 1. Got 0."),
    ],
)
def test_what_cannot_be_compared_is_refused(flags, message, task_file, tmp_path, error_of):
    out = tmp_path / "out"
    said = error_of(["compare", "--tasks", task_file, *flags, "--output_dir", str(out)])
    assert message in said
    assert not out.exists()


def test_a_run_of_tasks_is_told_apart_by_name(task_file, tmp_path, error_of):
    out = str(tmp_path / "out")
    said = error_of(["compare", "--tasks", task_file, task_file, "--output_dir", out])
    assert "tasks has tiny twice" in said
