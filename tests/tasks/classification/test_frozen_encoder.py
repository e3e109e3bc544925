"""The baseline is a linear model on the frozen states, fitted on the training texts alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.preprocessing import StandardScaler
from transformers import BertForSequenceClassification, LlamaForSequenceClassification

from gelora.errors import DataError
from gelora.hidden_states.activations import hidden_states
from gelora.tasks.baselines import majority_baseline
from gelora.tasks.classification import frozen_encoder
from gelora.tasks.classification.frozen_encoder import frozen_encoder_baseline
from tiny_models import tiny_bert, tiny_llama, tiny_tokenizer
from tiny_tasks import tiny_task


def bert():
    return tiny_bert(BertForSequenceClassification)


def with_labels(split, labels):
    return split.remove_columns("label").add_column("label", labels)


def test_it_finds_what_the_states_hold():
    data = tiny_task(num_train=200, num_validation=100)
    metrics = frozen_encoder_baseline(bert(), data, tiny_tokenizer())
    assert metrics.keys() == set(data.metrics)
    constant = majority_baseline(
        np.array(data.train["label"]),
        np.array(data.validation["label"]),
        problem="classification",
        metrics=["accuracy"],
    )
    assert metrics["accuracy"].value > constant["accuracy"].value + 0.25
    assert metrics["accuracy"].num_samples == 100


def test_it_finds_a_number_that_the_states_hold():
    data = tiny_task(num_train=200, problem="regression")
    metrics = frozen_encoder_baseline(bert(), data, tiny_tokenizer())
    assert metrics["pearson"].value > 0.8


def test_shuffled_training_labels_leave_nothing_to_find():
    data = tiny_task(num_train=200, num_validation=200)
    shuffled = np.random.default_rng(0).permutation(data.train["label"])
    data = replace(data, train=with_labels(data.train, shuffled))
    metric = frozen_encoder_baseline(bert(), data, tiny_tokenizer())["matthews_correlation"]
    assert abs(metric.value) < 4 / np.sqrt(200)


def test_it_is_logistic_regression_on_standardised_final_states(monkeypatch):
    monkeypatch.setattr(frozen_encoder, "INVERSE_PENALTIES", (0.1,) * 3)
    data, tokenizer, model = tiny_task(), tiny_tokenizer(), bert()

    def states(split):
        one_by_one = [tokenizer(text, return_tensors="pt") for text in split["text"]]
        return hidden_states(model, one_by_one, pooling="mean")[-1].double().numpy()

    scale = StandardScaler().fit(states(data.train))
    logistic = LogisticRegression(C=0.1, max_iter=1000)
    logistic.fit(scale.transform(states(data.train)), data.train["label"])
    expected = logistic.score(scale.transform(states(data.validation)), data.validation["label"])
    metrics = frozen_encoder_baseline(model, data, tokenizer, batch_size=16)
    assert metrics["accuracy"].value == pytest.approx(expected)


def test_it_does_not_look_at_the_head_or_change_the_model():
    data, tokenizer = tiny_task(), tiny_tokenizer()
    model = bert().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = frozen_encoder_baseline(model, data, tokenizer, seed=3)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    torch.nn.init.normal_(model.classifier.weight)
    assert frozen_encoder_baseline(model, data, tokenizer, seed=3) == first


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_causal_model_is_read_at_its_last_token(side):
    model, tokenizer = tiny_llama(LlamaForSequenceClassification), tiny_tokenizer()
    data = tiny_task(problem="regression")

    def last_states(split):
        one_by_one = [tokenizer(text, return_tensors="pt") for text in split["text"]]
        return hidden_states(model, one_by_one, pooling="last")[-1].double().numpy()

    scale = StandardScaler().fit(last_states(data.train))
    ridge = RidgeCV(frozen_encoder.RIDGE_PENALTIES)
    ridge.fit(scale.transform(last_states(data.train)), data.train["label"])
    predictions = ridge.predict(scale.transform(last_states(data.validation)))
    expected = np.corrcoef(predictions, data.validation["label"])[0, 1]
    metrics = frozen_encoder_baseline(model, data, tiny_tokenizer(padding_side=side))
    assert metrics["pearson"].value == pytest.approx(expected, abs=1e-4)


def test_a_class_of_one_text_and_one_never_seen_are_no_trouble():
    data = tiny_task()
    train, validation = list(data.train["label"]), list(data.validation["label"])
    train[0], validation[0] = 2, 4
    data = replace(
        data,
        train=with_labels(data.train, train),
        validation=with_labels(data.validation, validation),
    )
    metrics = frozen_encoder_baseline(bert(), data, tiny_tokenizer())
    assert 0.5 < metrics["accuracy"].value < 1.0


@pytest.mark.parametrize("problem", ["classification", "regression"])
def test_equal_training_labels_are_refused(problem):
    data = tiny_task(problem=problem)
    data = replace(data, train=with_labels(data.train, [1] * 64))
    with pytest.raises(DataError, match=r"All 64 training labels of tiny are 1: there is nothing"):
        frozen_encoder_baseline(bert(), data, tiny_tokenizer())


def test_texts_longer_than_the_model_s_positions_are_cut():
    data, tokenizer = tiny_task(), tiny_tokenizer()
    tokenizer.model_max_length = int(1e30)
    longer = data.train.map(lambda row: {"text": row["text"] + " w1" * 100})
    metrics = frozen_encoder_baseline(bert(), replace(data, train=longer), tokenizer)
    assert metrics["accuracy"].num_samples == 40


def test_without_validation_labels_it_says_so():
    data = replace(tiny_task(), validation=None)
    with pytest.raises(DataError, match="tiny has no labelled validation texts"):
        frozen_encoder_baseline(bert(), data, tiny_tokenizer())
