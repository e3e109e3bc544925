"""Windows cover every context, share what they should, and know where the answer lies."""

import re

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from gelora.errors import ConfigError, SkippedRowsWarning
from gelora.tasks.question_answering.questions import answer_span
from gelora.tasks.question_answering.settings import QuestionAnsweringSettings
from gelora.tasks.question_answering.windows import (
    answer_tokens,
    split_contexts,
    warn_of_cut_answers,
)
from tiny_models import WORDS, tiny_tokenizer
from tiny_questions import QUESTION, letter_tokenizer, questions, tiny_questions, tokenizer_with

TOKENIZERS = {
    "words": tiny_tokenizer,
    "letters": letter_tokenizer,
    "no special tokens": lambda: tokenizer_with(None),
    "CLS at the end": lambda: tokenizer_with("$A [SEP] $B:1 [SEP]:1 [CLS]:1"),
    "CLS between": lambda: tokenizer_with("$A [SEP] [CLS] $B:1 [SEP]:1"),
}
LONG = " ".join(WORDS[8:58])  # 50 words, each different


def windows_of(split, tokenizer, *, stride=4, max_length=20):
    settings = QuestionAnsweringSettings(doc_stride=stride)
    return split_contexts(split, tokenizer, settings, max_length=max_length)


def inside(spans):
    return spans[spans[:, 1] >= 0]


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("stride", [0, 1, 7])
def test_windows_of_a_context_cover_it_and_share_the_stride(name, stride):
    tokenizer = TOKENIZERS[name]()
    split = questions([LONG, WORDS[9]], [[], []])
    windows = windows_of(split, tokenizer, stride=stride)
    whole = windows_of(split, tokenizer, max_length=None)
    assert whole.questions.tolist() == [0, 1]
    assert set(windows.questions.tolist()) == {0, 1}
    parts = [
        inside(spans)
        for spans, row in zip(windows.spans, windows.questions, strict=True)
        if row == 0
    ]
    assert len(parts) > 2
    joined = [parts[0], *(part[stride:] for part in parts[1:])]
    np.testing.assert_array_equal(np.concatenate(joined), inside(whole.spans[0]))
    lengths = [len(ids) for ids in windows.features["input_ids"]]
    assert max(lengths) <= 20
    assert all(length == 20 for length in lengths[: len(parts) - 1])


@pytest.mark.parametrize("name", TOKENIZERS)
def test_every_window_is_the_question_and_a_part_of_the_context(name):
    tokenizer = TOKENIZERS[name]()
    windows = windows_of(questions([LONG], [[]]), tokenizer)
    asked = tokenizer(QUESTION, add_special_tokens=False)["input_ids"]
    context = tokenizer(LONG, add_special_tokens=False)["input_ids"]
    for ids, spans in zip(windows.features["input_ids"], windows.spans, strict=True):
        others = [token for token, (_, end) in zip(ids, spans, strict=True) if end < 0]
        assert [token for token in others if token not in (1, 2)] == asked
        part = [token for token, (_, end) in zip(ids, spans, strict=True) if end >= 0]
        assert " ".join(map(str, part)) in " ".join(map(str, context))


@pytest.mark.parametrize(
    ("name", "position"),
    [("words", 0), ("letters", 0), ("no special tokens", 0), ("CLS at the end", -1)],
)
def test_the_null_position_is_the_cls_token_wherever_it_is(name, position):
    tokenizer = TOKENIZERS[name]()
    windows = windows_of(questions([LONG], [[]]), tokenizer)
    for ids, null in zip(windows.features["input_ids"], windows.nulls, strict=True):
        assert null == position % len(ids)
        assert ids[null] == (WORDS.index("w6") + 4 if name == "no special tokens" else 1)
    starts, ends = windows.features["start_positions"], windows.features["end_positions"]
    assert starts == ends == windows.nulls.tolist()


@pytest.mark.parametrize("name", TOKENIZERS)
def test_positions_are_the_tokens_that_share_a_character_with_the_answer(name, seed):
    generator = np.random.default_rng(seed)
    cuts = np.sort(generator.integers(len(LONG), size=(30, 2)))
    cuts = [(int(a), int(b) + 1) for a, b in cuts if LONG[a : b + 1].strip() == LONG[a : b + 1]]
    split = questions([LONG] * len(cuts), [[(LONG[a:b], a)] for a, b in cuts])
    windows = windows_of(split, TOKENIZERS[name](), stride=10, max_length=24)
    held = set()
    for i, (spans, row) in enumerate(zip(windows.spans, windows.questions, strict=True)):
        begin, end = cuts[row]
        touched = [k for k, (a, b) in enumerate(spans) if b > 0 and a < end and b > begin]
        starts = [a for a, b in spans if b >= 0]
        whole = starts and starts[0] <= begin and max(b for _, b in spans) >= end
        found = tuple(windows.features[name][i] for name in ("start_positions", "end_positions"))
        assert found == ((touched[0], touched[-1]) if whole else (windows.nulls[i],) * 2)
        held |= {row} if whole else set()
    short = {row for row, (begin, end) in enumerate(cuts) if len(LONG[begin:end].split()) == 1}
    assert short <= held  # what is no longer than the stride is whole in some window


def test_an_answer_that_the_tokenizer_drops_is_none():
    spans = np.array([[-1, -1], [0, 3], [4, 7]])
    assert answer_tokens(spans, 0, (3, 4)) == (0, 0)
    assert answer_tokens(spans[:1], 0, (3, 4)) == (0, 0)


def test_the_first_answer_that_is_where_it_says_counts():
    assert answer_span("a b a", {"text": ["x", "a"], "answer_start": [0, 4]}) == (4, 5)
    assert answer_span("a b a", {"text": ["a"], "answer_start": [-1]}) is None
    assert answer_span("a b a", {"text": [], "answer_start": []}) is None


def test_a_long_question_has_no_window_and_is_counted():
    long = " ".join(WORDS[:12])
    split = questions([LONG, LONG], [[], []])
    split = split.map(lambda row, i: {"text": long if i else QUESTION}, with_indices=True)
    message = re.escape(
        "1 of 2 questions are too long: with up to 12 tokens they leave no room in 20 for windows "
        "of the context that share 5. They are not trained on, and answered by the empty text"
    )
    with pytest.warns(SkippedRowsWarning, match=message):
        windows = windows_of(split, tiny_tokenizer(), stride=5)
    assert set(windows.questions.tolist()) == {0}


def test_a_long_question_is_no_matter_beside_a_short_context():
    split = questions([f"{WORDS[1]} {WORDS[2]}"], [[]], question=" ".join(WORDS[:12]))
    windows = windows_of(split, tiny_tokenizer(), stride=10, max_length=17)  # all that there are
    assert len(windows.features) == 1
    assert inside(windows.spans[0]).tolist() == [[0, 2], [3, 5]]


def test_where_no_question_fits_it_says_so():
    split = questions([LONG], [[]], question=" ".join(WORDS[:30]))
    message = re.escape(
        "1 of 1 questions are too long: with up to 30 tokens they leave no room in 20 for windows "
        "of the context that share 4: raise --max_length or lower --doc_stride."
    )
    with pytest.raises(ConfigError, match=message):
        windows_of(split, tiny_tokenizer())


def test_a_stride_as_long_as_a_window_is_refused():
    message = "Windows of 17 tokens beside the special ones cannot share 17: lower --doc_stride, or"
    with pytest.raises(ConfigError, match=re.escape(message)):
        windows_of(questions([LONG], [[]]), tiny_tokenizer(), stride=17)


def test_a_tokenizer_without_offsets_is_refused(monkeypatch):
    monkeypatch.setattr(PreTrainedTokenizerFast, "is_fast", False)
    message = "does not tell where in the text its tokens come from"
    with pytest.raises(ConfigError, match=message):
        windows_of(questions([LONG], [[]]), tiny_tokenizer())


@pytest.mark.parametrize("name", TOKENIZERS)
def test_answers_that_no_window_holds_are_counted(name):
    answers = [[(LONG, 0)], [(WORDS[8], 0)], []]
    split = questions([LONG] * 3, answers)
    windows = windows_of(split, TOKENIZERS[name]())
    message = "^1 of 2 answers are whole in no window, so their questions are trained on as if they"
    with pytest.warns(SkippedRowsWarning, match=message):
        warn_of_cut_answers(split, windows)


def test_the_order_is_that_of_the_questions_however_many_there_are(monkeypatch):
    split = tiny_questions(num_train=50).train
    together = windows_of(split, tiny_tokenizer(), max_length=16)
    monkeypatch.setattr("gelora.tasks.question_answering.windows._ROWS_AT_ONCE", 7)
    apart = windows_of(split, tiny_tokenizer(), max_length=16)
    assert together.features.to_dict() == apart.features.to_dict()
    assert together.questions.tolist() == apart.questions.tolist() == sorted(apart.questions)


def test_the_mask_is_there_whatever_the_tokenizer_gives_by_itself():
    tokenizer, data = tiny_tokenizer(), tiny_questions()
    tokenizer.model_input_names = ["input_ids"]
    settings = QuestionAnsweringSettings(doc_stride=4)
    windows = split_contexts(data.train, tokenizer, settings, max_length=20)
    for row in windows.features:
        assert row["attention_mask"] == [1] * len(row["input_ids"])
