import datasets
import pytest

from gelora.errors import SkippedRowsWarning
from gelora.tasks import texts_of
from gelora.tasks.classification import evaluation as module
from gelora.tasks.classification.evaluation import tokenize
from tiny_models import tiny_tokenizer


def test_tokens_are_cut_unpadded_and_carry_the_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "_TOKENIZE_ROWS", 2)  # three parts for five rows
    rows = datasets.Dataset.from_dict(
        {"text": ["w0 w1 w2", "w3", "w4", "w5", "w6"], "label": [1, 0, 1, 0, 1]}
    )
    tokens = tokenize(rows, tiny_tokenizer(), max_length=4)
    assert tokens["input_ids"][:2] == [[1, 4, 5, 2], [1, 7, 2]]
    assert tokens["labels"][:] == [1, 0, 1, 0, 1]
    assert list(tmp_path.iterdir()) == []


def test_texts_that_are_cut_are_counted_over_all_parts_if_the_split_has_a_name(monkeypatch):
    monkeypatch.setattr(module, "_TOKENIZE_ROWS", 2)
    rows = datasets.Dataset.from_dict({"text": ["w0 w1 w2", "w3", "w4 w5", "w5 w6 w7 w8", "w6"]})
    with pytest.warns(SkippedRowsWarning, match="mine, training: 2 of 5 texts are longer than 4"):
        named = tokenize(rows, tiny_tokenizer(), max_length=4, named="mine, training")
    assert named[:] == tokenize(rows, tiny_tokenizer(), max_length=4)[:]


def test_pairs_are_tokenised_together_and_unlabelled_texts_have_no_labels():
    rows = datasets.Dataset.from_dict({"text": ["w0"], "text_pair": ["w1"]})
    tokens = tokenize(rows, tiny_tokenizer(), max_length=None)
    assert tokens["input_ids"][0] == [1, 4, 2, 5, 2]
    assert tokens.column_names == ["input_ids", "attention_mask"]


def test_texts_are_pairs_where_there_are_two():
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "text_pair": ["c", "d"]})
    assert texts_of(rows) == [("a", "c"), ("b", "d")]
    assert texts_of(rows.select_columns("text")) == ["a", "b"]
