"""Files of answers are read by question id, and what they lack is counted."""

import json
import re

import pytest

from gelora.errors import DataError, SkippedRowsWarning
from gelora.tasks.question_answering.answers import (
    Answer,
    read_null_odds,
    read_predictions,
    write_predictions,
)

IDS = ["q1", "q2", "q3"]


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "answers.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_what_is_written_is_read(tmp_path):
    answers = [Answer("été", (("été", 2.0),), -1.5), Answer("", (), 3.0), Answer("b", (), 0.1)]
    path = tmp_path / "answers.json"
    odds = write_predictions(path, IDS, answers)
    assert odds.name == "answers_null_odds.json"
    assert read_predictions(path, IDS) == ["été", "", "b"]
    assert read_null_odds(odds, IDS[::-1]) == [0.1, 3.0, -1.5]
    assert json.loads(path.read_text(encoding="utf-8")) == {"q1": "été", "q2": "", "q3": "b"}


def test_a_missing_answer_is_none_and_counted(file):
    path = file({"q1": "", "q3": "c", "other": "d"})
    message = re.escape("answers.json has no answer to 1 of 3 questions, the first 'q2': as in the")
    with pytest.warns(SkippedRowsWarning, match=message):
        assert read_predictions(path, IDS) == ["", None, "c"]


def test_missing_odds_are_refused(file):
    message = re.escape("answers.json has no number for 2 of 3 questions, the first 'q1'")
    with pytest.raises(DataError, match=message):
        read_null_odds(file({"q2": 1}), IDS)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_odds_that_are_not_finite_are_refused(number, file):
    path = file(f'{{"q1": 0, "q2": {number}, "q3": NaN, "other": NaN}}')
    said = re.escape(f"answers.json has {float(number)} for 'q2', one of 2 numbers that are not")
    with pytest.raises(DataError, match=said):
        read_null_odds(path, IDS)
    assert read_null_odds(path, ["q1", "q1"]) == [0, 0]


@pytest.mark.parametrize("read", [read_predictions, read_null_odds])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "answers.json has no id of the 3 questions, the first of which is 'q1': it belongs"),
        ("[]", "answers.json holds a list, not a"),
        ("{", "answers.json is no JSON: Expecting"),
        ({"q1": None}, "answers.json has None for 'q1', not a"),
        ({"q1": True}, "answers.json has True for 'q1', not a"),
        ({"q1": ["x"]}, "answers.json has ['x'] for 'q1', not a"),
    ],
)
def test_other_files_are_refused(read, content, message, file):
    with pytest.raises(DataError, match=re.escape(message)):
        read(file(content), IDS)


def test_a_file_of_the_other_kind_is_refused(file):
    with pytest.raises(DataError, match=re.escape("has 0.5 for 'q1', not a text for each")):
        read_predictions(file({"q1": 0.5}), IDS)
    with pytest.raises(DataError, match=re.escape("has '0.5' for 'q1', not a number for each")):
        read_null_odds(file({"q1": "0.5"}), IDS)


def test_no_file_is_said_so(tmp_path):
    path = tmp_path / "none.json"
    with pytest.raises(DataError, match=re.escape(f"{path} cannot be read: No such file")):
        read_predictions(path, IDS)
