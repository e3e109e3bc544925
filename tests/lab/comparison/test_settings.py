"""What names a run: all that decides its result, and nothing else."""

from dataclasses import replace

import pytest
from transformers import BertModel

from example_profiles import profile_of
from gelora.hidden_states.source import ModelSource
from gelora.lab.baselines.method import Size
from gelora.lab.comparison.settings import RunSpec, Selection, TaskSettings
from gelora.settings import RankSettings
from tiny_models import tiny_bert

TASK = TaskSettings("cola", {"task_name": "cola"})
SPEC = RunSpec(
    task=TASK,
    data_sha256="a",
    model_sha256="b",
    method="lora",
    budget="r=2",
    budget_parameters=1536,
    size=Size(2, 1536),
    seed=0,
    learning_rate=1e-3,
)


@pytest.mark.parametrize(
    "changes",
    [
        {"data_sha256": "c"},
        {"model_sha256": "c"},
        {"method": "dora"},
        {"size": Size(3, 1536)},
        {"size": Size(2, 1537)},
        {"seed": 1},
        {"learning_rate": 2e-3},
        {"is_trial": True},
        {"task": replace(TASK, model=ModelSource("other"))},
        {"task": replace(TASK, model=ModelSource(config_overrides="attention_dropout=0"))},
        {"task": replace(TASK, max_length=64)},
        {"task": replace(TASK, ranks=RankSettings(target_modules="all-linear"))},
        {"task": replace(TASK, ranks=RankSettings(target_modules=("query", "value")))},
        {"task": replace(TASK, ranks=RankSettings(rounding="up"))},
        {"task": replace(TASK, ranks=RankSettings(scaling=1.0))},
        {"task": replace(TASK, training={"learning_rate": 1e-3, "max_steps": 7})},
    ],
)
def test_what_decides_the_result_decides_the_hash(changes):
    assert replace(SPEC, **changes).hash != SPEC.hash


@pytest.mark.parametrize(
    "changes",
    [
        {"budget": "1500", "budget_parameters": 1500},
        {"task": replace(TASK, name="CoLA")},
        {"task": replace(TASK, data={"train_file": "cola.jsonl"})},  # of the same content
        {"task": replace(TASK, training={"learning_rate": 5e-4})},  # the spec has its own
        {"task": replace(TASK, varied={"rounding": "nearest"})},
    ],
)
def test_what_does_not_decide_it_does_not(changes):
    assert replace(SPEC, **changes).hash == SPEC.hash


def test_the_seed_of_the_data_decides_a_trial_by_its_parts():
    other = replace(TASK, data={"task_name": "cola", "seed": 1})  # of the same rows
    assert replace(SPEC, task=other).hash == SPEC.hash
    trial = replace(SPEC, is_trial=True)
    assert replace(trial, task=other).hash != trial.hash


def test_a_profile_decides_by_its_content():
    profile = profile_of(tiny_bert(BertModel))
    spec = replace(SPEC, selection=Selection("key", profile, seconds=1.0))
    assert spec.hash != SPEC.hash
    assert replace(spec, selection=Selection("other", profile, seconds=2.0)).hash == spec.hash
    other = replace(profile, num_texts=profile.num_texts + 1)
    assert replace(spec, selection=Selection("key", other, seconds=1.0)).hash != spec.hash


def test_a_run_is_told_to_people():
    assert SPEC.label == "cola, lora at r=2, seed 0, learning rate 0.001"
    trial = replace(SPEC, is_trial=True, task=replace(TASK, varied={"rounding": "up"}))
    assert trial.label == "cola (rounding=up), lora at r=2, learning rate 0.001"
