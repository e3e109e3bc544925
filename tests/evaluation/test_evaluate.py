"""The one door to evaluation: every split of a task, each with its own metrics."""

from dataclasses import replace

import pytest
from transformers import BertForSequenceClassification

from gelora.errors import DataError
from gelora.evaluation import evaluate
from tiny_models import tiny_bert, tiny_tokenizer
from tiny_tasks import tiny_task


def test_the_metrics_of_a_further_split_carry_its_name():
    task = tiny_task(num_validation=12)
    model, tokenizer = tiny_bert(BertForSequenceClassification), tiny_tokenizer()
    further = task.train.select(range(30))
    both = evaluate(model, tokenizer, replace(task, more_validation={"mismatched": further}))
    first = evaluate(model, tokenizer, task)
    second = evaluate(model, tokenizer, replace(task, validation=further))
    assert both == {**first, **{f"{name}_mismatched": metric for name, metric in second.items()}}
    assert both["accuracy_mismatched"].num_samples == 30


def test_every_split_needs_labels():
    task = tiny_task()
    unlabelled = task.train.remove_columns("label")
    with pytest.raises(DataError, match="tiny has no labelled validation texts"):
        evaluate(
            tiny_bert(BertForSequenceClassification),
            tiny_tokenizer(),
            replace(task, more_validation={"mismatched": unlabelled}),
        )
