"""The experiment on intermediate-task tuning, at a tiny size: its files, arms, runs and tables."""

import importlib.util
import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification

from example_profiles import make_profile, profile_of
from gelora.cli.checks import check_flags
from gelora.cli.compare import task_settings
from gelora.cli.forwarding import check_training, training_arguments
from gelora.cli.parsing import parse
from gelora.hidden_states.source import ModelSource
from gelora.lab.comparison.engines import attempt
from tiny_comparison import tiny_settings
from tiny_models import save_tiny, tiny_bert, tiny_tokenizer

FOLDER = Path(__file__).parents[2] / "experiments/intermediate-tuning"


@pytest.fixture(autouse=True)
def without_data(monkeypatch):
    """Take settings whose data are not in the project."""
    monkeypatch.setattr("gelora.cli.checks._check_files", lambda config: None)


def script(name):
    specification = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


train, summary = script("train"), script("summary")


def tuned(model):
    """Return the model with other weights below its head."""
    with torch.no_grad():
        for parameter in model.bert.parameters():
            parameter.mul_(1.1)
    return model


def experiment_in(folder, dimensions):
    """Return a tiny experiment whose second model's profile has these dimensions."""
    before = tiny_settings(folder, name=train.TASK, steps=2)
    model = tuned(tiny_bert(BertForSequenceClassification))
    save_tiny(model, tiny_tokenizer(), folder / "tuned")
    profile = profile_of(model)
    series = make_profile(dimensions).series
    return train.Experiment(
        tasks={
            "before": before,
            "after": replace(before, model=ModelSource(str(folder / "tuned"))),
        },
        profiles={
            "before": profile_of(tiny_bert(BertForSequenceClassification)),
            "after": replace(profile, series=series),
        },
        rates=(1e-2,),
        seeds=(0, 1),
    )


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return experiment_in(tmp_path_factory.mktemp("tuning"), (5, 6, 9, 9))


@pytest.mark.parametrize(("name", "rate"), [("mnli", 3e-4), ("rte", 1e-3)])
def test_the_settings_are_taken_as_a_run_takes_them(name, rate, tmp_path):
    path = str(FOLDER / f"{name}.yaml")
    config = parse("run", ["--config", path, "--use_cpu", "--output_dir", str(tmp_path)])
    check_flags("run", config)
    check_training(config)
    assert training_arguments(config).learning_rate == rate
    assert config.task_name == name


def test_the_target_task_is_one_that_can_be_compared(tmp_path):
    given = ["--config", str(FOLDER / "rte.yaml"), "--output_dir", str(tmp_path)]
    settings = task_settings(train.TASK, parse("run", given))
    assert (settings.max_length, settings.ranks.target_modules) == (128, ("attention",))
    assert settings.training["num_train_epochs"] == 3


def test_an_arm_has_the_ranks_of_one_model_and_the_weights_of_the_other(experiment):
    arm = train.Arm("gelora-paper", "after", "before")
    assert experiment.plan(arm).ranks == (4, 1, 2)
    assert experiment.plan(replace(arm, ranks_of="after")).ranks == (2, 4, 1)
    spec = experiment.spec(arm, seed=0, rate=1e-3)
    assert spec.selection.profile.fingerprint == experiment.profiles["after"].fingerprint
    assert spec.selection.profile.dimensions == experiment.profiles["before"].dimensions
    assert spec.task.model == experiment.tasks["after"].model
    own = experiment.spec(replace(arm, ranks_of="after"), seed=0, rate=1e-3)
    assert spec.hash != own.hash


def test_the_same_ranks_are_not_trained_twice(experiment, tmp_path):
    assert len(list(experiment.arms())) == 8
    alike = experiment_in(tmp_path, (5, 8, 6, 7))
    assert {(arm.model, arm.ranks_of) for arm in alike.arms()} == {
        ("before", "before"),
        ("after", "after"),
    }


def test_all_of_it_runs_once_and_is_summarised(experiment, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train, "BUDGETS", {"gelora": "r=8"})
    done = []

    def run(function, items):
        for item in items:
            done.append(item)
            yield item, attempt(function, item, threads=1)

    results = train.run_experiment(experiment, tmp_path, run)
    assert not results.failures
    assert len(done) == 2 + 4 * 2  # one rate for each model, two seeds for each arm
    train.run_experiment(experiment, tmp_path, run)
    assert len(done) == 10

    summary.main(["--folder", str(tmp_path)])
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["learning_rates"] == {"before": 1e-2, "after": 1e-2}
    places = [(one["model"], one["ranks_of"]) for one in found["arms"]]
    assert places == list(product(train.MODELS, train.MODELS))
    ranks = {place: one["ranks"] for place, one in zip(places, found["arms"], strict=True)}
    assert ranks["before", "after"] == ranks["after", "after"] != ranks["before", "before"]
    assert [one["parameters"] for one in found["arms"]] == [24 * 256] * 4
    means = dict(zip(places, (np.mean(one["accuracies"]) for one in found["arms"]), strict=True))
    for (_, first, second), one in zip(summary.CONTRASTS, found["differences"], strict=True):
        assert one["value"] == pytest.approx(means[first] - means[second])
        assert one["low"] <= one["value"] <= one["high"]
    out = capsys.readouterr().out
    assert "budget r=8: after, ranks of before" in out
    assert "budget r=8: other's ranks less own, tuned" in out
