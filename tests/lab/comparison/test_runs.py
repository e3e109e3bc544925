"""One run: every method, every problem, and the steps that a schedule is told of."""

from dataclasses import replace

import pytest
from transformers import BertForSequenceClassification

from gelora.lab.baselines import MODULES
from gelora.lab.comparison.runs import (
    _arguments,
    count_parameters,
    run_method,
    run_trial,
    total_steps,
)
from gelora.tasks import load_task_data
from tiny_comparison import spec_of
from tiny_models import tiny_bert

# Of one size, or of steps too large for so small a model.
OFF_BUDGET = {
    *("gelora-paper", "full", "linear-probe", "bitfit"),
    *("gelora-dora", "dora", "houlsby"),
}


@pytest.mark.slow
@pytest.mark.parametrize("method", MODULES)
def test_every_method_runs_and_says_its_parameters(method, settings):
    settings = replace(settings, training={**settings.training, "max_steps": 30})
    row, predictions = run_method(spec := spec_of(settings, method))
    assert (row.method, row.steps, row.parameters["head"]) == (method, 30, 66)
    assert len(predictions.values["label"]) == 40
    assert row.meets_budget == (method not in OFF_BUDGET)
    if method not in ("adalora", "increlora", "sora"):  # which end where training leads them
        assert row.parameters["adapter"] == spec.size.parameters
        assert row.parameters["trained"] == row.parameters["adapter"] + 66


def test_a_trial_that_diverges_says_so(settings):
    spec = spec_of(settings, "full", learning_rate=1e30, is_trial=True)
    trial = run_trial(spec)
    assert (trial.value, trial.loss) == (None, None)


def test_a_trial_has_a_metric_and_a_loss(settings):
    trial = run_trial(spec_of(settings, "lora-r1"))
    assert trial.metric == "accuracy"
    assert 0 <= trial.value <= 1
    assert trial.loss > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"num_train_epochs": 2.5},
        {"num_train_epochs": 3, "gradient_accumulation_steps": 4},
        {"num_train_epochs": 1, "dataloader_drop_last": True},
        {"max_steps": 5},
    ],
)
def test_the_steps_told_are_the_trainers(changes, settings, tmp_path):
    training = {"learning_rate": 1e-3, "per_device_train_batch_size": 7, **changes}
    spec = spec_of(replace(settings, training=training), "lora-r1")
    row, _ = run_method(spec)
    data = load_task_data(**settings.data)
    arguments = _arguments(spec, data, str(tmp_path))
    assert total_steps(arguments, len(data.train)) == row.steps


def test_parameters_beside_the_head_and_in_it():
    model = tiny_bert(BertForSequenceClassification)
    model.bert.requires_grad_(False)
    assert count_parameters(model, ["classifier"]) == (0, 66)
    model.bert.embeddings.LayerNorm.requires_grad_(True)
    assert count_parameters(model, ["classifier"]) == (64, 66)
