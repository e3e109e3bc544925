"""What a message says beside its text (marks, tools, parts, roles) is kept or refused."""

import json
import logging
import re

import pytest
from datasets import Dataset

from gelora.errors import DataError, SkippedRowsWarning
from gelora.tasks import load_task_data, texts_of
from tiny_chats import chat
from tiny_tasks import write_lines

USER = {"role": "user", "content": "ask"}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]


def reply(content="good", **more):
    return {"role": "assistant", "content": content, **more}


def called(arguments, **more):
    function = {"name": "weather", "arguments": arguments}
    return {"role": "assistant", "content": None, "tool_calls": [{"function": function}], **more}


def load(folder, rows):
    """Return the data of a file with these rows to train on and to validate on."""
    path = folder / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_task_data(train_file=path, validation_file=path, task_type="instruction_tuning")


def first(folder, *messages, **columns):
    """Return the one row of a chat as it is trained on."""
    (row,) = texts_of(load(folder, [{"messages": list(messages), **columns}]).train)
    return row


@pytest.mark.parametrize("mark", [{"weight": 0}, {"train": False}, {"training": 0}, {"loss": 0.0}])
def test_replies_marked_as_untrained_are_in_no_completion(mark, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    row = first(tmp_path, USER, reply(), USER, reply("bad", **mark))
    assert row == {"prompt": [USER], "completion": [reply()]}
    row = first(tmp_path, USER, reply("bad", **mark), USER, reply(weight=1))
    assert row == {"prompt": [USER, reply("bad"), USER], "completion": [reply()]}
    assert "1 of 1 chats with replies that are marked as not to be trained on" in caplog.text
    with pytest.raises(DataError, match="no row that can be used: 1 marked as not to be trained"):
        first(tmp_path, USER, reply("bad", **mark))
    with pytest.raises(DataError, match="1 marked as not to be trained on"):
        load(tmp_path, [{"prompt": [USER], "completion": [reply("bad", **mark)]}])


def test_several_replies_marked_as_trained_are_told(tmp_path, caplog):
    row = first(tmp_path, USER, reply("a", weight=1), USER, reply("b", weight=1))
    assert row["completion"] == [reply("b")]
    assert "1 of 1 chats that mark several replies to be trained on: only the last" in caplog.text


def test_rows_marked_as_untrained_are_set_aside_and_counted(tmp_path):
    rows = [{"messages": [USER, reply()], "weight": weight} for weight in (1, 0, None)]
    with pytest.warns(SkippedRowsWarning, match="1 of 3 rows .*: 1 marked as not to be trained on"):
        assert len(load(tmp_path, rows).train) == 2
    rows = [{"prompt": "a", "completion": "b", "label": label} for label in (True, False)]
    with pytest.warns(SkippedRowsWarning, match="1 of 2 rows .*: 1 marked as not to be trained on"):
        assert len(load(tmp_path, rows).train) == 1


@pytest.mark.parametrize(
    ("messages", "columns", "message"),
    [
        ([USER, reply(weight=0.5)], {}, "has 'weight' 0.5, and a part is either trained on (1, tr"),
        ([USER, reply(train="no")], {}, "has 'train' 'no', and a part is either trained on"),
        ([USER, reply(weight=1, train=False)], {}, "is marked to be trained on and not to be"),
        ([{**USER, "weight": 1}, reply()], {}, "marks a message of the user to be trained on"),
        ([USER, reply()], {"weight": 2}, "Row 1 of chats.jsonl has 'weight' 2"),
        ([USER, reply(cached=0)], {}, "has a message with 'cached', which may change what is to"),
        (
            [USER, reply(audio={"id": "x"})],
            {},
            "has a message with 'audio', which may change what is to",
        ),
        ([{"role": "critic", "content": "a"}, reply()], {}, "of the role 'critic', which no chat"),
        (
            [USER, reply([{"type": "image_url", "image_url": "x"}])],
            {},
            "of the type 'image_url', {",
        ),
        ([USER, reply(["a"])], {}, "of the type 'str', 'a', and only texts are trained on"),
        (
            [USER, called([1])],
            {},
            "has a call of a tool that is no object with a 'name' and 'argum",
        ),
        ([USER, called("no json")], {}, "has a call of a tool that is no object with a 'name' and"),
        (
            [USER, {**called({}), "role": "user"}],
            {},
            "has a call of a tool in a message of the user",
        ),
        (
            [USER, reply()],
            {"tools": "[no"},
            "Row 1 of column 'tools' of chats.jsonl is a text that",
        ),
        ([USER, reply()], {"tools": ["f"]}, "Row 1 of column 'tools' of chats.jsonl is not a list"),
        (
            [USER, reply()],
            {"images": ["a.png"]},
            "Column 'images' of chats.jsonl (row 1) may change",
        ),
        (
            [USER, reply()],
            {"documents": [{"text": "a"}]},
            "Column 'documents' of chats.jsonl (row 1",
        ),
        (
            [USER, reply()],
            {"system": 3},
            "Row 1 of column 'system' of chats.jsonl is no text but 3",
        ),
        (
            [{"role": "system", "content": "a"}, USER, reply()],
            {"system": "b"},
            "Row 1 of chats.jsonl has one system text in its messages and another in a column",
        ),
    ],
)
def test_what_cannot_be_trained_on_is_refused_with_its_row(messages, columns, message, tmp_path):
    with pytest.raises(DataError, match=re.escape(message)) as error:
        first(tmp_path, *messages, **columns)
    assert "ow 1" in str(error.value)


def test_empty_keys_and_notes_beside_the_messages_say_nothing(tmp_path):
    row = first(
        tmp_path,
        USER,
        reply(tool_calls=[], function_call=None, name=""),
        id=7,
        source="x",
        tools=[],
    )
    assert row == {"prompt": [USER], "completion": [reply()]}


def test_messages_as_a_json_text_are_read(tmp_path):
    (row,) = texts_of(load(tmp_path, [{"messages": json.dumps([USER, reply()])}]).train)
    assert row == {"prompt": [USER], "completion": [reply()]}


def test_an_empty_assistant_turn_sets_the_row_aside(tmp_path):
    rows = [{"messages": chat("a", "b", "c", "d")}, {"messages": chat("a", " ", "c", "d")}]
    with pytest.warns(SkippedRowsWarning, match="1 of 2 rows .*: 1 with an empty assistant turn"):
        assert len(load(tmp_path, rows).train) == 1


def test_parts_that_are_texts_are_joined_by_lines(tmp_path):
    parts = [{"type": "text", "text": "ask"}, {"type": "text", "text": "more", "image": None}]
    row = first(tmp_path, {**USER, "content": parts}, reply([{"type": "text", "text": "good"}]))
    assert row == {"prompt": chat("ask\nmore"), "completion": [reply()]}


def test_tool_calls_keep_their_own_keys_and_no_others(tmp_path):
    """Arrow alone gives every call the arguments of all others, with None for a value."""
    answer = {"role": "tool", "tool_call_id": "1", "content": "4"}
    chats = [
        {"messages": [USER, called({"city": "Oslo", "none": None}), answer, reply()]},
        {"messages": [USER, called('{"deep": [0.5, {"x": 1}]}')], "tools": TOOLS},
        {"messages": [USER, reply()], "tools": json.dumps([{"name": "other"}])},
    ]
    rows = texts_of(load(tmp_path, chats).train).rows
    calls = [rows[0]["prompt"][1], rows[1]["completion"][0]]
    arguments = [message["tool_calls"][0]["function"]["arguments"] for message in calls]
    assert arguments == [{"city": "Oslo", "none": None}, {"deep": [0.5, {"x": 1}]}]
    assert rows[0]["prompt"][2] == answer
    assert rows[2]["completion"] == [reply()]
    assert [row["tools"] for row in rows] == [None, TOOLS, [{"name": "other"}]]


def test_keys_that_arrow_has_added_are_absent(tmp_path):
    chats = [[USER, called({"city": "Oslo"})], [USER, called({"day": "1"}), reply()]]
    Dataset.from_dict({"messages": chats}).to_parquet(tmp_path / "chats.parquet")
    path = tmp_path / "chats.parquet"
    data = load_task_data(train_file=path, validation_file=path, task_type="instruction_tuning")
    rows = texts_of(data.train).rows
    messages = [rows[0]["completion"][0], rows[1]["prompt"][1]]
    arguments = [message["tool_calls"][0]["function"]["arguments"] for message in messages]
    assert arguments == [{"city": "Oslo"}, {"day": "1"}]


def test_numbers_that_a_data_set_would_change_set_the_row_aside(tmp_path):
    chats = [{"messages": [USER, called({"n": number})]} for number in (0.25, 10**30)]
    with pytest.warns(SkippedRowsWarning, match="1 with a number too long to be kept exactly"):
        (row,) = texts_of(load(tmp_path, chats).train)
    assert row["completion"][0]["tool_calls"][0]["function"]["arguments"] == {"n": 0.25}


def test_older_forms_of_calls_become_tool_calls(tmp_path):
    call = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    wanted = [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]
    openai = [
        USER,
        {"role": "assistant", "content": None, "function_call": call},
        {"role": "function", "name": "weather", "content": "4"},
        reply(),
    ]
    turns = [("human", "ask"), ("function_call", json.dumps(call)), ("observation", "4")]
    sharegpt = [{"from": role, "value": said} for role, said in (*turns, ("gpt", "good"))]
    for name, messages in (("messages", openai), ("conversations", sharegpt)):
        (row,) = texts_of(load(tmp_path, [{name: messages}]).train)
        assert row["prompt"][1] == {"role": "assistant", "content": "", "tool_calls": wanted}
        assert row["prompt"][2]["role"] == "tool"
        assert row["completion"] == [reply()]


def test_a_system_column_is_the_first_message(tmp_path):
    system = {"role": "system", "content": "Be brief."}
    assert first(tmp_path, USER, reply(), system="Be brief.")["prompt"] == [system, USER]
    assert first(tmp_path, system, USER, reply(), system="Be brief.")["prompt"] == [system, USER]
    row = {"instruction": "ask", "output": "good", "system": "Be brief."}
    assert texts_of(load(tmp_path, [row]).train).rows[0]["prompt"] == [system, USER]


@pytest.mark.parametrize("column", [{"tools": TOOLS}, {"system": "a"}, {"history": [["a", "b"]]}])
def test_what_only_a_chat_template_writes_is_refused_beside_texts(column, tmp_path):
    with pytest.raises(DataError, match=rf"{next(iter(column))}"):
        load(tmp_path, [{"prompt": "a", "completion": "b", **column}])


def test_columns_that_are_named_are_all_that_counts(tmp_path):
    path = write_lines(
        tmp_path / "rows.jsonl", ask=["a", "b"], say=["c", "d"], images=["x", "y"], weight=[0, 1]
    )
    named = {"text_columns": ["ask"], "label_column": "say"}
    data = load_task_data(
        train_file=path, validation_file=path, task_type="instruction_tuning", **named
    )
    assert len(data.train) == 2
