"""Scores come in the data's order whatever the batches, and a model leaves as it came."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import (
    BartForSequenceClassification,
    BertForSequenceClassification,
    GPT2ForSequenceClassification,
)

from gelora.errors import DataError
from gelora.tasks.baselines import majority_baseline
from gelora.tasks.classification.evaluation import length_sorted_batches, predict
from gelora.tasks.evaluate import evaluate
from gelora.tasks.metrics import Metric, compute_metrics
from tiny_models import MAX_TOKENS, TINY_MODELS, tiny_bert, tiny_tokenizer
from tiny_tasks import tiny_task

CLASSES = {
    "bert": BertForSequenceClassification,
    "gpt2": GPT2ForSequenceClassification,
    "bart": BartForSequenceClassification,
}


def bert(**overrides):
    return tiny_bert(BertForSequenceClassification, **overrides)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_scores_are_in_the_order_of_the_texts(name, batch_size):
    model, tokenizer = TINY_MODELS[name](CLASSES[name]), tiny_tokenizer()
    validation = tiny_task().validation
    with torch.no_grad():
        alone = [model(**tokenizer(t, return_tensors="pt")).logits[0] for t in validation["text"]]
    scores = predict(model, tokenizer, validation, batch_size=batch_size)
    assert scores.dtype == np.float32
    torch.testing.assert_close(torch.tensor(scores), torch.stack(alone), rtol=1e-4, atol=1e-5)


def test_a_single_output_is_a_number_per_text():
    scores = predict(bert(num_labels=1), tiny_tokenizer(), tiny_task().validation)
    assert scores.shape == (40,)


def test_texts_are_cut_at_the_length_given():
    model, tokenizer, validation = bert(), tiny_tokenizer(), tiny_task().validation
    order, batches = length_sorted_batches(model, validation, tokenizer, 16, 6)
    shapes = [batch["input_ids"].shape for batch in batches]
    assert shapes == [(16, 6), (16, 6), (8, 6)]
    assert sorted(order) == list(range(40))
    cut = predict(model, tokenizer, validation, max_length=6)
    assert not np.allclose(cut, predict(model, tokenizer, validation))


def test_batches_hold_texts_of_like_length_and_no_labels():
    validation = tiny_task().validation
    order, batches = length_sorted_batches(bert(), validation, tiny_tokenizer(), 8, None)
    batches = list(batches)
    lengths = np.concatenate([batch["attention_mask"].sum(dim=1) for batch in batches])
    words = [len(tiny_task().validation["text"][row].split()) + 2 for row in order]
    assert list(lengths) == words == sorted(words, reverse=True)
    assert all("labels" not in batch for batch in batches)


@pytest.mark.parametrize("max_length", [None, 1024])
def test_texts_are_cut_at_the_positions_of_the_model(max_length):
    model, tokenizer = bert(), tiny_tokenizer()
    tokenizer.model_max_length = int(1e30)
    words = ["w1"] * (MAX_TOKENS - 2)
    texts = [" ".join(words + more) for more in ([], ["w2"] * 100)]
    scores = predict(model, tokenizer, Dataset.from_dict({"text": texts}), max_length=max_length)
    np.testing.assert_array_equal(scores[0], scores[1])


def test_the_model_leaves_as_it_came():
    model = bert().train()
    model.bert.encoder.layer[1].eval()
    modes = [module.training for module in model.modules()]
    scores = predict(model, tiny_tokenizer(), tiny_task().validation)
    assert [module.training for module in model.modules()] == modes
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    # Dropout was off: a second time gives the same.
    np.testing.assert_array_equal(scores, predict(model, tiny_tokenizer(), tiny_task().validation))


def test_the_model_leaves_as_it_came_after_an_error():
    model = bert().train()
    larger = tiny_tokenizer(words=[f"x{i}" for i in range(99)])
    with pytest.raises(IndexError):
        predict(model, larger, Dataset.from_dict({"text": ["x98 x98"], "label": [0]}))
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("problem", ["classification", "regression"])
def test_evaluate_is_the_metrics_of_the_predictions(problem):
    data, tokenizer = tiny_task(problem=problem), tiny_tokenizer()
    model = bert(num_labels=data.num_labels)
    scores = predict(model, tokenizer, data.validation)
    expected = compute_metrics(scores, np.array(data.validation["label"]), metrics=data.metrics)
    result = evaluate(model, tokenizer, data, batch_size=40)
    assert result.keys() == set(data.metrics)
    for name, metric in result.items():
        assert metric.num_samples == 40
        assert metric.value == pytest.approx(expected[name].value, abs=1e-5)
        assert metric.standard_error == pytest.approx(expected[name].standard_error, abs=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        lambda split: None,
        lambda split: split.select([]),
        lambda split: split.remove_columns("label"),
    ],
)
def test_without_labelled_validation_texts_it_says_so(change):
    data = tiny_task()
    data = replace(data, validation=change(data.validation))
    with pytest.raises(DataError, match="tiny has no labelled validation texts: name a valid"):
        evaluate(bert(), tiny_tokenizer(), data)


def test_a_model_of_too_few_labels_says_so():
    data = tiny_task()
    labels = [2, *data.validation["label"][1:]]
    data = replace(
        data, validation=data.validation.remove_columns("label").add_column("label", labels)
    )
    message = re.escape("The model scores labels 0 to 1, the data has 0 to 2.")
    with pytest.raises(DataError, match=message):
        evaluate(bert(), tiny_tokenizer(), data)


def test_the_majority_is_that_of_training():
    train, validation = np.array([1, 1, 0, 1]), np.array([0, 0, 1, 0])
    names = ("accuracy", "f1", "matthews_correlation")
    metrics = majority_baseline(train, validation, problem="classification", metrics=names)
    assert metrics["accuracy"].value == 0.25
    assert metrics["f1"].value == pytest.approx(2 / (2 + 3))
    assert metrics["matthews_correlation"] == Metric(0.0, 0.0, 4)


def test_a_label_that_only_validation_has_is_scored():
    metrics = majority_baseline(
        np.array([0, 0, 1]), np.array([0, 3]), problem="classification", metrics=["accuracy"]
    )
    assert metrics["accuracy"].value == 0.5


def test_the_mean_correlates_with_nothing():
    metrics = majority_baseline(
        np.arange(5.0), np.arange(8.0), problem="regression", metrics=["pearson", "spearman"]
    )
    assert metrics == dict.fromkeys(("pearson", "spearman"), Metric(0.0, 0.0, 8))
