"""Texts become rows and batches: drawn, checked, cut, sorted and padded."""

import math

import pytest
import transformers as hf

from gelora.errors import DataError, SkippedRowsWarning
from gelora.hidden_states.batches import chunks_by_length, encode_texts, longest_first, padded_batch
from tiny_models import (
    MAX_TOKENS,
    TINY_MODELS,
    tiny_bert,
    tiny_roberta,
    tiny_t5,
    tiny_texts,
    tiny_tokenizer,
)


def encode(texts, *, model=None, tokenizer=None, num_samples=4000, max_length=None, seed=0):
    return encode_texts(
        tokenizer or tiny_tokenizer(),
        model or tiny_bert(),
        texts,
        num_samples=num_samples,
        max_length=max_length,
        seed=seed,
    )


def test_single_texts_and_pairs():
    assert encode(["w0 w1"]) == [{"input_ids": [1, 4, 5, 2], "attention_mask": [1, 1, 1, 1]}]
    (row,) = encode([("w0", "w1 w2")])
    assert row["input_ids"] == [1, 4, 2, 5, 6, 2]
    assert encode([["w0", "w1 w2"]]) == [row]


def test_token_types_come_along_where_the_tokenizer_gives_them():
    tokenizer = tiny_tokenizer()
    tokenizer.model_input_names = ["input_ids", "token_type_ids"]
    (row,) = encode([("w0", "w1")], tokenizer=tokenizer)
    assert row["token_type_ids"] == [0, 0, 0, 1, 1]
    assert row["attention_mask"] == [1] * 5


def test_a_draw_is_of_distinct_texts_and_begins_every_larger_draw(seed):
    texts = [f"w{i}" for i in range(40)]
    everything = encode(texts, seed=seed)
    assert {row["input_ids"][1] for row in everything} == set(range(4, 44))
    for num_samples in (1, 10, 39, 40, 100):
        assert encode(texts, num_samples=num_samples, seed=seed) == everything[:num_samples]


def test_another_seed_draws_other_texts():
    texts = [f"w{i}" for i in range(60)]
    assert encode(texts, num_samples=10, seed=0) != encode(texts, num_samples=10, seed=1)


@pytest.mark.filterwarnings("ignore:Measuring:gelora.errors.SkippedRowsWarning")
def test_texts_are_cut_at_the_smallest_limit():
    long = [" ".join(["w1"] * 200)]
    unlimited, short = tiny_tokenizer(), tiny_tokenizer()
    unlimited.model_max_length, short.model_max_length = int(1e30), 20
    assert len(encode(long, tokenizer=short)[0]["input_ids"]) == 20
    assert len(encode(long, max_length=10)[0]["input_ids"]) == 10
    assert len(encode(long)[0]["input_ids"]) == MAX_TOKENS
    assert len(encode(long, max_length=1000)[0]["input_ids"]) == MAX_TOKENS
    assert len(encode(long, tokenizer=unlimited)[0]["input_ids"]) == MAX_TOKENS
    without_positions = encode(long, model=tiny_t5(), tokenizer=unlimited)
    assert len(without_positions[0]["input_ids"]) == 202


@pytest.mark.filterwarnings("ignore:Measuring:gelora.errors.SkippedRowsWarning")
@pytest.mark.parametrize("name", [name for name in TINY_MODELS if name not in {"vit", "t5"}])
def test_the_longest_text_that_is_let_through_runs(name):
    model, tokenizer = TINY_MODELS[name](), tiny_tokenizer()
    tokenizer.model_max_length = int(1e30)
    rows = encode([" ".join(["w1"] * 200)], model=model, tokenizer=tokenizer)
    assert len(rows[0]["input_ids"]) == MAX_TOKENS
    model(**padded_batch(rows, tokenizer))


@pytest.mark.filterwarnings("ignore:Measuring:gelora.errors.SkippedRowsWarning")
def test_roberta_with_another_padding_index_has_fewer_positions():
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = int(1e30)
    model = tiny_roberta(pad_token_id=3)
    rows = encode([" ".join(["w1"] * 200)], model=model, tokenizer=tokenizer)
    assert len(rows[0]["input_ids"]) == MAX_TOKENS - 3
    model(**padded_batch(rows, tokenizer))


@pytest.mark.parametrize("max_tokens", [1, 14, 30, 100, 10_000])
def test_chunks_hold_every_row_once_the_longest_first_and_no_more_tokens(max_tokens, seed):
    rows = encode(tiny_texts(50, seed=seed))
    lengths = [[len(rows[i]["input_ids"]) for i in c] for c in chunks_by_length(rows, max_tokens)]
    order = [i for chunk in chunks_by_length(rows, max_tokens) for i in chunk]
    assert sorted(order) == list(range(50))
    flat = [length for chunk in lengths for length in chunk]
    assert flat == sorted(flat, reverse=True)
    for chunk in lengths:
        assert len(chunk) == 1 or len(chunk) * chunk[0] <= max_tokens
    for chunk in lengths[:-1]:  # and none of them has room for one more
        assert (len(chunk) + 1) * chunk[0] > max_tokens


def test_rows_of_one_length_keep_their_order():
    rows = [{"input_ids": [1] * length} for length in (2, 3, 2, 3, 4)]
    assert longest_first(rows) == [4, 1, 3, 0, 2]


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_is_that_of_the_tokenizer_on_the_right(side):
    texts = tiny_texts(5)
    tokenizer = tiny_tokenizer(padding_side=side)
    batch = padded_batch([dict(tokenizer(text)) for text in texts], tokenizer)
    expected = tiny_tokenizer()(texts, padding=True, return_tensors="pt")
    assert batch.keys() == expected.keys()
    assert all((batch[name] == expected[name]).all() for name in batch)
    assert tokenizer.padding_side == side


def test_without_a_pad_token_the_eos_token_pads_and_the_tokenizer_is_unchanged():
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = None
    batch = padded_batch([dict(tokenizer(text)) for text in ("w0", "w0 w1")], tokenizer)
    assert batch["input_ids"].tolist() == [[1, 4, 2, 2], [1, 4, 5, 2]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert tokenizer.pad_token is None


def test_texts_that_are_cut_are_counted_among_those_drawn(seed):
    texts = [" ".join(["w1"] * (1 + i % 7)) for i in range(70)]
    drawn = encode(texts, num_samples=30, seed=seed)
    cut = sum(len(row["input_ids"]) > 6 for row in drawn)
    message = f"Measuring: {cut} of 30 texts are longer than 6 tokens and are cut"
    with pytest.warns(SkippedRowsWarning, match=message):
        rows = encode(texts, num_samples=30, seed=seed, max_length=6)
    assert max(len(row["input_ids"]) for row in rows) == 6


def test_no_texts():
    with pytest.raises(DataError, match="There are no texts to measure"):
        encode([])


def test_one_text_that_is_no_list():
    with pytest.raises(DataError, match="Got one text: put it in a list"):
        encode("w0 w1")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["w0", None, math.nan], r"2 of 3 texts are no string, the first at index 1: None\. Give"),
        (["w0", ("w0", "w1")], r"1 of 2 texts are no string, the first at index 1: \('w0', 'w1'\)"),
        ([("w0", "w1"), "w0"], "1 of 2 texts are no pair of strings, the first at index 1: 'w0'"),
        ([("w0", "w1"), ("w0", None)], r"1 of 2 .* no pair .* at index 1: \('w0', None\)"),
        ([("w0",)], r"1 of 1 texts are no pair of strings, the first at index 0: \('w0',\)"),
    ],
)
def test_what_is_no_text(texts, message):
    with pytest.raises(DataError, match=message):
        encode(texts)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["w0", "", "w1", "  "], "2 of 4 texts drawn are empty, the first at index 1: leave them"),
        ([("w0", ""), ("", "")], "1 of 2 texts drawn are empty, the first at index 1"),
        ([""] * 3, "3 of 3 texts drawn are empty, the first at index 0"),
    ],
)
def test_empty_texts(texts, message):
    with pytest.raises(DataError, match=message):
        encode(texts)


def test_the_index_of_an_empty_text_is_that_among_all_texts(seed):
    texts = ["w0"] * 100 + [""] * 100
    with pytest.raises(DataError, match=r"of 100 texts drawn are empty, the first at index 1\d\d:"):
        encode(texts, num_samples=100, seed=seed)


def test_a_tokenizer_of_another_model():
    words = [f"x{i}" for i in range(100)]
    tokenizer = tiny_tokenizer(words=words)
    expected = "gives token 103 for the text at index 1, and the model knows 64 tokens"
    with pytest.raises(DataError, match=expected):
        encode(["x3", "x99"], tokenizer=tokenizer)
    with pytest.raises(DataError, match="gives token 64 for the text at index 0"):
        encode(["x60"], tokenizer=tokenizer)
    assert encode(["x59"], tokenizer=tokenizer)[0]["input_ids"] == [1, 63, 2]


def test_a_headed_model_gives_the_rows_of_its_backbone():
    headed = tiny_bert(hf.BertForSequenceClassification)
    assert encode(["w0"], model=headed) == encode(["w0"])
