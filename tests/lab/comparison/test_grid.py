"""All runs of a comparison: which there are, what their lines say, and what is not run again."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from gelora.artifacts import read_json
from gelora.errors import ConfigError, RankError
from gelora.lab.baselines import find_method
from gelora.lab.comparison import TaskSettings, compare, grid
from gelora.lab.comparison.grid import run_method
from gelora.lab.comparison.results import COMPARISON_FILE, read_results
from gelora.settings import RankSettings
from gelora.tasks.metrics import compute_metrics
from tiny_comparison import TWO_BUDGETS

FILES = ("results.jsonl", "predictions.jsonl", "labels.json", "comparison.json")


def test_every_method_budget_and_seed_has_a_row_in_order(two_budgets):
    _, results, _ = two_budgets
    assert [(row.budget, row.method, row.seed) for row in results.rows] == [
        (budget, method, seed)
        for budget in ("r=1", "r=2")
        for method in ("gelora", "lora-r1", "lora-r2", "bitfit")
        for seed in (0, 1)
    ]
    assert not results.failures
    assert len({row.key for row in results.rows}) == 16


def test_what_does_not_hang_on_the_budget_is_run_once(two_budgets):
    _, results, ran = two_budgets
    assert len(ran) == 2 * (2 + 1 + 1 + 1)  # gelora at both budgets
    rows = {(row.method, row.seed, row.budget): row for row in results.rows}
    one, other = rows["bitfit", 0, "r=1"], rows["bitfit", 0, "r=2"]
    assert one == replace(other, budget="r=1", budget_parameters=768, meets_budget=one.meets_budget)


def test_rows_say_the_parameters_and_whether_the_budget_is_met(two_budgets):
    _, results, _ = two_budgets
    rows = {(row.method, row.budget): row for row in results.rows if row.seed == 0}
    rank_1 = 3 * 4 * (32 + 32)  # blocks, modules, sides
    for budget, parameters in (("r=1", rank_1), ("r=2", 2 * rank_1)):
        assert {rows[m, budget].budget_parameters for m in ("gelora", "bitfit")} == {parameters}
        gelora = rows["gelora", budget]
        assert gelora.parameters == {
            "adapter": parameters,
            "head": 2 * 32 + 2,
            "trained": parameters + 66,
        }
        assert sum(64 * rank for rank in gelora.ranks.values()) == parameters
        assert [rows[m, budget].meets_budget for m in ("lora-r1", "lora-r2", "bitfit")] == [
            *((budget == "r=1"), (budget == "r=2")),
            False,
        ]


def test_only_what_measures_says_what_measuring_took(two_budgets):
    for row in two_budgets[1].rows:
        has_cost = row.method == "gelora"
        assert (row.selection_seconds > 0) == (row.forward_tokens > 0) == has_cost


def test_the_metrics_follow_from_predictions_and_labels(two_budgets):
    _, results, _ = two_budgets
    (reference,) = results.references.values()
    assert reference.metrics[0] == results.rows[0].headline_metric
    for row in results.rows:
        predicted = np.array(results.predictions[row.hash].values["label"])
        found = compute_metrics(
            np.eye(2)[predicted], np.array(reference.labels), metrics=reference.metrics
        )
        assert {name: metric.value for name, metric in found.items()} == {
            name: metric["value"] for name, metric in row.metrics.items()
        }


def test_what_is_there_is_not_run_again(two_budgets, settings, ran):
    folder, results, _ = two_budgets
    before = {name: (folder / name).read_bytes() for name in FILES}
    assert compare([settings], folder, **TWO_BUDGETS) == results
    assert ran == []
    assert before == {name: (folder / name).read_bytes() for name in FILES}


def test_overwriting_runs_all_again(settings, ran, one_method, tmp_path):
    (first,) = compare([settings], tmp_path, **one_method).rows
    (second,) = compare([settings], tmp_path, **one_method, overwrite=True).rows
    assert len(ran) == 2
    assert first.key == second.key
    assert first.training_seconds != second.training_seconds


def test_what_has_no_end_yet_is_read_as_far_as_it_is_there(two_budgets, tmp_path):
    folder, results, _ = two_budgets
    copy = shutil.copytree(folder, tmp_path / "copy")
    path = copy / "results.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]) + lines[3][:20])
    assert read_results(copy).rows == results.rows[:3]


def test_another_setting_is_another_run_and_the_old_row_stays_out(
    settings, ran, one_method, tmp_path
):
    (first,) = compare([settings], tmp_path, **one_method).rows
    changed = replace(settings, training={**settings.training, "max_steps": 2})
    (second,) = compare([changed], tmp_path, **one_method).rows
    assert first.hash != second.hash
    assert (first.steps, second.steps) == (6, 2)
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 2
    assert compare([settings], tmp_path, **one_method).rows == [first]
    assert len(ran) == 2


def test_the_same_cell_gives_the_same_result(two_budgets):
    spec = two_budgets[2][0]
    one, other = run_method(spec), run_method(spec)
    assert one[0].metrics == other[0].metrics
    assert one[1] == other[1]


def test_the_rate_that_did_best_goes_to_all_seeds(settings, ran, one_method, tmp_path):
    rates = [1e-6, 5e-2]
    longer = replace(settings, training={**settings.training, "max_steps": 40})
    options = {**one_method, "seeds": [4, 5], "learning_rates": rates}
    results = compare([longer], tmp_path, **options)
    assert [(trial.learning_rate, trial.seed) for trial in results.trials] == [
        (rate, 4) for rate in rates
    ]
    values = [trial.value for trial in results.trials]
    assert values[1] > values[0]
    assert [(row.learning_rate, row.seed) for row in results.rows] == [(5e-2, 4), (5e-2, 5)]
    asked = read_json(tmp_path / COMPARISON_FILE, kind="comparison")["settings"]
    assert "learning_rate" in longer.training  # which no run had
    assert asked["learning_rates"] == rates
    assert asked["tasks"][0]["training"] == {
        name: value for name, value in longer.training.items() if name != "learning_rate"
    }


def test_trials_see_nothing_of_the_validation_set(settings, ran, one_method, tmp_path):
    rest = {k: v for k, v in settings.data.items() if k != "validation_file"}
    other = replace(settings, data={**rest, "validation_file": settings.data["train_file"]})
    options = {**one_method, "learning_rates": [1e-3, 1e-2]}
    values = [
        [trial.value for trial in compare([task], tmp_path / str(i), **options).trials]
        for i, task in enumerate((settings, other))
    ]
    assert values[0] == values[1]


def test_a_place_where_all_rates_diverge_is_a_failure(settings, ran, one_method, tmp_path):
    options = {**one_method, "methods": ["full"], "learning_rates": [1e29, 1e30]}
    results = compare([settings], tmp_path, **options)
    assert "full" not in {row.method for row in results.rows}
    failure = results.failures[-1]
    assert (failure.stage, failure.method) == ("trial", "full")
    assert failure.error == "Training diverged at every learning rate: give smaller ones."


def test_a_run_that_fails_keeps_no_other_from_its_end(
    settings, ran, one_method, tmp_path, monkeypatch
):
    def no_bitfit(spec):
        if spec.method == "bitfit":
            raise KeyError("bitfit")
        return run_method(spec)

    options = {**one_method, "methods": ["bitfit"], "budgets": ["r=1", "r=2"]}
    with monkeypatch.context() as patch:
        patch.setattr(grid, "run_method", no_bitfit)
        results = compare([settings], tmp_path, **options)
    assert {row.method for row in results.rows} == {"lora-r1"}
    for failure, budget in zip(results.failures, ("r=1", "r=2"), strict=True):
        assert (failure.stage, failure.method, failure.seed) == ("run", "bitfit", 0)
        assert (failure.budget, failure.error) == (budget, "KeyError: 'bitfit'")
        assert "no_bitfit" in failure.traceback

    ran.clear()
    again = compare([settings], tmp_path, **options)
    assert [spec.method for spec in ran] == ["bitfit"]
    assert again.failures == []
    assert len(again.rows) == 4


def test_a_method_without_a_size_there_is_a_failure(
    settings, ran, one_method, tmp_path, monkeypatch
):
    def refuse(model, budget, setting):
        raise RankError(f"nothing for {budget}")

    method = replace(find_method("bitfit"), size=refuse)
    monkeypatch.setattr("gelora.lab.baselines.freezing.METHODS", {"bitfit": method})
    results = compare([settings], tmp_path, **{**one_method, "methods": ["bitfit"]})
    assert [row.method for row in results.rows] == ["lora-r1"]
    (failure,) = results.failures
    assert (failure.stage, failure.method, failure.budget) == ("ranks", "bitfit", "r=1")
    assert failure.error == "RankError: nothing for 768"


def test_data_that_cannot_be_read_are_a_failure_of_their_task_alone(
    settings, ran, one_method, tmp_path
):
    broken = TaskSettings("broken", {"train_file": str(tmp_path / "none.jsonl")}, settings.model)
    results = compare([broken, settings], tmp_path, **one_method)
    assert [row.task for row in results.rows] == ["tiny"]
    (failure,) = results.failures
    assert (failure.stage, failure.task, failure.method) == ("ranks", "broken", "")
    assert "none.jsonl" in failure.error
    assert compare([settings], tmp_path, **one_method).failures == []


def test_varied_tasks_run_one_method(settings, ran, tmp_path):
    tasks = [
        replace(settings, ranks=RankSettings(rounding=rounding), varied={"rounding": rounding})
        for rounding in ("up", "down")
    ]
    results = compare(tasks, tmp_path, seeds=[0])
    assert [(row.method, row.budget, row.varied) for row in results.rows] == [
        ("gelora-paper", "paper", {"rounding": "up"}),
        ("gelora-paper", "paper", {"rounding": "down"}),
    ]
    assert all(row.meets_budget for row in results.rows)
    assert len(list((tmp_path / "profiles").iterdir())) == 1
    assert len({row.selection_seconds for row in results.rows}) == 1  # measured once for both


def test_two_settings_varied_together_are_found_again(settings, ran, tmp_path):
    varied = {"rounding": "up", "pooling": "mean"}
    task = replace(settings, ranks=RankSettings(rounding="up"), varied=varied)
    (row,) = compare([task], tmp_path, seeds=[0]).rows
    assert compare([task], tmp_path, seeds=[0]).rows == [row]
    assert len(ran) == 1
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 1


def test_one_size_is_not_run_again_for_another_budget(settings, ran, one_method, tmp_path):
    compare([settings], tmp_path, **one_method)
    (row,) = compare([settings], tmp_path, **{**one_method, "budgets": ["r=2"]}).rows
    assert len(ran) == 1
    assert (row.budget, row.budget_parameters, row.meets_budget) == ("r=2", 1536, False)


def test_what_comes_to_the_same_under_two_names_is_run_once_and_told_of_both(
    settings, ran, one_method, tmp_path
):
    results = compare([settings, replace(settings, name="twin")], tmp_path, **one_method)
    assert len(ran) == 1
    one, other = results.rows
    assert (one.task, other.task) == ("tiny", "twin")
    assert one == replace(other, task="tiny")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["lora-x"]}, "There is no method 'lora-x'"),
        (
            {"budgets": ["r=0"]},
            "budget must be a positive number of parameters, or of the form 'r=8'. Got 'r=0'.",
        ),
        ({"seeds": []}, "There are no seeds to compare on"),
        ({"seeds": [1, 1]}, "seeds has 1 twice"),
        ({"seeds": [0, -1]}, "seed must be a whole number between 0 and 4294967295. Got -1."),
        (
            {"learning_rates": [1e-3, float("inf")]},
            "learning_rates must be a positive number. Got inf.",
        ),
        ({"learning_rates": [1e-3, 0.0]}, "learning_rates must be a positive number. Got 0.0."),
        ({"engine": "slurm"}, "engine must be one of local, ray. Got 'slurm'."),
        ({"processes": 0}, "processes must be a whole number, at least 1. Got 0."),
    ],
)
def test_what_cannot_be_run_is_refused_first(changes, message, settings, tmp_path):
    with pytest.raises(ConfigError, match=message):
        compare([settings], tmp_path / "none", **changes)
    assert not (tmp_path / "none").exists()


def test_a_task_without_a_learning_rate_is_refused_first(settings, tmp_path):
    task = replace(settings, training={"max_steps": 2})
    with pytest.raises(ConfigError, match="The training of tiny has no learning_rate: give it"):
        compare([task], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_was_asked_for_keeps_its_labels_until_more_is_asked_for(
    settings, ran, one_method, tmp_path, monkeypatch
):
    before = compare([settings], tmp_path, **one_method)
    monkeypatch.setattr(grid, "_rates", lambda *_: 1 / 0)  # as one killed among its trials
    with pytest.raises(ZeroDivisionError):
        compare([replace(settings, name="other")], tmp_path, **one_method)
    assert read_results(tmp_path) == before


def test_two_tasks_of_one_name_or_two_methods_to_vary_are_refused(settings, tmp_path):
    with pytest.raises(ConfigError, match="tasks has tiny twice"):
        compare([settings, settings], tmp_path)
    varied = replace(settings, varied={"rounding": "up"})
    with pytest.raises(ConfigError, match="One method is varied at a time, and 2 are named: lora"):
        compare([varied], tmp_path, methods=["lora", "dora"])
