"""Perplexity is exp of the loss per completion token, whatever the batches."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from example_profiles import profile_of
from gelora.errors import DataError, SkippedRowsWarning
from gelora.ranks import plan_ranks
from gelora.tasks.baselines import after_training
from gelora.tasks.evaluate import evaluate
from gelora.tasks.instruction_tuning import evaluation as tuning
from gelora.tasks.instruction_tuning.chats import TokenizedExample, tokenize_examples
from gelora.tasks.instruction_tuning.evaluation import (
    completion_losses,
    perplexity,
)
from gelora.training import wrap
from tiny_chats import FORGETFUL, causal_llama, chat_tokenizer, tiny_instructions


def by_hand(model, example):
    """Sum the loss token by token, each from a pass over what stands before it."""
    total = 0.0
    for place in range(max(example.completion_start, 1), len(example.tokens)):
        logits = model(torch.tensor([example.tokens[:place]])).logits[0, -1].double()
        total -= logits.log_softmax(0)[example.tokens[place]].item()
    return total


@pytest.mark.parametrize("batch_size", [1, 4, 64])
@pytest.mark.parametrize("chats", [True, False])
def test_losses_are_those_of_each_token_alone(chats, batch_size, monkeypatch):
    monkeypatch.setattr(tuning, "_MAX_LOGITS", 64 * 40)  # of the longest, two fit
    model, tokenizer = causal_llama(), chat_tokenizer()
    examples = tokenize_examples(tiny_instructions(chats=chats, turns=2).validation, tokenizer)
    with torch.no_grad():
        expected = [by_hand(model, example) for example in examples]
    found = completion_losses(model, tokenizer, examples, batch_size=batch_size)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_completion_without_a_prompt_counts_from_its_second_token():
    example = TokenizedExample([5, 6, 7], 0)
    assert example.num_predicted == 2
    with torch.no_grad():
        expected = by_hand(causal_llama(), example)
    found = completion_losses(causal_llama(), chat_tokenizer(), [example], batch_size=1)
    assert found[0] == pytest.approx(expected, rel=1e-4)


def test_a_model_that_knows_nothing_has_the_vocabulary_for_its_perplexity():
    model = causal_llama()
    with torch.no_grad():
        model.lm_head.weight.zero_()
    metric = evaluate(model, chat_tokenizer(), tiny_instructions())["perplexity"]
    assert metric.value == pytest.approx(64)
    assert metric.standard_error == pytest.approx(0, abs=1e-4)
    assert metric.num_samples == 12


def test_the_base_model_is_the_model_without_its_adapter():
    model, data = causal_llama(), tiny_instructions()
    before = evaluate(model, chat_tokenizer(), data)
    wrapped = wrap(model, plan_ranks(profile_of(model)), "instruction_tuning")
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    baselines = after_training(wrapped, chat_tokenizer(), data, batch_size=64, max_length=64)
    assert baselines == {"base_model": before}
    assert evaluate(wrapped, chat_tokenizer(), data) != before


def test_what_the_limit_leaves_is_counted():
    data, tokenizer, limit = tiny_instructions(), chat_tokenizer(), 7
    whole = tokenize_examples(data.validation, tokenizer)
    kept = [example for example in whole if example.cut(limit).num_predicted]
    message = f"tiny, validation: .* longer than 7 tokens .* {len(whole) - len(kept)} of them"
    with pytest.warns(SkippedRowsWarning, match=message):
        found = evaluate(causal_llama(), tokenizer, data, max_length=limit)["perplexity"]
    assert found.num_samples == len(kept) < len(whole)
    cut = [example.cut(limit) for example in kept]
    losses = completion_losses(causal_llama(), tokenizer, cut, batch_size=64)
    assert found == perplexity(losses, np.array([example.num_predicted for example in cut]))
    wrapped = wrap(causal_llama(), plan_ranks(profile_of(causal_llama())), "instruction_tuning")
    baselines = after_training(wrapped, tokenizer, data, batch_size=64, max_length=limit)
    assert baselines == {"base_model": {"perplexity": found}}


def test_what_the_template_leaves_out_is_counted():
    data, tokenizer = tiny_instructions(), chat_tokenizer(template=FORGETFUL)
    said = [e for e in tokenize_examples(data.validation, tokenizer) if e.num_predicted]
    empty = 12 - len(said)
    assert 0 < empty < 11
    message = f"tiny, validation: {empty} of 12 examples have no completion once they are written"
    with pytest.warns(SkippedRowsWarning, match=message):
        found = evaluate(causal_llama(), tokenizer, data)["perplexity"]
    assert found.num_samples == len(said)


@given(
    st.lists(st.tuples(st.floats(0.1, 50), st.integers(1, 30)), min_size=2, max_size=20),
    st.integers(2, 5),
)
def test_perplexity_is_of_tokens_and_its_error_of_texts(texts, copies):
    losses, tokens = map(np.array, zip(*texts, strict=True))
    one = perplexity(losses, tokens)
    assert one.value == pytest.approx(math.exp(losses.sum() / tokens.sum()))
    many = perplexity(np.tile(losses, copies), np.tile(tokens, copies))
    n = len(texts)
    shrink = ((n - 1) / (copies * n - 1)) ** 0.5  # of an error that falls as 1/sqrt(texts)
    assert many.value == pytest.approx(one.value)
    assert many.standard_error == pytest.approx(one.standard_error * shrink, abs=1e-9 * one.value)


def test_the_error_is_the_spread_over_samples(seed):
    generator = np.random.default_rng(seed)

    def draw():
        tokens = generator.integers(5, 50, size=400)
        return perplexity(tokens * generator.gamma(20, 0.1, size=400), tokens)

    drawn = [draw() for _ in range(300)]
    spread = np.std([metric.value for metric in drawn])
    assert np.mean([metric.standard_error for metric in drawn]) == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ([1.0], "Perplexity needs at least 2 examples with completions, got 1."),
        ([1.0, float("nan")], "1 of 2 losses are NaN or above 500 a token"),
        ([1.0, float("inf")], "1 of 2 losses are NaN or above 500 a token"),
        ([2000.0, 2000.0], "2 of 2 losses are NaN or above 500 a token"),
    ],
)
def test_what_is_no_perplexity_is_refused(losses, message):
    with pytest.raises(DataError, match=re.escape(message)):
        perplexity(np.array(losses), np.full(len(losses), 3))


def test_nothing_to_validate_on_is_refused():
    with pytest.raises(DataError, match="tiny has no labelled validation texts"):
        evaluate(causal_llama(), chat_tokenizer(), replace(tiny_instructions(), validation=None))
