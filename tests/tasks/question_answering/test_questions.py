"""Questions are checked: what cannot be learned from is counted, what is scored is all there."""

import json
import re

import pytest

from gelora.errors import DataError, SkippedRowsWarning
from gelora.tasks import load_task_data
from gelora.tasks.known import TASKS
from gelora.tasks.question_answering.questions import question_splits
from gelora.tasks.question_answering.settings import QuestionAnsweringSettings
from gelora.tasks.tables import Table, Tables, read_file
from tiny_tasks import write_lines

CONTEXT = "The cat sat on the mat."
CAT = {"text": ["cat", "The cat"], "answer_start": [4, 0]}
NONE = {"text": [], "answer_start": []}


def table(*answers, **columns):
    every = {
        "id": [f"q{i}" for i in range(len(answers))],
        "question": ["Who sat?"] * len(answers),
        "context": [CONTEXT] * len(answers),
        "answers": list(answers),
        **columns,
    }
    return Table(source="q.jsonl", columns=every, string_columns=(), provenance={"file": "q.jsonl"})


def splits(train, validation=None, *, task=None, version_2=None):
    task = None if task is None else TASKS[task]
    tables = Tables("q", train, validation)
    settings = QuestionAnsweringSettings(version_2_with_negative=version_2)
    found = question_splits(tables, task=task, settings=settings)
    return found.train, found.validation, found.question_answering.version_2_with_negative


def test_the_columns_are_those_of_every_pair_of_texts():
    train, validation, version_2 = splits(table(CAT), table(CAT, CAT), task="squad")
    assert train.columns == {
        "id": ["q0"],
        "text": ["Who sat?"],
        "text_pair": [CONTEXT],
        "answers": [CAT],
    }
    assert len(validation) == 2
    assert not version_2
    assert train.provenance == {"file": "q.jsonl", "skipped": 0}


@pytest.mark.parametrize(
    ("task", "given", "expected"),
    [
        ("squad", None, False),
        ("squad_v2", None, True),
        ("squad", True, True),
        (None, None, True),  # the training rows decide
        (None, True, True),
    ],
)
def test_whether_questions_may_have_no_answer(task, given, expected):
    tables = (table(CAT), None) if task else (table(CAT, NONE), table(CAT))
    assert splits(*tables, task=task, version_2=given)[2] == expected


def test_without_training_rows_the_others_decide():
    train, validation, version_2 = splits(None, table(CAT, NONE))
    assert train is None
    assert len(validation) == 2
    assert version_2
    assert not splits(None, table(CAT))[2]
    assert splits(table(CAT), None)[1] is None


def test_questions_are_numbered_where_they_have_no_id():
    rows = table(CAT, CAT)
    del rows.columns["id"]
    assert splits(rows)[0].columns["id"] == ["1", "2"]
    assert splits(table(CAT, id=[17]))[0].columns["id"] == ["17"]


def test_what_cannot_be_learned_from_is_set_aside_and_counted():
    misplaced = {"text": ["cat"], "answer_start": [5]}
    blank = {"text": [" "], "answer_start": [3]}
    second = {"text": ["dog", "cat"], "answer_start": [0, 4]}  # one of them is there
    rows = table(CAT, misplaced, NONE, blank, second)
    message = re.escape(
        "Column 'answers' of q.jsonl has an answer that is not in the context where it says in 1 "
        "and no answer, which --version_2_with_negative true or --task squad_v2 allow, in 2 of 5 "
        "rows, which were set aside."
    )
    with pytest.warns(SkippedRowsWarning, match=message):
        train, _, _ = splits(rows, task="squad")
    assert train.columns["id"] == ["q0", "q4"]
    assert train.provenance["skipped"] == 3
    with pytest.warns(SkippedRowsWarning, match="where it says in 1 of 5 rows, which"):
        train, _, _ = splits(rows, task="squad_v2")
    assert train.columns["id"] == ["q0", "q2", "q3", "q4"]
    assert train.columns["answers"][2] == NONE


def test_where_nothing_can_be_learned_from_it_says_so():
    message = re.escape(
        "has no answer, which --version_2_with_negative true or --task squad_v2 all"
    )
    with pytest.raises(DataError, match=message + ".* in 2 of 2 rows: nothing is left to train on"):
        splits(table(NONE, NONE), task="squad")


def test_questions_to_validate_on_are_all_kept_wherever_their_answers_are():
    rows = table(CAT, {"text": ["dog"], "answer_start": [99]})
    assert len(splits(table(CAT), rows, task="squad")[1]) == 2


def test_a_question_without_answer_cannot_be_scored_in_1_1():
    rows = table(CAT, *[NONE] * 7)
    message = re.escape(
        "Column 'answers' of q.jsonl has no answer for 7 of 8 questions (ids q1, q2, q3, q4, q5, "
        "...), and in SQuAD 1.1 each has one: add --version_2_with_negative true, or --task squad_"
    )
    with pytest.raises(DataError, match=message):
        splits(None, rows, task="squad")
    with pytest.raises(DataError, match=re.escape("for 1 of 1 questions (ids q0), and")):
        splits(table(CAT), table(NONE))


def test_two_questions_of_one_id_cannot_be_scored():
    rows = table(CAT, CAT, CAT, id=["a", "b", "b"])
    message = "1 ids stand for more than one question each, the first 'b'; Column 'answers' of q.j"
    with pytest.raises(DataError, match=re.escape(message)):
        splits(None, rows)
    assert len(splits(rows)[0]) == 3  # they are no matter in training


@pytest.mark.parametrize("name", ["question", "context"])
def test_an_empty_text_is_named(name):
    message = f"1 of 2 texts in column '{name}' of q.jsonl are empty (rows 2): fill them"
    with pytest.raises(DataError, match=re.escape(message)):
        splits(table(CAT, CAT, **{name: ["text", " "]}))


@pytest.mark.parametrize("name", ["question", "context", "answers"])
def test_a_missing_field_is_named(name):
    rows = table(CAT)
    del rows.columns[name]
    with pytest.raises(DataError, match=re.escape(f"There is no column '{name}' in q.jsonl")):
        splits(rows)


@pytest.mark.parametrize(
    "answers",
    [
        None,
        "cat",
        ["cat"],
        {"text": ["cat"]},
        {"text": "cat", "answer_start": 4},
        {"text": ["cat"], "answer_start": [4, 5]},
        {"text": [4], "answer_start": [4]},
        {"text": ["cat"], "answer_start": ["4"]},
        {"text": ["cat"], "answer_start": [None]},
    ],
)
def test_answers_of_another_form_are_shown(answers):
    message = f'Row 2 of q.jsonl has answers {answers!r:.60}, not {{"text": [...], '
    with pytest.raises(DataError, match=re.escape(message)):
        splits(table(CAT, answers))


def official(paragraphs):
    return {"version": "1.1", "data": [{"title": "Cats", "paragraphs": paragraphs}]}


def test_squad_s_own_file_holds_the_same_rows(tmp_path):
    question = {"id": "q0", "question": "Who sat?"}
    answers = [{"text": "cat", "answer_start": 4}, {"text": "The cat", "answer_start": 0}]
    nested = official([{"context": CONTEXT, "qas": [{**question, "answers": answers}]}])
    path = tmp_path / "dev-v1.1.json"
    path.write_text(json.dumps(nested))
    found = splits(None, read_file(path))[1]
    assert found.columns == splits(None, table(CAT))[1].columns
    assert found.provenance["file"] == "dev-v1.1.json"


@pytest.mark.parametrize(
    ("paragraphs", "reason"),
    [([{"context": CONTEXT}], "KeyError('qas')"), ([7], "TypeError("), (None, "TypeError(")],
)
def test_a_file_of_another_form_is_no_squad(paragraphs, reason, tmp_path):
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(official(paragraphs)))
    message = "odd.json has a field 'data' and is not in SQuAD's format, articles of paragraphs of"
    with pytest.raises(DataError, match=re.escape(message) + ".*" + re.escape(reason)):
        splits(None, read_file(path))


def test_the_data_say_what_was_decided(tmp_path):
    columns = {
        "question": ["Who?"] * 30,
        "context": [CONTEXT] * 30,
        "answers": [CAT, NONE, CAT] * 10,
    }
    path = write_lines(tmp_path / "train.jsonl", **columns)
    data = load_task_data(train_file=path, task_type="question_answering", max_train_samples=20)
    assert data.problem == "question_answering"
    assert data.question_answering.version_2_with_negative is True
    assert (len(data.train), len(data.validation)) == (20, 3)
    assert data.train.column_names == ["id", "text", "text_pair", "answers"]
    assert data.train[0]["answers"] in (CAT, NONE)


@pytest.mark.parametrize("given", [None, True])
def test_what_makes_questions_unanswerable_is_told_where_nobody_said_so(given, caplog):
    assert splits(table(CAT, CAT, NONE), version_2=given)[2]
    said = (
        "has no answer for 1 of 3 questions, so questions may have none here, as in SQuAD 2.0: "
        "--version_2_with_negative false if each has one."
    )
    assert [said in message for message in caplog.messages] == ([] if given else [True])
