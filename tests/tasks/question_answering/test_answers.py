"""The best span of all windows is the answer, unless the score of none is better."""

import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from gelora.errors import DataError
from gelora.tasks.question_answering.answers import choose_answers
from gelora.tasks.question_answering.settings import QuestionAnsweringSettings
from gelora.tasks.question_answering.windows import split_contexts
from tiny_models import WORDS, tiny_tokenizer
from tiny_questions import letter_tokenizer, questions, tiny_questions

SETTINGS = QuestionAnsweringSettings(version_2_with_negative=False, doc_stride=4)
NEGATIVE = replace(SETTINGS, version_2_with_negative=True)


def windows_of(split, tokenizer, *, max_length=14):
    return split_contexts(split, tokenizer, SETTINGS, max_length=max_length)


def random_scores(windows, seed):
    generator = np.random.default_rng(seed)
    sides = [[generator.normal(size=len(spans)) for spans in windows.spans] for _ in range(2)]
    return sides[0], sides[1]


def gold_scores(windows):
    """Score the labelled positions highest; none counts less than a span."""
    starts, ends = ([np.zeros(len(spans)) for spans in windows.spans] for _ in range(2))
    for i, row in enumerate(windows.features):
        height = 5 if row["start_positions"] == windows.nulls[i] else 9
        starts[i][row["start_positions"]] = ends[i][row["end_positions"]] = height
    return starts, ends


@pytest.mark.parametrize("make", [tiny_tokenizer, letter_tokenizer])
@pytest.mark.parametrize("version_2", [False, True])
def test_the_scores_of_the_labels_give_the_gold_answers(make, version_2):
    data = tiny_questions(version_2=version_2, max_words=30)
    windows = windows_of(data.train, make(), max_length=24)
    assert len(windows.features) > len(data.train)
    answers = choose_answers(
        windows,
        data.train["text_pair"],
        *gold_scores(windows),
        settings=data.question_answering,
    )
    gold = [(answer["text"] or [""])[0] for answer in data.train["answers"]]
    assert [answer.text for answer in answers] == gold
    assert [answer.null_odds > 0 for answer in answers] == [not text for text in gold]


def test_it_is_the_best_of_all_spans(seed):
    split = tiny_questions(num_train=12, max_words=30).train
    windows = windows_of(split, tiny_tokenizer())
    starts, ends = random_scores(windows, seed)
    settings = replace(SETTINGS, n_best_size=100, max_answer_length=5)
    answers = choose_answers(windows, split["text_pair"], starts, ends, settings=settings)
    assert len(answers) == 12
    for row, (answer, context) in enumerate(zip(answers, split["text_pair"], strict=True)):
        every = [
            (start[i] + end[j], context[spans[i][0] : spans[j][1]])
            for spans, start, end, owner in zip(
                windows.spans, starts, ends, windows.questions, strict=True
            )
            if owner == row
            for i in range(len(spans))
            for j in range(i, min(i + 5, len(spans)))
            if spans[i][1] >= 0 and spans[j][1] >= 0
        ]
        every.sort(key=lambda pair: -pair[0])
        assert [text for _, text in every[:100]] == [text for text, _ in answer.spans]
        assert answer.text == answer.best_span == every[0][1]


def test_fewer_candidates_are_the_best_starts_with_the_best_ends():
    split = questions([" ".join(WORDS[:6])], [[]])
    windows = windows_of(split, tiny_tokenizer(), max_length=None)
    first = int(np.flatnonzero(windows.spans[0][:, 1] >= 0)[0])
    start, end = np.zeros(len(windows.spans[0])), np.zeros(len(windows.spans[0]))
    start[first : first + 3] = 1.0, 5.0, 4.0
    end[first : first + 3] = 6.0, 2.0, 3.0
    scores = {"starts": [start], "ends": [end]}
    texts = split["text_pair"]
    options = {"settings": replace(SETTINGS, n_best_size=2)}
    [answer] = choose_answers(windows, texts, **scores, **options)
    assert answer.spans == (("w1 w2", 8.0), ("w2", 7.0))  # w0 has a good end and no good start
    [answer] = choose_answers(windows, texts, **scores, settings=replace(SETTINGS, n_best_size=1))
    assert (answer.text, answer.spans) == ("", ())  # the best end comes before the best start
    assert answer.null_odds == sys.float_info.max


def test_scores_outside_the_context_and_behind_a_window_do_not_count(seed):
    split = tiny_questions(num_train=12).train
    windows = windows_of(split, tiny_tokenizer())
    starts, ends = random_scores(windows, seed)
    texts = split["text_pair"]
    expected = choose_answers(windows, texts, starts, ends, settings=SETTINGS)
    padded = [np.full((len(windows.spans), 20), -100.0) for _ in range(2)]
    for matrix, rows in zip(padded, (starts, ends), strict=True):
        for i, (spans, row) in enumerate(zip(windows.spans, rows, strict=True)):
            matrix[i, : len(row)] = np.where(spans[:, 1] >= 0, row, 99.0)
    found = choose_answers(windows, texts, *padded, settings=SETTINGS)
    assert [answer.spans for answer in found] == [answer.spans for answer in expected]


def test_no_answer_is_given_where_its_odds_exceed_the_threshold(seed):
    split = tiny_questions(num_train=30).train
    windows = windows_of(split, tiny_tokenizer())
    scores = random_scores(windows, seed)
    texts = split["text_pair"]
    always = choose_answers(windows, texts, *scores, settings=SETTINGS)
    assert all(answer.text == answer.best_span != "" for answer in always)
    for threshold in (-9.0, always[0].null_odds, 9.0):
        settings = replace(NEGATIVE, null_score_diff_threshold=threshold)
        for answer, other in zip(
            choose_answers(windows, texts, *scores, settings=settings), always, strict=True
        ):
            assert answer.spans == other.spans
            assert answer.null_odds == other.null_odds
            assert answer.text == ("" if answer.null_odds > threshold else other.text)


def test_a_span_without_text_is_none():
    windows = windows_of(questions([f"{WORDS[0]} {WORDS[1]}"], [[]]), tiny_tokenizer())
    windows.spans[0][4] = 0, 0  # as tokenizers give that put a token of their own first
    starts = [np.zeros(len(windows.spans[0]))]
    starts[0][4] = 5.0
    settings = replace(SETTINGS, max_answer_length=1)
    [answer] = choose_answers(windows, ["w0 w1"], starts, starts, settings=settings)
    assert answer.spans == (("w1", 0.0),)


def test_the_score_of_no_answer_is_the_least_of_all_windows():
    split = questions([" ".join(WORDS[:20])], [[]])
    windows = windows_of(split, tiny_tokenizer())
    assert len(windows.spans) > 1
    starts = [np.zeros(len(spans)) for spans in windows.spans]
    for i, null in enumerate(windows.nulls):
        starts[i][null] = 3.0 + i
    [answer] = choose_answers(windows, split["text_pair"], starts, starts, settings=NEGATIVE)
    assert answer.null_odds == 6.0


def test_a_question_without_a_window_has_the_empty_answer():
    split = questions([WORDS[0], WORDS[1]], [[], []])
    windows = windows_of(split.select([0]), tiny_tokenizer())
    scores = random_scores(windows, 0)
    _, answer = choose_answers(windows, split["text_pair"], *scores, settings=SETTINGS)
    assert (answer.text, answer.best_span, answer.spans) == ("", "", ())


def test_scores_that_are_no_numbers_are_refused():
    windows = windows_of(questions([WORDS[0]], [[]]), tiny_tokenizer())
    starts, ends = random_scores(windows, 0)
    starts[0][1:3] = np.nan, np.inf
    message = re.escape("2 of 6 scores of a window are NaN or infinite: training diverged")
    with pytest.raises(DataError, match=message):
        choose_answers(windows, [WORDS[0]], starts, ends, settings=SETTINGS)
