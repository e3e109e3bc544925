"""Training is PEFT and the Trainer with the planned ranks, and nothing else changes."""

import math
import re
from dataclasses import replace

import pytest
import torch
from datasets import Dataset
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import (
    BertForSequenceClassification,
    DebertaV2ForSequenceClassification,
    DistilBertForSequenceClassification,
    GPT2ForSequenceClassification,
    T5ForSequenceClassification,
    TrainerCallback,
)

from example_profiles import profile_of
from gelora.adapters import head_parameters, lora_config, verify_saved_ranks
from gelora.errors import DataError, ModelMismatchError, RankError, SkippedRowsWarning
from gelora.ranks import plan_ranks
from gelora.tasks.classification.evaluation import predict
from gelora.tasks.evaluate import evaluate
from gelora.tasks.train import train
from gelora.training import head_modules, wrap
from tiny_models import TINY_MODELS, tiny_bert, tiny_deberta, tiny_distilbert, tiny_tokenizer
from tiny_tasks import quick_arguments, tiny_task

WEIGHTS = "adapter/adapter_model.safetensors"


def bert(**overrides):
    return tiny_bert(BertForSequenceClassification, **overrides)


def plan_for(model, **kwargs):
    return plan_ranks(profile_of(model), **kwargs)


def test_the_loss_falls_and_the_metrics_beat_chance(tmp_path):
    model, data = bert(), tiny_task(num_train=256)
    arguments = quick_arguments(
        tmp_path, max_steps=80, logging_steps=10, eval_strategy="steps", eval_steps=40
    )
    result = train(model, tiny_tokenizer(), data, plan_for(model), arguments=arguments)
    losses = [entry["loss"] for entry in result.history if "loss" in entry]
    assert len(losses) == 8
    assert losses[-1] < 0.7 * losses[0]
    metrics = evaluate(result.model, tiny_tokenizer(), data)
    assert metrics["accuracy"].value > 0.75
    evaluated = [entry for entry in result.history if "eval_accuracy" in entry]
    assert [entry["step"] for entry in evaluated] == [40, 80]
    assert evaluated[-1]["eval_accuracy"] == metrics["accuracy"].value


def test_a_regression_is_learned(tmp_path):
    model = bert(num_labels=1, problem_type="regression")
    data = tiny_task(num_train=256, problem="regression")
    arguments = quick_arguments(tmp_path, max_steps=60, eval_strategy="steps", eval_steps=60)
    result = train(model, tiny_tokenizer(), data, plan_for(model), arguments=arguments)
    metrics = evaluate(result.model, tiny_tokenizer(), data)
    assert metrics["spearman"].value > 0.5
    evaluated = [entry for entry in result.history if "eval_pearson" in entry]
    assert evaluated[-1]["eval_pearson"] == pytest.approx(metrics["pearson"].value, abs=1e-5)


def test_only_the_adapter_and_the_head_change(tmp_path):
    model, plan = bert(), plan_for(bert())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    result = train(model, tiny_tokenizer(), tiny_task(), plan, arguments=quick_arguments(tmp_path))
    after = result.model.get_base_model().state_dict()
    for name, tensor in before.items():
        if not name.startswith("classifier"):
            adapted = name.rpartition(".")[0] in {f"bert.{module}" for module in plan.modules}
            stored = name.replace(".weight", ".base_layer.weight") if adapted else name
            stored = stored.replace(".bias", ".base_layer.bias") if adapted else stored
            assert torch.equal(tensor, after[stored]), name
    assert not torch.equal(
        after["classifier.original_module.weight"],
        after["classifier.modules_to_save.default.weight"],
    )
    assert result.adapter_parameters == plan.trainable_parameters
    assert result.head_parameters == 2 * 32 + 2
    assert result.seconds > 0
    assert result.peak_memory_bytes > 2**20


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_plain_peft_gives_the_same_logits(name, tmp_path):
    classes = {
        "bert": BertForSequenceClassification,
        "gpt2": GPT2ForSequenceClassification,
        "t5": T5ForSequenceClassification,
    }
    model, data, tokenizer = TINY_MODELS[name](classes[name]), tiny_task(), tiny_tokenizer()
    arguments = quick_arguments(tmp_path, eval_strategy="epoch")
    result = train(model, tokenizer, data, plan_for(model), arguments=arguments)
    fresh = TINY_MODELS[name](classes[name])
    loaded = PeftModel.from_pretrained(fresh, tmp_path / "adapter").eval()
    ours = predict(result.model, tokenizer, data.validation)
    theirs = predict(loaded, tokenizer, data.validation)
    torch.testing.assert_close(torch.tensor(theirs), torch.tensor(ours), rtol=0, atol=0)


def test_a_new_pooler_is_trained_saved_and_restored(tmp_path):
    def deberta():
        return tiny_deberta(DebertaV2ForSequenceClassification)

    model = deberta()
    assert head_modules(model) == ["pooler", "classifier"]
    before = model.pooler.dense.weight.clone()
    result = train(
        model, tiny_tokenizer(), tiny_task(), plan_for(model), arguments=quick_arguments(tmp_path)
    )
    saved = load_file(tmp_path / WEIGHTS)["base_model.model.pooler.dense.weight"]
    assert not torch.equal(saved, before)
    loaded = PeftModel.from_pretrained(deberta(), tmp_path / "adapter")
    assert torch.equal(loaded.get_base_model().pooler.dense.weight, saved)
    assert result.head_parameters == 32 * 32 + 32 + 2 * 32 + 2


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (bert, ["classifier"]),  # its pooler comes with the checkpoint
        (
            lambda: tiny_distilbert(DistilBertForSequenceClassification),
            ["pre_classifier", "classifier"],
        ),
        (lambda: TINY_MODELS["gpt2"](GPT2ForSequenceClassification), ["score"]),
        (lambda: TINY_MODELS["t5"](T5ForSequenceClassification), ["classification_head"]),
        (tiny_bert, []),
    ],
)
def test_the_whole_head_is_trained_and_nothing_else(model, names):
    model = model()
    assert head_modules(model) == names
    size = sum(p.numel() for name in names for p in model.get_submodule(name).parameters())
    if names:
        assert head_parameters(wrap(model, plan_for(model), "classification")) == size


def test_more_modules_to_save_are_kept():
    model = bert()
    wrapped = wrap(
        model, plan_for(model), "classification", modules_to_save=["bert.pooler"], lora_dropout=0.25
    )
    trainable = {name for name, p in wrapped.named_parameters() if p.requires_grad}
    assert {name for name in trainable if "lora_" not in name} == {
        f"base_model.model.{module}.{kind}"
        for module in (
            "bert.pooler.modules_to_save.default.dense",
            "classifier.modules_to_save.default",
        )
        for kind in ("weight", "bias")
    }
    assert wrapped.peft_config["default"].lora_dropout == 0.25


def test_dora_counts_its_magnitudes_as_adapter():
    model = bert()
    plan = plan_for(model)
    wrapped = wrap(model, plan, "classification", use_dora=True)
    magnitudes = 32 * len(plan.modules)
    trainable = sum(p.numel() for p in wrapped.parameters() if p.requires_grad)
    assert trainable - head_parameters(wrapped) == plan.trainable_parameters + magnitudes


def test_nothing_is_printed_and_the_history_is_plain_numbers(tmp_path, capsys):
    class Remember(TrainerCallback):
        steps = 0

        def on_step_end(self, args, state, control, **kwargs):
            self.steps += 1

    model, remember = bert(), Remember()
    result = train(
        model,
        tiny_tokenizer(),
        tiny_task(),
        plan_for(model),
        arguments=quick_arguments(tmp_path, max_steps=4),
        callbacks=[remember],
    )
    assert remember.steps == 4
    assert capsys.readouterr().out == ""
    assert [sorted(entry) for entry in result.history] == [
        ["epoch", "grad_norm", "learning_rate", "loss", "step"]
    ] * 2
    assert all(math.isfinite(value) for entry in result.history for value in entry.values())


def test_the_saved_adapter_has_the_planned_ranks(tmp_path):
    model = bert()
    plan = plan_for(model)
    train(model, tiny_tokenizer(), tiny_task(), plan, arguments=quick_arguments(tmp_path))
    verify_saved_ranks(tmp_path / "adapter", plan)
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    }


def test_pairs_of_texts_are_trained_on(tmp_path):
    model, data = bert(), tiny_task(pairs=True)
    result = train(
        model, tiny_tokenizer(), data, plan_for(model), arguments=quick_arguments(tmp_path)
    )
    alone = replace(data, validation=data.validation.remove_columns("text_pair"))
    both = predict(result.model, tiny_tokenizer(), data.validation)
    assert not (both == predict(result.model, tiny_tokenizer(), alone.validation)).all()


def test_texts_longer_than_the_model_s_positions_are_cut(tmp_path):
    model, data, tokenizer = bert(), tiny_task(), tiny_tokenizer()
    tokenizer.model_max_length = int(1e30)
    long = Dataset.from_dict({"text": ["w1 " * 200] * 8, "label": [0, 1] * 4})
    data = replace(data, train=long, validation=long)
    arguments = quick_arguments(tmp_path, max_steps=1, eval_strategy="steps", eval_steps=1)
    plan = plan_for(model)
    told = "8 of 8 texts are longer than 64 tokens and are cut"
    with pytest.warns(SkippedRowsWarning, match=f"tiny, training: {told}"):
        result = train(model, tokenizer, data, plan, arguments=arguments, max_length=1024)
    with pytest.warns(SkippedRowsWarning, match=f"tiny, validation: {told}"):
        found = evaluate(result.model, tokenizer, data, max_length=1024)
    assert found["accuracy"].value == 0.5


def test_a_plan_of_another_model_is_refused(tmp_path):
    plan = plan_for(bert(hidden_size=16))
    with pytest.raises(ModelMismatchError):
        train(bert(), tiny_tokenizer(), tiny_task(), plan, arguments=quick_arguments(tmp_path))
    assert not (tmp_path / "adapter").exists()


def test_a_plan_that_miscounts_is_refused():
    model = bert()
    plan = plan_for(model)
    count = plan.trainable_parameters
    with pytest.raises(RankError, match=f"has {count} trainable parameters, the plan says 5:"):
        wrap(model, replace(plan, trainable_parameters=5), "classification")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: {"train": data.train.select([])}, "tiny has no labelled training texts."),
        (lambda data: {"train": data.train.remove_columns("label")}, "tiny has no labelled train"),
        (
            lambda data: {"validation": None},
            "tiny has no validation texts for eval_strategy 'steps'",
        ),
    ],
)
def test_data_that_cannot_be_trained_on_says_why(change, message, tmp_path):
    model, data = bert(), tiny_task()
    with pytest.raises(DataError, match=re.escape(message)):
        train(
            model,
            tiny_tokenizer(),
            replace(data, **change(data)),
            plan_for(model),
            arguments=quick_arguments(tmp_path, eval_strategy="steps"),
        )


def test_the_config_is_that_of_the_plan():
    model = bert()
    plan = plan_for(model)
    config = wrap(model, plan, "classification").peft_config["default"]
    plain = lora_config(bert(), plan)
    assert config.rank_pattern == plain.rank_pattern
    assert config.task_type == "SEQ_CLS"
    assert isinstance(get_peft_model(bert(), config), PeftModel)
