"""Every split of a task is evaluated, each with its own metrics."""

from dataclasses import replace

import pytest
from transformers import BertForSequenceClassification

from gelora.errors import DataError, SkippedRowsWarning
from gelora.tasks.evaluate import evaluate
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


def test_texts_that_are_cut_are_counted_by_split():
    task = tiny_task(num_validation=12)
    splits = {"tiny": task.validation, "tiny_mismatched": task.train.select(range(30))}
    messages = []
    for name, split in splits.items():
        cut = sum(len(text.split()) + 2 > 12 for text in split["text"])
        assert 0 < cut < len(split)
        messages.append(
            f"{name}, validation: {cut} of {len(split)} texts are longer than 12 tokens and are "
            "cut: raise --max_length if the model takes more."
        )
    both = replace(task, more_validation={"mismatched": splits["tiny_mismatched"]})
    with pytest.warns(SkippedRowsWarning) as warned:
        evaluate(tiny_bert(BertForSequenceClassification), tiny_tokenizer(), both, max_length=12)
    assert [str(warning.message) for warning in warned] == messages


def test_every_split_needs_labels():
    task = tiny_task()
    unlabelled = task.train.remove_columns("label")
    with pytest.raises(DataError, match="tiny_mismatched has no labelled validation texts"):
        evaluate(
            tiny_bert(BertForSequenceClassification),
            tiny_tokenizer(),
            replace(task, more_validation={"mismatched": unlabelled}),
        )
