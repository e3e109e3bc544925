"""Extractive question answering is learned, and evaluated in training as it is after it."""

import re
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import (
    BertForQuestionAnswering,
    DebertaV2ForQuestionAnswering,
    GPT2ForQuestionAnswering,
)

from example_profiles import profile_of
from gelora.errors import SkippedRowsWarning
from gelora.ranks import plan_ranks
from gelora.tasks.evaluate import evaluate
from gelora.tasks.question_answering.evaluation import answer_questions
from gelora.tasks.question_answering.trainer import make_trainer
from gelora.tasks.question_answering.windows import split_contexts
from gelora.tasks.train import train
from gelora.training import head_modules, wrap
from tiny_models import tiny_bert, tiny_deberta, tiny_gpt2, tiny_tokenizer
from tiny_questions import questions, tiny_questions
from tiny_tasks import quick_arguments


def bert(**overrides):
    return tiny_bert(BertForQuestionAnswering, **overrides)


def plan_for(model):
    return plan_ranks(profile_of(model), min_rank=4)


def trained(data, output_dir, *, model=None, max_length=None, **overrides):
    model = model or bert()
    arguments = quick_arguments(output_dir, **overrides)
    plan = plan_for(model)
    return train(model, tiny_tokenizer(), data, plan, arguments=arguments, max_length=max_length)


@pytest.mark.parametrize("version_2", [False, True])
def test_answers_are_learned_and_evaluated_the_same_way_during_training(version_2, tmp_path):
    data = tiny_questions(num_train=256, version_2=version_2, max_words=24)
    schedule = {"max_steps": 90, "eval_strategy": "steps", "eval_steps": 45, "logging_steps": 15}
    result = trained(data, tmp_path, max_length=20, learning_rate=1e-2, **schedule)
    losses = [entry["loss"] for entry in result.history if "loss" in entry]
    assert losses[-1] < 0.5 * losses[0]
    metrics = evaluate(result.model, tiny_tokenizer(), data, max_length=20)
    assert metrics["exact_match"].value > 70
    evaluated = [entry for entry in result.history if "eval_f1" in entry]
    assert [entry["step"] for entry in evaluated] == [45, 90]
    for name, metric in metrics.items():
        assert evaluated[-1][f"eval_{name}"] == pytest.approx(metric.value, abs=1e-4), name


@pytest.mark.parametrize("strategy", ["random", "group_by_length"])
def test_metrics_do_not_depend_on_the_order_of_training(strategy, tmp_path):
    data = tiny_questions(max_words=30, version_2=True)
    result = trained(
        data,
        tmp_path,
        max_length=20,
        eval_strategy="steps",
        eval_steps=6,
        per_device_eval_batch_size=3,
        train_sampling_strategy=strategy,
    )
    [entry] = [entry for entry in result.history if "eval_f1" in entry]
    metrics = evaluate(result.model, tiny_tokenizer(), data, max_length=20)
    assert entry["eval_f1"] == metrics["f1"].value
    assert entry["eval_best_f1_thresh"] == pytest.approx(metrics["best_f1_thresh"].value, abs=1e-4)


@pytest.mark.parametrize("padding_side", ["right", "left"])
def test_batches_are_padded_behind_the_positions(padding_side, tmp_path):
    data, tokenizer = tiny_questions(), tiny_tokenizer(padding_side=padding_side)
    trainer = make_trainer(
        wrap(bert(), plan_for(bert()), "question_answering"),
        tokenizer,
        replace(data, validation=None),
        arguments=quick_arguments(tmp_path),
        max_length=None,
        callbacks=[],
    )
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["input_ids"].shape[0] == 8
    assert (batch["input_ids"][:, 0] == 1).all()
    marked = batch["input_ids"].gather(1, batch["start_positions"][:, None])
    assert torch.isin(marked, torch.tensor([4, 5, 6])).all()
    assert torch.equal(batch["start_positions"], batch["end_positions"])


@pytest.mark.parametrize(
    "make",
    [bert, lambda: tiny_deberta(DebertaV2ForQuestionAnswering)],
)
def test_plain_peft_gives_the_same_answers(make, tmp_path):
    data, model = tiny_questions(), make()
    assert head_modules(model) == ["qa_outputs"]
    before = model.qa_outputs.weight.clone()
    result = trained(data, tmp_path, model=model)
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert not torch.equal(saved["base_model.model.qa_outputs.weight"], before)
    loaded = PeftModel.from_pretrained(make(), tmp_path / "adapter").eval()
    ours, theirs = (answer_questions(m, tiny_tokenizer(), data) for m in (result.model, loaded))
    assert ours == theirs


def test_question_and_context_are_told_apart_adapted_and_merged(tmp_path):
    data, tokenizer = tiny_questions(), tiny_tokenizer()
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    batch = tokenizer(data.train["text"][0], data.train["text_pair"][0], return_tensors="pt")
    assert batch["token_type_ids"].any()
    alike = {**batch, "token_type_ids": torch.zeros_like(batch["token_type_ids"])}
    plan = plan_for(bert())
    model = train(
        bert(), tokenizer, data, plan, arguments=quick_arguments(tmp_path), max_length=20
    ).model.eval()
    loaded = PeftModel.from_pretrained(bert(), tmp_path / "adapter").eval()
    with torch.no_grad():
        scores = model(**batch).start_logits
        assert not torch.allclose(scores, model(**alike).start_logits, atol=1e-2)
        assert torch.equal(loaded(**batch).start_logits, scores)
        merged = loaded.merge_and_unload()
        torch.testing.assert_close(merged(**batch).start_logits, scores, rtol=1e-4, atol=1e-5)


def test_a_causal_model_is_trained(tmp_path):
    data = tiny_questions(num_validation=8)
    result = trained(data, tmp_path, model=tiny_gpt2(GPT2ForQuestionAnswering), max_steps=2)
    assert result.head_parameters == 2 * 32 + 2


def test_what_cannot_be_learned_is_counted(tmp_path):
    data = tiny_questions(num_validation=4)
    context = data.train["text_pair"][0]
    long = " ".join([context] * 3)
    train_split = questions([context, long], [[(context[:2], 0)], [(long, 0)]])
    message = re.escape("1 of 2 answers are whole in no window, so their questions are trained on")
    with pytest.warns(SkippedRowsWarning, match=message):
        trained(replace(data, train=train_split), tmp_path, max_length=20, max_steps=1)


def test_two_batches_of_four_windows_are_one_of_eight(tmp_path):
    data = tiny_questions(max_words=30)
    saved = []
    for size, accumulation in ((8, 1), (4, 2)):
        trained(
            data,
            tmp_path / str(size),
            model=bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
            max_length=20,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            optim="sgd",
            learning_rate=0.1,
            max_grad_norm=0.0,
        )
        saved.append(load_file(tmp_path / str(size) / "adapter" / "adapter_model.safetensors"))
    torch.testing.assert_close(*saved, rtol=1e-4, atol=1e-6)


def test_training_reads_every_window(tmp_path):
    data, tokenizer = tiny_questions(max_words=40), tiny_tokenizer()
    trainer = make_trainer(
        wrap(bert(), plan_for(bert()), "question_answering"),
        tokenizer,
        data,
        arguments=quick_arguments(tmp_path),
        max_length=16,
        callbacks=[],
    )
    windows = split_contexts(data.train, tokenizer, data.question_answering, max_length=16)
    assert len(trainer.train_dataset) == len(windows.features) > len(data.train)
    assert trainer.train_dataset.to_dict() == windows.features.to_dict()
