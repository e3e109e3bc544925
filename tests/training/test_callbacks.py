"""DimensionCallback logs what it says, measures what it is given, and changes no training step."""

import inspect
import re

import pytest
import torch
from transformers import BertForSequenceClassification, Trainer, TrainerCallback

from example_profiles import make_profile, profile_of
from gelora import DimensionCallback
from gelora.errors import ConfigError, NonFiniteStatesError
from gelora.hidden_states import measure_dimensions
from gelora.ranks import plan_ranks
from gelora.tasks.train import train
from gelora.training import callbacks as module
from gelora.training.callbacks import dimensions_by_name
from tiny_chats import causal_llama, chat_tokenizer, sft_arguments, tiny_instructions
from tiny_models import tiny_bert, tiny_texts, tiny_tokenizer
from tiny_tasks import quick_arguments, tiny_task

BLOCKS = ["block_01", "block_02", "block_03"]


def trained(folder, *callbacks, problem="classification", **overrides):
    if problem == "classification":
        model, tokenizer, data = (
            tiny_bert(BertForSequenceClassification),
            tiny_tokenizer(),
            tiny_task(),
        )
        arguments = quick_arguments(folder, **overrides)
    else:
        model, tokenizer, data = causal_llama(), chat_tokenizer(), tiny_instructions()
        arguments = sft_arguments(folder, **overrides)
    plan = plan_ranks(profile_of(model))
    return train(model, tokenizer, data, plan, arguments=arguments, callbacks=callbacks)


def weights(result):
    return {name: p for name, p in result.model.named_parameters() if p.requires_grad}


def callback(every=2, **overrides):
    """Return what makes the callback of a Trainer."""
    profile = profile_of(tiny_bert())
    settings = {"texts": tiny_texts(150), "every": every, "num_samples": 150, **overrides}
    return lambda trainer: DimensionCallback(trainer, plan_ranks(profile), profile, **settings)


@pytest.mark.parametrize("problem", ["classification", "instruction_tuning"])
def test_training_is_bit_for_bit_the_same_and_logs_no_less(problem, tmp_path):
    overrides = {"logging_steps": 2, "eval_strategy": "steps", "eval_steps": 3, "problem": problem}
    model = tiny_bert() if problem == "classification" else causal_llama()
    profile = profile_of(model)

    def measuring(trainer):
        return DimensionCallback(
            trainer, plan_ranks(profile), texts=tiny_texts(150), every=2, num_samples=150
        )

    without = trained(tmp_path / "without", **overrides)
    with_it = trained(tmp_path / "with", measuring, **overrides)
    left, right = weights(without), weights(with_it)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    others = [
        entry for entry in with_it.history if not any(name.startswith("gelora/") for name in entry)
    ]
    assert others == without.history
    assert len(with_it.history) == len(without.history) + 1 + 3


@pytest.mark.filterwarnings("ignore::gelora.errors.GeloraWarning")  # of so few texts
def test_it_logs_the_plan_once_and_the_dimensions_of_the_model_in_training(tmp_path):
    seen = {}

    class Remember(TrainerCallback):
        """Measure what the callback should have, in the same places."""

        def on_step_end(self, args, state, control, model, processing_class, **kwargs):
            if state.global_step in (3, 6):
                profile = measure_dimensions(
                    model, processing_class, tiny_texts(150), num_samples=150, seed=0
                )
                seen[state.global_step] = dimensions_by_name(profile)

    result = trained(tmp_path, Remember(), callback(every=3, seed=0))
    logged = {e["step"]: e for e in result.history if "gelora/dimension/block_01" in e}
    profile = profile_of(tiny_bert())
    ranks = plan_ranks(profile).ranks
    assert tuple(logged[0][f"gelora/rank/{name}"] for name in BLOCKS) == ranks
    dimensions = tuple(logged[0][f"gelora/dimension/{name}"] for name in BLOCKS)
    assert dimensions == profile.dimensions[1:]
    assert sorted(logged) == [0, 3, 6]
    for step, dimensions in seen.items():
        assert {name: logged[step][name] for name in dimensions} == dimensions
        assert not any(name.startswith("gelora/rank") for name in logged[step])
    assert seen[3] != seen[6]


def test_whatever_the_trainer_reports_to_gets_the_names(tmp_path):
    reported = []

    class Reporter(TrainerCallback):
        """Stand before it, as those of --report_to do."""

        def on_log(self, args, state, control, logs, **kwargs):
            reported.append((state.global_step, set(logs)))

    trained(tmp_path, Reporter(), callback(every=4))
    assert {f"gelora/rank/{name}" for name in BLOCKS} < reported[0][1]
    steps = [step for step, names in reported if "gelora/dimension/block_03" in names]
    assert steps == [0, 4]


def test_it_is_measured_as_the_profile_was():
    profile = make_profile([5, 8, 8, 8, 10], granularity="sublayer")
    found = module._settings_of(profile)
    assert found["settings"].granularity == "sublayer"
    assert found["settings"].num_samples == profile.num_texts
    assert found["seed"] == profile.seed
    assert set(found) <= set(inspect.signature(measure_dimensions).parameters)
    names = list(dimensions_by_name(profile))
    assert names[:3] == [
        "gelora/dimension/embeddings",
        "gelora/dimension/block_01/attention",
        "gelora/dimension/block_01/mlp",
    ]


def test_a_resumed_training_does_not_log_the_plan_again(tmp_path):
    steps = {"save_strategy": "steps", "save_steps": 3}
    trained(tmp_path, callback(every=None), **steps)
    model = tiny_bert(BertForSequenceClassification)
    result = train(
        model,
        tiny_tokenizer(),
        tiny_task(),
        plan_ranks(profile_of(model)),
        arguments=quick_arguments(tmp_path, **steps),
        callbacks=[callback(every=None)],
        resume_from_checkpoint=tmp_path / "checkpoint-3",
    )
    assert [e["step"] for e in result.history if "gelora/rank/block_01" in e] == [0]


def test_what_cannot_be_measured_ends_no_training(tmp_path, monkeypatch, caplog):
    def overflow(*args, **kwargs):
        raise NonFiniteStatesError("Block 1 holds infinity.")

    monkeypatch.setattr(module, "measure_dimensions", overflow)
    result = trained(tmp_path, callback(every=4))
    assert result.history[-1]["step"] == 6
    assert "Nothing was measured at step 4: Block 1 holds infinity." in caplog.messages


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"every": 0}, "every must be at least 1 step. Got 0."),
        ({"every": 5, "texts": None}, "Measuring every 5 steps needs texts: pass texts=."),
    ],
)
def test_what_asks_for_nothing_is_refused(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        callback(**settings)(None)


def test_a_trainer_without_a_tokenizer_is_refused(tmp_path):
    model = tiny_bert(BertForSequenceClassification)
    rows = [{"input_ids": [1, 5, 2], "labels": 0}] * 8
    trainer = Trainer(model=model, args=quick_arguments(tmp_path), train_dataset=rows)
    trainer.add_callback(callback()(trainer))
    with pytest.raises(ConfigError, match="processing_class is a NoneType: pass processing_class="):
        trainer.train()
