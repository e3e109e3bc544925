"""Columns that were named are taken or refused; others are guessed only where it is plain."""

import pytest

from gelora.errors import DataError
from gelora.tasks import load_task_data, texts_of
from tiny_tasks import write_lines


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        (("text", "title"), ("text",)),
        (("premise", "hypothesis", "explanation"), ("premise", "hypothesis")),
        (("question", "sentence"), ("question", "sentence")),
        (("review",), ("review",)),
    ],
)
def test_usual_columns_are_found(tmp_path, columns, chosen):
    path = write_lines(
        tmp_path / "a.jsonl", label=["x", "y"], **{name: [f"{name} 1", "b"] for name in columns}
    )
    data = load_task_data(train_file=path, validation_file=path)
    first = texts_of(data.train)[0]
    assert first == (f"{chosen[0]} 1" if len(chosen) == 1 else tuple(f"{c} 1" for c in chosen))


def test_columns_can_be_named(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", a=["w1", "w2"], b=["w3", "w4"], score=[0.5, 2.0])
    data = load_task_data(
        train_file=path, validation_file=path, text_columns=["b", "a"], label_column="score"
    )
    assert texts_of(data.train) == [("w3", "w1"), ("w4", "w2")]
    assert (data.problem, data.num_labels, data.headline_metric) == ("regression", 1, "pearson")
    assert data.train["label"][:] == [0.5, 2.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {},
            "Which columns of a.jsonl hold the texts cannot be told; it has 'a', 'b', 'n', 'label",
        ),
        (
            {"text_columns": ["c"]},
            r"no column 'c' in a.jsonl \(text_columns\); it has 'a', 'b', 'n'",
        ),
        ({"text_columns": ["n"]}, "Column 'n' of a.jsonl holds int values such as 1, not texts"),
        (
            {"label_column": "gold"},
            r"no column 'gold' in a.jsonl \(label_column\); it has 'a', 'b'",
        ),
        ({"task_name": "cola"}, r"no column 'sentence' in a.jsonl \(text_columns\); it has 'a'"),
    ],
)
def test_columns_that_are_not_there_or_unclear_are_refused(tmp_path, arguments, message):
    path = write_lines(tmp_path / "a.jsonl", a=["x", "y"], b=["x", "y"], n=[1, 2], label=[0, 1])
    with pytest.raises(DataError, match=message):
        load_task_data(train_file=path, **arguments)


@pytest.mark.parametrize(
    "columns", [("text", "sentence"), ("premise", "hypothesis", "question", "sentence")]
)
def test_two_sets_of_usual_columns_are_unclear(tmp_path, columns):
    path = write_lines(tmp_path / "a.jsonl", **{name: ["a", "b"] for name in columns}, label=[0, 1])
    with pytest.raises(
        DataError, match=r"hold the texts cannot be told; it has " + repr(columns[0])
    ):
        load_task_data(train_file=path)


def test_an_unclear_label_column_is_refused_and_a_validation_file_needs_the_same(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", text=["x", "y"], gold=[0, 1])
    with pytest.raises(
        DataError, match=r"Which column of a.jsonl holds the labels .* 'gold': name"
    ):
        load_task_data(train_file=path)
    other = write_lines(tmp_path / "b.jsonl", text=["x", "y"], label=[0, 1])
    with pytest.raises(DataError, match=r"no column 'gold' in b.jsonl .*it has 'text', 'label'"):
        load_task_data(train_file=path, validation_file=other, label_column="gold")


def test_empty_texts_are_counted_and_located(tmp_path):
    texts = ["a", "", None, "  ", "b", *[""] * 4]
    path = write_lines(tmp_path / "a.jsonl", text=texts, label=[0, 1, 0, 1, 0, 1, 0, 1, 0])
    message = r"7 of 9 texts in column 'text' of a.jsonl are empty \(rows 2, 3, 4, 6, 7, ...\)"
    with pytest.raises(DataError, match=message):
        load_task_data(train_file=path)
