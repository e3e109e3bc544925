"""Batches of the Trainer are padded on the right and masked, whatever the tokenizer would do."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertForQuestionAnswering, BertForSequenceClassification

from example_profiles import profile_of
from gelora.ranks import plan_ranks
from gelora.tasks.train import train
from gelora.training.train import collator
from tiny_models import tiny_bert, tiny_tokenizer
from tiny_questions import tiny_questions
from tiny_tasks import quick_arguments, tiny_task

ROWS = [
    {"input_ids": [1, 5, 2], "attention_mask": [1, 1, 1], "labels": 1},
    {"input_ids": [1, 2], "attention_mask": [1, 1], "labels": 0},
]


@pytest.mark.parametrize("side", ["right", "left"])
def test_rows_are_padded_on_the_right_beside_their_labels(side):
    batch = collator(tiny_tokenizer(padding_side=side), ["labels"])(ROWS)
    assert batch["input_ids"].tolist() == [[1, 5, 2], [1, 2, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [1, 0]
    numbers = [{**row, "labels": 0.5} for row in ROWS]
    assert collator(tiny_tokenizer(), ["labels"])(numbers)["labels"].dtype == torch.float32


@pytest.mark.parametrize(
    ("kind", "data"),
    [(BertForSequenceClassification, tiny_task()), (BertForQuestionAnswering, tiny_questions())],
)
def test_padding_is_not_attended_to_whatever_the_tokenizer_names_as_inputs(kind, data, tmp_path):
    trained = []
    for names in (["input_ids"], ["input_ids", "attention_mask"]):
        model, tokenizer, folder = tiny_bert(kind), tiny_tokenizer(), tmp_path / names[-1]
        tokenizer.model_input_names = names
        arguments = quick_arguments(folder, eval_strategy="epoch")
        train(model, tokenizer, data, plan_ranks(profile_of(model)), arguments=arguments)
        trained.append(load_file(folder / "adapter" / "adapter_model.safetensors"))
    left, right = trained
    assert all(torch.equal(left[name], right[name]) for name in right)
