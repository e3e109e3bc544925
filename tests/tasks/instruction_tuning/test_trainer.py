"""Instruction tuning is TRL's, on the tokens that were measured."""

import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import RobertaForCausalLM
from trl.chat_template_utils import qwen3_chat_template

from example_profiles import profile_of
from gelora.adapters import verify_saved_ranks
from gelora.errors import ConfigError, DataError, MissingExtraError, SkippedRowsWarning
from gelora.hidden_states.batches import encode_texts
from gelora.ranks import plan_ranks
from gelora.tasks import texts_of
from gelora.tasks.evaluate import evaluate
from gelora.tasks.instruction_tuning import trainer as tuning
from gelora.tasks.instruction_tuning.chats import tokenize_examples
from gelora.tasks.train import part_of, train
from gelora.training import wrap
from tiny_chats import (
    FORGETFUL,
    causal_llama,
    chat_tokenizer,
    sft_arguments,
    tiny_instructions,
)
from tiny_models import tiny_roberta
from tiny_tasks import quick_arguments

pytestmark = pytest.mark.filterwarnings(
    # of torch, when TRL's imports have it compile
    "ignore:`torch.jit:DeprecationWarning"
)


def trainer_of(data, folder, *, tokenizer=None, max_length=None, **settings):
    model = causal_llama()
    return tuning.make_trainer(
        wrap(model, plan_ranks(profile_of(model)), "instruction_tuning"),
        tokenizer or chat_tokenizer(),
        data,
        arguments=sft_arguments(folder, **settings),
        max_length=max_length,
        callbacks=[],
    )


def trained(data, folder, *, tokenizer=None, **settings):
    model = causal_llama()
    plan = plan_ranks(profile_of(model))
    arguments = sft_arguments(folder, **settings)
    return train(model, tokenizer or chat_tokenizer(), data, plan, arguments=arguments)


def rows(trainer):
    return list(trainer.train_dataset["input_ids"]), list(trainer.train_dataset["labels"])


@pytest.mark.parametrize("chats", [True, False])
@pytest.mark.parametrize("turns", [1, 3])
def test_what_is_measured_is_what_is_trained_on(chats, turns, tmp_path):
    data, tokenizer = tiny_instructions(chats=chats, turns=turns), chat_tokenizer()
    measured = encode_texts(
        tokenizer, causal_llama(), texts_of(data.train), num_samples=32, max_length=None, seed=0
    )
    tokens, labels = rows(trainer_of(data, tmp_path))
    assert [row["input_ids"] for row in measured] == [
        tokens[i] for i in np.random.default_rng(0).permutation(32)
    ]
    examples = tokenize_examples(data.train, tokenizer)
    assert tokens == [example.tokens for example in examples]
    assert labels == [
        [-100] * example.completion_start + example.tokens[example.completion_start :]
        for example in examples
    ]


@pytest.mark.parametrize("chats", [True, False])
def test_what_is_too_long_is_cut_alike_and_counted(chats, tmp_path):
    data, tokenizer, limit = tiny_instructions(chats=chats), chat_tokenizer(), 7
    whole = tokenize_examples(data.train, tokenizer)
    kept = [example for example in (e.cut(limit) for e in whole) if example.num_predicted]
    cut, lost = sum(len(e.tokens) > limit for e in whole), len(whole) - len(kept)
    assert 0 < lost < cut < 32
    message = (
        f"tiny, training: {cut} of 32 examples are longer than 7 tokens and are cut; {lost} of them"
        " have no completion left and are set aside."
    )
    with pytest.warns(SkippedRowsWarning, match=message):
        tokens, _ = rows(trainer_of(data, tmp_path, max_length=limit))
    assert tokens == [example.tokens for example in kept]
    draw = {"num_samples": 32, "max_length": limit, "seed": 0}
    with pytest.warns(SkippedRowsWarning, match=f"Measuring: {cut} of 32 texts are longer than 7"):
        measured = encode_texts(tokenizer, causal_llama(), texts_of(data.train), **draw)
    assert sorted(row["input_ids"] for row in measured) == sorted(e.tokens[:limit] for e in whole)


def test_every_reply_carries_loss_if_asked(tmp_path):
    data, tokenizer = tiny_instructions(turns=3), chat_tokenizer()
    last, every = (
        rows(trainer_of(data, tmp_path, tokenizer=tokenizer, assistant_only_loss=asked))
        for asked in (False, True)
    )
    assert last[0] == every[0]
    first = data.train[0]
    replies = [m["content"] for m in (*first["prompt"], *first["completion"])][1::2]
    for labels, said in ((last[1][0], replies[-1:]), (every[1][0], replies)):
        counted = tokenizer.decode([label for label in labels if label >= 0])
        assert counted == " ".join(f"{reply} [SEP]" for reply in said)


def test_completions_alone_carry_loss_unless_said(tmp_path):
    data = tiny_instructions()
    tokens, labels = rows(trainer_of(data, tmp_path, completion_only_loss=False))
    assert tokens == labels


def test_what_is_cut_is_set_aside_only_where_nothing_carries_loss(tmp_path):
    data = replace(tiny_instructions(turns=3), validation=None)
    with pytest.warns(SkippedRowsWarning, match="32 of 32 .* longer than 2 tokens and are cut.$"):
        trainer = trainer_of(data, tmp_path, max_length=2, completion_only_loss=False)
    whole = tokenize_examples(data.train, chat_tokenizer())
    assert rows(trainer)[0] == [example.tokens[:2] for example in whole]
    first = [len(row["prompt"][0]["content"].split()) + 2 for row in data.train]  # w0 and w1, too
    lost = sum(start >= 7 for start in first)
    assert 0 < lost < 32
    message = (
        f"longer than 7 tokens and are cut; {lost} of them have no completion left and are set"
    )
    with pytest.warns(SkippedRowsWarning, match=message):
        trainer = trainer_of(data, tmp_path, max_length=7, assistant_only_loss=True)
    assert len(trainer.train_dataset) == 32 - lost


def test_the_adapter_is_trained_and_nothing_else(tmp_path):
    data, tokenizer = tiny_instructions(), chat_tokenizer()
    result = trained(data, tmp_path, eval_strategy="steps", eval_steps=3)
    plan = plan_ranks(profile_of(causal_llama()))
    verify_saved_ranks(tmp_path / "adapter", plan)
    assert result.adapter_parameters == plan.trainable_parameters
    assert result.head_parameters == 0
    weights = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert all("lora_" in name for name in weights)
    assert {path.name for path in tmp_path.iterdir()} == {"adapter"}  # no card of TRL's
    evaluations = [entry for entry in result.history if "eval_loss" in entry]
    assert [entry["step"] for entry in evaluations] == [3, 6]
    exact = evaluate(result.model, tokenizer, data)["perplexity"].value
    assert evaluations[-1]["eval_perplexity"] == pytest.approx(exact, rel=1e-4)
    assert evaluations[0]["eval_perplexity"] != pytest.approx(exact, rel=1e-4)


@pytest.mark.filterwarnings("ignore:`label_smoothing_factor`:FutureWarning")  # of TRL
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"loss_type": "dft"},
        {"label_smoothing_factor": 0.3},
        {"packing": True},
        {"packing": True, "packing_strategy": "wrapped"},
    ],
)
def test_perplexity_counts_tokens_whatever_training_minimises(settings, tmp_path):
    data = tiny_instructions(num_validation=11, turns=2)  # batches of other sizes
    settings |= {"max_length": 64, "per_device_eval_batch_size": 4}
    result = trained(data, tmp_path, eval_strategy="steps", eval_steps=6, **settings)
    exact = evaluate(result.model, chat_tokenizer(), data)["perplexity"].value
    (found,) = [e["eval_perplexity"] for e in result.history if "eval_perplexity" in e]
    assert found == pytest.approx(exact, rel=1e-4)


def test_packed_texts_do_not_see_each_other(tmp_path):
    """A batch of all texts gives the same gradients, packed or padded."""
    data = tiny_instructions(num_train=8)
    settings = {
        "max_steps": 1,
        "learning_rate": 1.0,
        "optim": "sgd",
        "lr_scheduler_type": "constant",
    }
    trained(data, tmp_path / "padded", per_device_train_batch_size=8, **settings)
    trained(data, tmp_path / "packed", packing=True, per_device_train_batch_size=8, **settings)
    weights, others = (
        load_file(folder / "adapter" / "adapter_model.safetensors")
        for folder in (tmp_path / "padded", tmp_path / "packed")
    )
    for name, tensor in weights.items():
        torch.testing.assert_close(others[name], tensor, msg=name)


@pytest.mark.filterwarnings("ignore:The `'keep_end'` truncation mode:FutureWarning")  # of TRL
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eos_token": "w1"}, "eos_token 'w1' would change the texts after they were measured"),
        ({"chat_template_path": "x.jinja"}, "chat_template_path 'x.jinja' would change"),
        ({"truncation_mode": "keep_end"}, "measured: leave it out; texts are measured with their"),
        ({"packing": True, "packing_strategy": "odd"}, "TRL does not take these settings: Invalid"),
    ],
)
def test_settings_that_cannot_be_say_why(settings, message, tmp_path):
    with pytest.raises(ConfigError, match=re.escape(message)):
        trainer_of(tiny_instructions(), tmp_path, **settings)


UNMARKED = "replies alone, and the tokenizer's chat template does not mark them by {% generation"
NO_CHATS = "the replies of chats, and tiny has texts: leave it out."


@pytest.mark.parametrize(("chats", "message"), [(True, UNMARKED), (False, NO_CHATS)])
def test_replies_that_cannot_be_told_are_refused(chats, message, tmp_path):
    data, tokenizer = tiny_instructions(chats=chats), chat_tokenizer(template=FORGETFUL)
    with pytest.raises(ConfigError, match="^assistant_only_loss counts " + re.escape(message)):
        trainer_of(data, tmp_path, tokenizer=tokenizer, assistant_only_loss=True)


def test_templates_that_trl_knows_how_to_mark_are_taken(tmp_path):
    arguments = sft_arguments(tmp_path, assistant_only_loss=True)
    tuning.check_replies(
        chat_tokenizer(template=qwen3_chat_template), tiny_instructions(), arguments
    )


def test_other_arguments_are_refused(tmp_path):
    model = causal_llama()
    with pytest.raises(ConfigError, match="as trl.SFTConfig. Got TrainingArguments."):
        train(
            model,
            chat_tokenizer(),
            tiny_instructions(),
            plan_ranks(profile_of(model)),
            arguments=quick_arguments(tmp_path),
        )


@pytest.mark.filterwarnings("ignore:If you want to use")  # of transformers, which says the same
def test_a_model_that_sees_what_follows_is_refused(tmp_path):
    model = tiny_roberta(RobertaForCausalLM)
    plan = plan_ranks(profile_of(model))
    message = "Instruction tuning needs a causal model.* is a roberta: name another."
    with pytest.raises(ConfigError, match=message):
        train(model, chat_tokenizer(), tiny_instructions(), plan, arguments=sft_arguments(tmp_path))


def test_a_tokenizer_without_a_template_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no chat template.*--chat_template_path"):
        trainer_of(tiny_instructions(), tmp_path, tokenizer=chat_tokenizer(template=None))


def test_a_limit_of_trl_s_that_is_not_taken_is_told(tmp_path, caplog):
    trainer_of(tiny_instructions(), tmp_path, max_length=32)  # sft_arguments say 64
    assert "cut to 32 tokens, as they are measured, not to the max_length 64 of" in caplog.text


def test_a_limit_that_leaves_no_completion_is_refused(tmp_path):
    message = (
        "tiny, training: no completion is left. 32 of 32 examples are longer than 2 tokens and are "
        "cut; 32 of them have no completion left and are set aside: raise --max_length, shorten"
    )
    with pytest.raises(DataError, match=re.escape(message)):
        trainer_of(tiny_instructions(), tmp_path, max_length=2)


@pytest.mark.filterwarnings("ignore:tiny, training:gelora.errors.SkippedRowsWarning")
def test_a_limit_that_leaves_no_completion_to_validate_on_is_refused(tmp_path):
    data = tiny_instructions(turns=2)
    short = replace(data, train=tiny_instructions().train)
    with pytest.raises(DataError, match="tiny, validation: no completion is left. 12 of 12 exampl"):
        trainer_of(short, tmp_path, max_length=8)


def test_what_the_template_leaves_out_is_counted(tmp_path):
    data, tokenizer = tiny_instructions(), chat_tokenizer(template=FORGETFUL)
    examples = tokenize_examples(data.train, tokenizer)
    kept = [example.tokens for example in examples if example.num_predicted]
    empty = 32 - len(kept)
    assert 0 < empty < 32
    message = f"tiny, training: {empty} of 32 examples have no completion once they are written as"
    with pytest.warns(SkippedRowsWarning, match=message):
        tokens, _ = rows(trainer_of(data, tmp_path, tokenizer=tokenizer))
    assert tokens == kept


def test_without_trl_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "trl.trainer.sft_config", None)
    monkeypatch.delitem(sys.modules, tuning.__name__)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'gelora[sft]'")):
        part_of("instruction_tuning", "trainer")


def test_adapters_stay_float32_on_quantised_weights(tmp_path):
    """TRL makes them bfloat16, where small steps are lost."""
    model = causal_llama()
    wrapped = wrap(model, plan_ranks(profile_of(model)), "instruction_tuning")
    model.is_loaded_in_4bit = True  # what TRL goes by
    tuning.make_trainer(
        wrapped,
        chat_tokenizer(),
        replace(tiny_instructions(), validation=None),
        arguments=sft_arguments(tmp_path),
        max_length=None,
        callbacks=[],
    )
    assert {p.dtype for p in wrapped.parameters() if p.requires_grad} == {torch.float32}
