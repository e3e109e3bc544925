"""Texts as tokens: what a limit cuts is counted, and the tokenizer leaves as it came."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import ByT5Tokenizer

from gelora.errors import ConfigError, SkippedRowsWarning
from gelora.hidden_states.tokens import text_tokens, warn_of_cut
from tiny_models import tiny_tokenizer

TOKENIZERS = {"fast": tiny_tokenizer, "slow": ByT5Tokenizer}
TEXTS = st.lists(st.integers(1, 9).map(lambda words: " ".join(["w1"] * words)), min_size=1)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(texts=TEXTS, limit=st.integers(4, 24), are_pairs=st.booleans())
def test_rows_are_the_tokenizer_s_and_the_cut_ones_are_counted(name, texts, limit, are_pairs):
    tokenizer = TOKENIZERS[name]()
    pairs = texts[::-1] if are_pairs else None
    columns, cut = text_tokens(tokenizer, texts, pairs, limit=limit)
    whole = tokenizer(texts, pairs)
    assert cut == sum(len(ids) > limit for ids in whole["input_ids"])
    expected = tokenizer(texts, pairs, truncation=True, max_length=limit)
    assert columns["input_ids"] == expected["input_ids"]
    assert text_tokens(tokenizer, texts, pairs, limit=None) == (dict(whole), 0)


@pytest.mark.parametrize("is_set", [False, True])
def test_a_fast_tokenizer_is_left_as_it_came(is_set):
    tokenizer = tiny_tokenizer()
    fast = tokenizer.backend_tokenizer
    if is_set:
        fast.enable_truncation(max_length=9, stride=2)
        fast.enable_padding(length=8)
    before = fast.to_str()
    _, cut = text_tokens(tokenizer, ["w0 w1 w2 w3", "w0"], None, limit=4)
    assert cut == 1
    assert fast.to_str() == before


def test_the_mask_is_there_whatever_the_tokenizer_gives_by_itself():
    tokenizer = tiny_tokenizer()
    tokenizer.model_input_names = ["input_ids"]
    columns, _ = text_tokens(tokenizer, ["w0"], None, limit=None)
    assert columns["attention_mask"] == [[1, 1, 1]]


def test_no_room_for_text():
    with pytest.raises(ConfigError, match="max_length 2 leaves no room for text beside 2 special"):
        text_tokens(tiny_tokenizer(), ["w0"], None, limit=2)
    with pytest.raises(ConfigError, match="max_length 3 leaves no room for text beside 3 special"):
        text_tokens(tiny_tokenizer(), ["w0"], ["w1"], limit=3)


def test_the_warning_counts_and_says_nothing_of_none():
    message = (
        "mnli, training: 3 of 40 texts are longer than 16 tokens and are cut: raise --max_length "
        "if the model takes more."
    )
    with pytest.warns(SkippedRowsWarning, match=re.escape(message)):
        warn_of_cut("mnli, training", 3, 40, 16)
    warn_of_cut("mnli, training", 0, 40, 16)
