"""Chats, prompts and instructions become prompts with completions; what cannot is counted."""

import logging
import re

import pytest

from gelora.errors import ConfigError, DataError, SkippedRowsWarning
from gelora.tasks import load_task_data, texts_of
from gelora.tasks.instruction_tuning.conversations import conversation_splits
from gelora.tasks.tables import Table, Tables
from tiny_chats import chat
from tiny_tasks import write_lines

SYSTEM = {"role": "system", "content": "Be brief."}


def table(**columns):
    strings = tuple(name for name, values in columns.items() if isinstance(values[0], str))
    return Table("chats.jsonl", columns, strings, {"file": "chats.jsonl"})


def splits(train, validation=None, *, task=None, text_columns=None, label_column=None):
    tables = Tables("chats", train, validation)
    return conversation_splits(
        tables, task=task, text_columns=text_columns, label_column=label_column
    )


def read(text_columns=None, label_column=None, **columns):
    """Return the usable rows as pairs of prompt and completion."""
    rows = splits(table(**columns), text_columns=text_columns, label_column=label_column).train
    return list(zip(rows.columns["prompt"], rows.columns["completion"], strict=True))


@pytest.mark.parametrize("name", ["messages", "conversations", "dialogue"])
def test_the_last_reply_is_the_completion(name):
    long = [SYSTEM, *chat("a", "b", "c", "d")]
    short = chat("e", "f")
    found = read(["dialogue"] if name == "dialogue" else None, **{name: [long, short]})
    assert found == [(long[:-1], long[-1:]), (short[:1], short[1:])]


def test_sharegpt_s_names_are_known():
    turns = [("system", "s"), ("human", "a"), ("gpt", "b")]
    found = read(conversations=[[{"from": role, "value": text} for role, text in turns]])
    assert found == [([{"role": "system", "content": "s"}, *chat("a")], chat("x", "b")[1:])]


def test_prompts_and_completions_are_taken_as_they_are():
    assert read(prompt=["2 + 2 ="], completion=[" 4"]) == [("2 + 2 =", " 4")]
    both = chat("a", "b")
    assert read(prompt=[both[:1]], completion=[both[1:]]) == [(both[:1], both[1:])]


def test_instructions_become_a_turn_with_a_blank_line_before_their_input():
    found = read(instruction=["Add.", "Sing."], input=["2, 2", ""], output=["4", "La."])
    assert found == [
        (chat("Add.\n\n2, 2"), chat("x", "4")[1:]),
        (chat("Sing."), chat("", "La.")[1:]),
    ]
    assert read(instruction=["Sing."], output=["La."]) == found[1:]
    assert read(["ask"], "say", ask=["Sing."], say=["La."], id=["x"]) == found[1:]


def test_the_task_names_the_columns():
    from gelora.tasks.known import find_task

    rows = table(instruction=["Sing."], input=[None], output=["La."], prompt=["no"])
    found = splits(rows, task=find_task("alpaca"))
    assert found.validation is None
    assert found.train.columns == {"prompt": [chat("Sing.")], "completion": [chat("", "La.")[1:]]}


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"messages": [chat("a")]}, "1 without an assistant turn"),
        ({"messages": [None]}, "1 without an assistant turn"),
        ({"prompt": [chat("a")], "completion": [chat("b")]}, "1 without an assistant turn"),
        ({"messages": [chat("a", " ")]}, "1 with an empty completion"),
        ({"messages": [chat("a", "b")[1:]]}, "1 without a prompt"),
        ({"messages": [chat(" ", "b")]}, "1 with an empty prompt"),
        ({"messages": [chat("a", None)]}, "1 with a message that is no text"),
        ({"prompt": ["a"], "completion": [""]}, "1 without a completion"),
        ({"prompt": ["a"], "completion": [None]}, "1 without a completion"),
        ({"prompt": ["a"], "completion": ["  "]}, "1 with an empty completion"),
        ({"prompt": [None], "completion": ["b"]}, "1 without a prompt"),
        ({"instruction": ["a"], "output": [""]}, "1 with an empty completion"),
        ({"instruction": [" "], "output": ["b"]}, "1 with an empty prompt"),
    ],
)
def test_rows_that_cannot_be_used_are_counted(columns, told):
    with pytest.raises(DataError, match=f"chats.jsonl has no row that can be used: {told}."):
        read(**columns)
    usable = {
        "messages": chat("c", "d"),
        "prompt": "c",
        "completion": "d",
        "instruction": "c",
        "output": "d",
    }
    more = {name: [usable[name], *values] for name, values in columns.items()}
    with pytest.warns(SkippedRowsWarning, match=f"1 of 2 rows .* were set aside: {told}."):
        assert len(read(**more)) == 1


def test_skips_are_in_the_provenance():
    with pytest.warns(SkippedRowsWarning, match="2 of 3 rows of chats.jsonl"):
        found = splits(
            table(prompt=["a", "b", ""], completion=["", "c", "d"]),
            table(prompt=["a"], completion=["c"]),
        )
    skipped = (found.train.provenance["skipped"], found.validation.provenance["skipped"])
    assert skipped == (2, 0)


def test_what_stands_around_the_last_reply_is_told(caplog):
    caplog.set_level(logging.INFO)
    assert len(read(messages=[chat("a", "b", "c"), chat("a", "b", "c", "d"), chat("a", "b")])) == 3
    assert "1 of 3 chats that go on after the assistant's last reply" in caplog.text
    assert "1 of 3 chats with several replies: the last of each is its completion" in caplog.text


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a"]}, "chats.jsonl has 'text', and instruction tuning needs 'messages', 'pro"),
        ({"messages": ["a"]}, "Row 1 of column 'messages' of chats.jsonl is no list of messages"),
        ({"messages": [["a"]]}, "has a message that is no object but 'a'"),
        ({"messages": [[{"content": "a"}]]}, "has a message without a role; it has 'content'"),
        (
            {"messages": [[{"role": "assistant", "content": "", "tool_calls": [1]}]]},
            "has a call of a tool that is no object with a 'name' and 'arguments' but 1.",
        ),
        ({"instruction": ["a"], "output": [4]}, "Column 'output' of chats.jsonl holds int values"),
        (
            {"prompt": ["a", chat("a")], "completion": ["b", chat("", "b")[1:]]},
            "chats.jsonl mixes prompts that are texts and prompts that are messages",
        ),
        ({"prompt": ["a"], "completion": [chat("b")]}, "Row 1 of column 'prompt' of chats.jsonl"),
    ],
)
def test_what_is_no_conversation_is_refused(columns, message):
    with pytest.raises(DataError, match=re.escape(message)):
        read(**columns)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            (["a", "b", "c"], "d"),
            "one or two text_columns and a label_column .* got ['a', 'b', 'c']",
        ),
        ((["a", "b"], None), "got ['a', 'b'] and None"),
        ((None, "d"), "got None and d"),
    ],
)
def test_columns_that_do_not_fit_together_are_refused(names, message):
    pattern = ".*".join(map(re.escape, message.split(".*")))
    with pytest.raises(ConfigError, match=pattern):
        read(*names, a=["x"], b=["y"])


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(DataError, match="There is no column 'ask' in chats.jsonl"):
        read(["ask"], "say", messages=[chat("a", "b")])


def test_a_file_becomes_texts_to_measure_and_to_train_on(tmp_path):
    chats = [chat(f"w{i}", f"w{i + 1}") for i in range(20)]
    path = write_lines(tmp_path / "chats.jsonl", messages=chats)
    data = load_task_data(train_file=path, task_type="instruction_tuning", max_train_samples=9)
    assert (data.problem, data.num_labels, data.headline_metric) == (
        "instruction_tuning",
        0,
        "perplexity",
    )
    assert (len(data.train), len(data.validation)) == (9, 2)
    texts = texts_of(data.train)
    assert all([*text["prompt"], *text["completion"]] in chats for text in texts)
