"""Log-likelihoods are what the models' own losses say, and probabilities: they sum to one."""

import re

import pytest
import torch
import transformers as hf

from gelora.errors import DataError
from gelora.likelihood import log_likelihood, row_losses
from tiny_models import tiny_bert, tiny_gpt2, tiny_llama
from tiny_samples import (
    HEADS,
    answerer,
    classifier,
    likelihood_by_loss,
    regressor,
    samples_for,
    writer,
)


@pytest.mark.parametrize("name", HEADS)
def test_it_is_what_the_models_own_loss_says(name, seed):
    model = HEADS[name]()
    for sample in samples_for(name, 3, seed=seed):
        expected = likelihood_by_loss(name, model, sample)
        found = log_likelihood(model, sample)
        assert found.item() == pytest.approx(expected.item(), rel=1e-5)  # some losses are float32


def total(model, samples):
    with torch.no_grad():
        return sum(log_likelihood(model, sample).exp().item() for sample in samples)


def test_probabilities_of_all_classes_sum_to_one(seed):
    (sample,) = samples_for("classifier", 1, seed=seed)
    samples = [{**sample, "labels": torch.tensor([label])} for label in range(3)]
    assert total(classifier(), samples) == pytest.approx(1)


def test_probabilities_of_all_spans_sum_to_one(seed):
    (sample,) = samples_for("answerer", 1, seed=seed)
    places = torch.arange(sample["input_ids"].shape[1])[:, None]
    spans = [
        {**sample, "start_positions": start, "end_positions": end}
        for start in places
        for end in places
    ]
    assert total(answerer(), spans) == pytest.approx(1)


def test_probabilities_of_all_last_two_tokens_sum_to_one(seed):
    """Both carry loss: the second is given the first."""
    (sample,) = samples_for("writer", 1, seed=seed)
    model = writer()
    model.resize_token_embeddings(8)
    sample["input_ids"] %= 8
    samples = []
    for pair in torch.cartesian_prod(torch.arange(8), torch.arange(8)):
        tokens = torch.cat([sample["input_ids"][:, :-2], pair[None]], dim=1)
        labels = torch.full_like(tokens, -100)
        labels[:, -2:] = pair
        samples.append({**sample, "input_ids": tokens, "labels": labels})
    assert total(model, samples) == pytest.approx(1)


def test_a_number_is_gaussian():
    model = regressor()
    (sample,) = samples_for("regressor", 1)
    output = model(**{k: v for k, v in sample.items() if k != "labels"}).logits[0, 0]
    for label in (0, 3):  # whole numbers are numbers, too
        found = log_likelihood(model, {**sample, "labels": torch.tensor([label])})
        torch.testing.assert_close(found, -((output - label) ** 2) / 2)


def test_half_precision_is_summed_in_float32():
    (sample,) = samples_for("classifier", 1)
    assert log_likelihood(classifier().bfloat16(), sample).dtype == torch.float32


def test_more_than_one_row():
    first, second = samples_for("classifier", 2, seed=3)
    rows = min(first["input_ids"].shape[1], second["input_ids"].shape[1])
    both = {
        "input_ids": torch.cat([first["input_ids"][:, :rows], second["input_ids"][:, :rows]]),
        "labels": torch.tensor([0, 1]),
    }
    with pytest.raises(DataError, match=re.escape("must hold one sample. Got 2 rows.")):
        log_likelihood(classifier(), both)


def test_no_labels():
    (sample,) = samples_for("classifier", 1)
    del sample["labels"]
    message = "no labels nor start_positions nor end_positions among input_ids, attention_mask: a"
    with pytest.raises(DataError, match=message):
        log_likelihood(classifier(), sample)


def test_labels_of_another_kind():
    (sample,) = samples_for("classifier", 1)
    sample["labels"] = torch.tensor([[0.0, 1.0, 1.0]])  # several classes at once
    message = "shape (1, 3) and type torch.float32 for scores of shape (1, 3) are neither"
    with pytest.raises(DataError, match=re.escape(message)):
        log_likelihood(classifier(), sample)


@pytest.mark.parametrize(
    "model",
    [tiny_bert(hf.BertForMaskedLM), tiny_gpt2(hf.GPT2ForTokenClassification)],
    ids=["seen from both sides", "not of the next token"],
)
def test_labels_of_tokens_that_are_not_written(model):
    (sample,) = samples_for("writer", 1)
    message = f"causal language models alone. Got a {type(model).__name__}."
    with pytest.raises(DataError, match=re.escape(message)):
        log_likelihood(model, sample)


def test_no_token_carries_loss():
    (sample,) = samples_for("writer", 1)
    length = sample["labels"].shape[1]
    sample["labels"][:, 1:] = -100  # the first token follows nothing
    with pytest.raises(
        DataError, match=f"None of the {length} tokens of row 0 of a batch carries loss"
    ):
        log_likelihood(tiny_llama(hf.LlamaForCausalLM), sample)


@pytest.mark.parametrize("name", HEADS)
def test_the_rows_of_a_batch_have_the_losses_that_they_have_alone(name):
    model = HEADS[name]()
    samples = samples_for(name, 4)
    longest = max(sample["input_ids"].shape[1] for sample in samples)
    padding = {"input_ids": 0, "attention_mask": 0, "labels": -100}
    batch = {
        key: torch.cat(
            [
                torch.nn.functional.pad(s[key], (0, longest - s[key].shape[1]), value=padding[key])
                if s[key].ndim == 2
                else s[key]
                for s in samples
            ]
        )
        for key in samples[0]
    }
    together = row_losses(model, batch).losses
    alone = torch.cat([row_losses(model, sample).losses for sample in samples])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    own = torch.stack([model(**sample).loss for sample in samples])
    torch.testing.assert_close(alone, own, rtol=1e-5, atol=1e-6, check_dtype=False)
