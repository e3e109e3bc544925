"""Labelled samples are the rows that a training reads, each alone."""

from dataclasses import replace

import pytest
import torch
import transformers as hf
from datasets import Dataset

from example_profiles import profile_of
from gelora.errors import DataError, SkippedRowsWarning
from gelora.lab.theory.fisher import block_fishers
from gelora.ranks import plan_ranks
from gelora.tasks.classification.evaluation import tokenize
from gelora.tasks.labelled_batches import labelled_batches
from gelora.tasks.train import make_trainer
from gelora.training.train import wrap
from tiny_chats import (
    RECOMPUTING,
    causal_llama,
    chat_tokenizer,
    sft_arguments,
    tiny_instructions,
)
from tiny_models import tiny_bert, tiny_tokenizer
from tiny_questions import tiny_questions
from tiny_tasks import quick_arguments, tiny_task

pytestmark = pytest.mark.filterwarnings(
    # of torch, when TRL's imports have it compile
    "ignore:`torch.jit:DeprecationWarning"
)


def classifier():
    return tiny_bert(hf.BertForSequenceClassification)


def drawn(model, data, arguments, *, num_rows=5, seed=0, tokenizer=None, **settings):
    return list(
        labelled_batches(
            model,
            tokenizer or tiny_tokenizer(),
            data,
            arguments=arguments,
            num_rows=num_rows,
            seed=seed,
            **settings,
        )
    )


def rows_of(batches, *names):
    return [tuple(tuple(batch[name].flatten().tolist()) for name in names) for batch in batches]


def test_they_are_training_rows_each_once(tmp_path, seed):
    data, arguments = tiny_task(), quick_arguments(tmp_path)
    with pytest.warns(SkippedRowsWarning, match="58 of 64 texts are longer than 10 tokens"):
        found = drawn(classifier(), data, arguments, num_rows=1000, seed=seed, max_length=10)
    rows = tokenize(data.train, tiny_tokenizer(), max_length=10)
    known = {(*row["input_ids"], row["labels"]) for row in rows}
    assert len(found) == len(data.train)
    assert {(*batch["input_ids"][0].tolist(), batch["labels"].item()) for batch in found} == known
    assert all(len(batch["labels"]) == 1 for batch in found)


def test_the_seed_chooses_them(tmp_path):
    data, arguments, model = tiny_task(), quick_arguments(tmp_path), classifier()
    first, again, other = (
        rows_of(drawn(model, data, arguments, seed=seed), "input_ids", "labels")
        for seed in (0, 0, 1)
    )
    assert len(first) == 5
    assert first == again != other


@pytest.mark.parametrize("problem", ["classification", "regression"])
def test_they_are_what_the_trainer_would_batch(problem, tmp_path):
    """With one row alone in a batch there is no padding."""
    data = tiny_task(problem=problem, pairs=True)
    model = tiny_bert(hf.BertForSequenceClassification, num_labels=data.num_labels)
    arguments = quick_arguments(tmp_path, per_device_train_batch_size=1)
    trainer = make_trainer(model, tiny_tokenizer(), data, arguments=arguments)
    batches = list(trainer.get_train_dataloader())
    names = ("input_ids", "attention_mask", "labels")
    found = rows_of(drawn(model, data, arguments, num_rows=1000), *names)
    assert sorted(found) == sorted(rows_of(batches, *names))


def test_of_questions_they_are_windows(tmp_path):
    data, arguments = tiny_questions(), quick_arguments(tmp_path)
    model = tiny_bert(hf.BertForQuestionAnswering)
    found = drawn(model, data, arguments, num_rows=7, max_length=14)
    assert len(found) == 7
    assert all(batch["input_ids"].shape[1] <= 14 for batch in found)
    fishers = block_fishers(model, found, of="weights", stage="before")
    assert all(one.num_samples == 7 for one in fishers)


@pytest.mark.parametrize("packing", [False, True])
def test_of_instructions_only_completions_carry_loss_and_none_are_packed(packing, tmp_path):
    data, tokenizer = tiny_instructions(), chat_tokenizer()
    arguments = sft_arguments(tmp_path, packing=packing)
    model = causal_llama()
    found = drawn(model, data, arguments, tokenizer=tokenizer, num_rows=4)
    assert arguments.packing == packing
    assert len(found) == 4
    for batch in found:
        (tokens,), (labels,) = batch["input_ids"].tolist(), batch["labels"].tolist()
        start = sum(label == -100 for label in labels)
        assert 0 < start < len(tokens)
        assert labels == [-100] * start + tokens[start:]
    fishers = block_fishers(model, found, of="weights", stage="before")
    assert all(one.spectrum.numerical_rank(1e-6).value == 4 for one in fishers)


def test_what_is_cut_before_its_completion_is_left_out(tmp_path):
    arguments, tokenizer = sft_arguments(tmp_path), chat_tokenizer()
    with pytest.warns(SkippedRowsWarning, match="of 32 examples are longer than 7 tokens"):
        found = drawn(
            causal_llama(),
            tiny_instructions(),
            arguments,
            tokenizer=tokenizer,
            num_rows=32,
            max_length=7,
        )
    assert 0 < len(found) < 32
    assert all((batch["labels"][:, 1:] != -100).any() for batch in found)


def test_they_do_for_a_wrapped_model(tmp_path):
    data, model = tiny_task(), classifier()
    arguments = quick_arguments(tmp_path)
    wrapped = wrap(model, plan_ranks(profile_of(model)), "classification")
    found = drawn(wrapped, data, arguments)
    assert len(block_fishers(wrapped, found, of="lora", stage="before")) == 3


def test_the_model_leaves_as_it_came(tmp_path):
    base = causal_llama().to(torch.bfloat16)
    model = wrap(base, plan_ranks(profile_of(base)), "instruction_tuning").train()
    base.lm_head.requires_grad_()

    def what_it_is():
        return (
            {name: (p.dtype, p.requires_grad) for name, p in model.named_parameters()},
            {name: (m.training, len(m._forward_hooks)) for name, m in model.named_modules()},
        )

    before = what_it_is()
    assert (torch.bfloat16, True) in before[0].values()
    arguments = sft_arguments(tmp_path, **{RECOMPUTING: True})
    drawn(model, tiny_instructions(), arguments, tokenizer=chat_tokenizer())
    assert what_it_is() == before
    assert arguments.gradient_checkpointing


def test_larger_batches_hold_the_same_rows_by_length(tmp_path):
    data, model, arguments = tiny_task(), classifier(), quick_arguments(tmp_path)
    alone = drawn(model, data, arguments, num_rows=11)
    together = drawn(model, data, arguments, num_rows=11, batch_size=4)
    assert [len(batch["labels"]) for batch in together] == [4, 4, 3]
    rows = [
        (*row[mask.bool()].tolist(), label.item())
        for batch in together
        for row, mask, label in zip(
            batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True
        )
    ]
    assert sorted(rows) == sorted(
        (*batch["input_ids"][0].tolist(), batch["labels"].item()) for batch in alone
    )
    assert [len(row) for row in rows] == sorted((len(row) for row in rows), reverse=True)


def test_validation_rows_are_drawn_from_their_split(tmp_path):
    data = tiny_task()
    found = drawn(classifier(), data, quick_arguments(tmp_path), num_rows=None, split="validation")
    rows = tokenize(data.validation, tiny_tokenizer(), max_length=None)
    assert {(*row["input_ids"], row["labels"]) for row in rows} == {
        (*batch["input_ids"][0].tolist(), batch["labels"].item()) for batch in found
    }
    with pytest.raises(DataError, match="no labelled validation rows"):
        drawn(
            classifier(),
            replace(data, validation=None),
            quick_arguments(tmp_path),
            split="validation",
        )


def test_there_are_no_labels(tmp_path):
    data = tiny_task()
    rows = data.train.remove_columns("label")
    for train in (rows, Dataset.from_dict({})):
        with pytest.raises(DataError, match="tiny has no labelled training rows to draw samples"):
            drawn(classifier(), replace(data, train=train), quick_arguments(tmp_path))
