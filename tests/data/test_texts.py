import datasets

from gelora.data import texts, texts_of, tokenize
from tiny_models import tiny_tokenizer


def test_tokens_are_cut_unpadded_and_carry_the_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(texts, "_TOKENIZE_ROWS", 2)  # three parts for five rows
    rows = datasets.Dataset.from_dict(
        {"text": ["w0 w1 w2", "w3", "w4", "w5", "w6"], "label": [1, 0, 1, 0, 1]}
    )
    tokens = tokenize(rows, tiny_tokenizer(), max_length=4)
    assert tokens["input_ids"][:2] == [[1, 4, 5, 2], [1, 7, 2]]
    assert tokens["labels"][:] == [1, 0, 1, 0, 1]
    assert list(tmp_path.iterdir()) == []


def test_pairs_are_tokenised_together_and_unlabelled_texts_have_no_labels():
    rows = datasets.Dataset.from_dict({"text": ["w0"], "text_pair": ["w1"]})
    tokens = tokenize(rows, tiny_tokenizer(), max_length=None)
    assert tokens["input_ids"][0] == [1, 4, 2, 5, 2]
    assert tokens.column_names == ["input_ids", "attention_mask"]


def test_texts_are_pairs_where_there_are_two():
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "text_pair": ["c", "d"]})
    assert texts_of(rows) == [("a", "c"), ("b", "d")]
    assert texts_of(rows.select_columns("text")) == ["a", "b"]


def test_the_mask_is_there_whatever_the_tokenizer_gives_by_itself():
    tokenizer = tiny_tokenizer()
    tokenizer.model_input_names = ["input_ids"]
    tokens = tokenize(datasets.Dataset.from_dict({"text": ["w0"]}), tokenizer, max_length=None)
    assert tokens["attention_mask"][:] == [[1, 1, 1]]
