"""A model's answers do not depend on how they are batched, and their metrics are SQuAD's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import (
    BertForQuestionAnswering,
    GPT2ForQuestionAnswering,
    LlamaForQuestionAnswering,
    T5ForQuestionAnswering,
)

from gelora.errors import DataError, SkippedRowsWarning
from gelora.tasks.evaluate import evaluate
from gelora.tasks.question_answering.answers import choose_answers
from gelora.tasks.question_answering.evaluation import answer_questions
from gelora.tasks.question_answering.scoring import answer_metrics
from gelora.tasks.question_answering.windows import split_contexts
from tiny_models import TINY_MODELS, WORDS, tiny_bert, tiny_tokenizer
from tiny_questions import tiny_questions

CLASSES = {
    "bert": BertForQuestionAnswering,
    "gpt2": GPT2ForQuestionAnswering,
    "llama": LlamaForQuestionAnswering,
    "t5": T5ForQuestionAnswering,
}


def tiny(name="bert"):
    return TINY_MODELS[name](CLASSES[name])


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("padding_side", ["right", "left"])
def test_answers_are_those_of_each_window_by_itself(name, padding_side):
    model, data = tiny(name), tiny_questions(version_2=True, max_words=30, num_validation=12)
    tokenizer, settings = tiny_tokenizer(padding_side=padding_side), data.question_answering
    windows = split_contexts(data.validation, tokenizer, settings, max_length=20)
    rows = windows.features.remove_columns(["start_positions", "end_positions"])
    with torch.no_grad():
        alone = [model(**{k: torch.tensor([v]) for k, v in row.items()}) for row in rows]
    starts = [output.start_logits[0].numpy() for output in alone]
    ends = [output.end_logits[0].numpy() for output in alone]
    contexts = data.validation["text_pair"]
    expected = choose_answers(windows, contexts, starts, ends, settings=settings)
    found = answer_questions(model, tokenizer, data, batch_size=5, max_length=20)
    assert len(found) == 12 < len(rows)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.text == theirs.text
        assert ours.null_odds == pytest.approx(theirs.null_odds, abs=1e-4)
        np.testing.assert_allclose(*([s for _, s in a.spans] for a in (ours, theirs)), atol=1e-4)


@pytest.mark.parametrize("version_2", [False, True])
def test_evaluate_is_the_metrics_of_the_answers(version_2):
    data = tiny_questions(version_2=version_2)
    answers = answer_questions(tiny(), tiny_tokenizer(), data)
    odds = {"null_odds": [a.null_odds for a in answers], "spans": [a.best_span for a in answers]}
    expected = answer_metrics(
        [answer.text for answer in answers],
        [gold["text"] for gold in data.validation["answers"]],
        version_2=version_2,
        **odds,
    )
    assert evaluate(tiny(), tiny_tokenizer(), data) == expected
    assert ("best_f1_thresh" in expected) == version_2
    assert expected["f1"].num_samples == 40


def test_the_best_threshold_is_reached_when_it_is_given():
    data = tiny_questions(version_2=True)
    metrics = evaluate(tiny(), tiny_tokenizer(), data)
    settings = replace(
        data.question_answering, null_score_diff_threshold=metrics["best_f1_thresh"].value
    )
    again = evaluate(tiny(), tiny_tokenizer(), replace(data, question_answering=settings))
    assert again["f1"].value == pytest.approx(metrics["best_f1"].value)
    assert again["f1"].value > metrics["f1"].value


def test_without_settings_the_usual_ones_hold():
    data = replace(tiny_questions(), question_answering=None)
    with pytest.raises(DataError, match="has no labelled validation texts"):
        evaluate(tiny(), tiny_tokenizer(), replace(data, validation=None))
    with pytest.raises(ValueError, match="cannot share 128"):
        evaluate(tiny(), tiny_tokenizer(), data)


def test_a_question_that_is_too_long_is_answered_by_nothing_and_counted():
    data = tiny_questions(num_validation=4)
    rows = data.validation.to_dict()
    rows["text"][2] = " ".join(WORDS[:60])
    data = replace(data, validation=Dataset.from_dict(rows))
    with pytest.warns(SkippedRowsWarning, match="1 of 4 questions are too long"):
        answers = answer_questions(tiny(), tiny_tokenizer(), data)
    assert [bool(answer.text) for answer in answers] == [True, True, False, True]
    with pytest.warns(SkippedRowsWarning):
        metrics = evaluate(tiny(), tiny_tokenizer(), data)
    assert metrics["f1"].num_samples == 4


def test_the_model_leaves_as_it_came():
    model = tiny_bert(BertForQuestionAnswering).train()
    answer_questions(model, tiny_tokenizer(), tiny_questions(num_validation=4))
    assert all(module.training for module in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
