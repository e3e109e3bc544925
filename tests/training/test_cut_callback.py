"""Training that is cut once: the ranks, the optimizer's state, and going on from a checkpoint."""

import logging

import pytest
import torch
import transformers as hf
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from torch.testing import assert_close

import gelora
from gelora.cutting.directions import cut_factors, find_directions
from gelora.cutting.layers import live_factors
from gelora.cutting.live import cut_in_place
from gelora.errors import ConfigError, RankError
from gelora.exports.saved import read_adapter
from gelora.tasks.train import make_trainer
from tiny_models import tiny_batch, tiny_bert, tiny_llama, tiny_tokenizer
from tiny_tasks import quick_arguments, tiny_task

TARGETS = ["query", "key", "value", "attention.output.dense"]


def wrapped(rank=6, **lora):
    torch.manual_seed(0)
    base = tiny_bert(hf.BertForSequenceClassification)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS, **lora)
    return get_peft_model(base, LoraConfig(**{**config.to_dict(), "task_type": "SEQ_CLS"}))


def trainer_of(model, folder, callback, **settings):
    settings = {
        "max_steps": 10,
        "num_train_epochs": 1,
        "learning_rate": 0.01,
        "eval_strategy": "no",
        "save_strategy": "steps",
        "save_steps": 2,
        **settings,
    }
    return make_trainer(
        model,
        tiny_tokenizer(),
        tiny_task(),
        arguments=quick_arguments(folder, **settings),
        callbacks=[callback],
    )


def callback(**changes):
    return gelora.CutCallback(**{"budget": "r=2", "cut_at": 0.5, **changes})


def test_training_is_cut_once_and_goes_on(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    model = wrapped()
    cost = sum(part.cost for part in live_factors(model, "default").values())
    trainer_of(model, tmp_path, callback()).train()
    assert caplog.text.count("The adapter is cut to ranks of") == 1
    before = read_adapter(tmp_path / "checkpoint-4").factors()
    cut, last = (read_adapter(tmp_path / f"checkpoint-{step}").factors() for step in (6, 10))
    assert {len(part.a) for part in before.values()} == {6}
    assert sum(part.cost * len(part.a) for part in cut.values()) <= 2 * cost
    assert {n: len(part.a) for n, part in last.items()} == {n: len(p.a) for n, p in cut.items()}
    assert any(not torch.equal(part.a, last[name].a) for name, part in cut.items())


def test_the_adapter_that_is_left_is_plain_peft(tmp_path):
    model = wrapped()
    trainer_of(model, tmp_path, callback(budget="r=0.5")).train()
    model.save_pretrained(tmp_path / "adapter")
    base = tiny_bert(hf.BertForSequenceClassification)
    loaded = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    ranks = {name: len(part.a) for name, part in live_factors(loaded, "default").items()}
    assert ranks == {name: len(part.a) for name, part in live_factors(model, "default").items()}
    assert 0 < len(ranks) < 12
    batch = tiny_batch("bert")
    with torch.no_grad():
        assert_close(loaded.eval()(**batch).logits, model.eval()(**batch).logits)


@pytest.mark.parametrize("stopped", [2, 4, 6, 8])
def test_a_run_that_is_resumed_ends_as_one_that_was_left_alone(stopped, tmp_path):
    """Before the cut the model has the first rank; after it, that of the checkpoint."""
    whole = wrapped()
    trainer_of(whole, tmp_path / "whole", callback()).train()
    checkpoint = tmp_path / "whole" / f"checkpoint-{stopped}"
    if stopped < 5:
        again = wrapped()
    else:
        base = tiny_bert(hf.BertForSequenceClassification)
        again = PeftModel.from_pretrained(base, str(checkpoint), is_trainable=True)
    trainer = trainer_of(again, tmp_path / "again", callback())
    trainer.train(resume_from_checkpoint=str(checkpoint))
    ends = [
        load_file(tmp_path / name / "checkpoint-10" / "adapter_model.safetensors")
        for name in ("whole", "again")
    ]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())


def a_step(model, optimizer):
    batch = tiny_batch("llama")
    model(**batch, labels=batch["input_ids"]).loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    optimizer.step()
    optimizer.zero_grad()
    return gradients


def causal(rank=5):
    torch.manual_seed(0)
    config = LoraConfig(r=rank, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    return get_peft_model(tiny_llama(hf.LlamaForCausalLM), config)


def directions_of(model):
    return {n: find_directions(part) for n, part in live_factors(model, "default").items()}


def test_the_function_is_the_truncated_one():
    model = causal()
    expected = {
        name: cut_factors(part, find_directions(part), 2).update()
        for name, part in live_factors(model, "default").items()
    }
    cut_in_place(model, directions_of(model), dict.fromkeys(expected, 2))
    for name, part in live_factors(model, "default").items():
        assert_close(part.update(), expected[name])
    assert model.peft_config["default"].r == 2


def test_averages_that_are_carried_over_are_gradients_of_the_new_factors():
    """The direction that is dropped is zero, so the function stays, and its gradients are known."""
    model = causal()
    with torch.no_grad():
        for part in live_factors(model, "default").values():
            part.b[:, -1] = 0
            part.a[-1] = 0
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=0.0, momentum=0.9
    )
    a_step(model, optimizer)
    names = live_factors(model, "default")
    cut_in_place(model, directions_of(model), dict.fromkeys(names, 4), optimizer=optimizer)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    kept = {name: optimizer.state[p]["momentum_buffer"].clone() for name, p in trained.items()}
    for name, gradient in a_step(model, optimizer).items():
        assert_close(kept[name], gradient, rtol=1e-3, atol=1e-6)


def test_adam_keeps_its_steps_and_positive_second_moments():
    model = causal()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    a_step(model, optimizer)
    names = live_factors(model, "default")
    gone = min(names)
    ranks = {name: 0 if name == gone else 2 for name in names}
    cut_in_place(model, directions_of(model), ranks, optimizer=optimizer)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert {id(p) for p in trained} == {id(p) for p in optimizer.param_groups[0]["params"]}
    assert set(optimizer.state) == set(trained)
    for parameter in trained:
        state = optimizer.state[parameter]
        assert state["step"] == 1
        assert state["exp_avg_sq"].shape == parameter.shape
        assert (state["exp_avg_sq"] >= 0).all()
    a_step(model, optimizer)


def test_a_state_that_is_reset_begins_anew():
    model = causal()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    a_step(model, optimizer)
    gelora.CutCallback(budget="r=2", optimizer_state="reset").cut(model, optimizer)
    assert not any(optimizer.state[p] for p in optimizer.param_groups[0]["params"])


def test_another_adapter_of_a_module_stays():
    model = causal()
    model.add_adapter("other", LoraConfig(r=2, target_modules=["q_proj"]))
    names = live_factors(model, "default")
    gone = "model.layers.0.self_attn.q_proj"
    ranks = {name: 0 if name == gone else 1 for name in names}
    cut_in_place(model, directions_of(model), ranks)
    assert len(live_factors(model, "other")) == 3
    assert live_factors(model, "default").keys() == names.keys() - {gone}
    assert model.get_base_model().get_submodule(gone).active_adapters == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": "x"}, "budget must be a positive number"),
        ({"cut_at": 0}, "cut_at must be between 0 and 1. Got 0."),
        ({"cut_at": 1}, "cut_at must be between 0 and 1. Got 1."),
        ({"optimizer_state": "keep"}, "optimizer_state must be one of project, reset. Got 'keep'"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ConfigError, match=message):
        callback(**arguments)


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"use_dora": True}, "use_dora=True: it adds more than B A"),
        ({"lora_bias": True}, "lora_bias=True: it adds more than B A"),
        ({"target_modules": ["query", "word_embeddings"]}, "only the matrices of Linear layers"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa'"),
    ],
)
def test_forms_that_gelora_cut_refuses_are_refused_here(lora, message, tmp_path):
    base = tiny_bert(hf.BertForSequenceClassification)
    config = LoraConfig(**{"r": 4, "target_modules": ["query"], "task_type": "SEQ_CLS", **lora})
    model = get_peft_model(base, config)
    with pytest.raises(RankError, match=message):
        trainer_of(model, tmp_path, callback()).train()
    with pytest.raises(RankError, match=message):
        callback().cut(model)


def test_what_cannot_be_cut_is_refused_before_the_first_step(tmp_path):
    with pytest.raises(RankError, match="there is nothing to cut"):
        trainer_of(wrapped(), tmp_path, callback(budget="r=6")).train()
    with pytest.raises(ConfigError, match="needs a PeftModel with an adapter 'other'"):
        trainer_of(wrapped(), tmp_path, callback(adapter_name="other")).train()
    several = type("Several", (), {"world_size": 2})()
    with pytest.raises(ConfigError, match="parameters that 2 processes share"):
        callback().on_train_begin(several, None, None, model=wrapped())
