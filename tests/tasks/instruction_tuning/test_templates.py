"""What chat templates refuse or leave out is said in words, and the advice gets past it."""

import re
from pathlib import Path

import pytest
import trl

from gelora.errors import ConfigError, DataError
from gelora.tasks.instruction_tuning.chats import example_tokens
from gelora.tasks.instruction_tuning.templates import check_written
from tiny_chats import TEMPLATE, chat, chat_tokenizer

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
SYSTEM = {"role": "system", "content": "Be brief."}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"at": "a"}}}],
}
ANSWER = {"role": "tool", "content": "cold"}
CALLS = [*chat("ask"), CALL, ANSWER, *chat("x", "done")[1:]]


def tokenizer_of(name):
    return chat_tokenizer(template=(TEMPLATES / f"{name}.jinja").read_text())


@pytest.mark.parametrize("name", ["llama3_1", "qwen2_5", "qwen3", "glm4moe"])
def test_tools_and_calls_are_written_by_templates_that_know_them(name):
    example_tokens(tokenizer_of(name), [{"messages": CALLS, "tools": TOOLS}])


@pytest.mark.parametrize(
    ("name", "example", "lost"),
    [
        ("llama3", {"messages": chat("a", "b"), "tools": TOOLS}, "the tools"),
        ("llama3", {"messages": CALLS}, "the call of 'weather'"),
        (
            "phi3",
            {"messages": [*chat("weather"), CALL, *chat("x", "done")[1:]]},
            "'tool_calls' of a message",
        ),
        (
            "qwen2_5",
            {"messages": [*chat("a"), {**chat("x", "b")[1], "reasoning_content": "so"}]},
            "'reasoning_content' of the last reply",
        ),
        (
            "qwen3",
            {"messages": [{**chat("a")[0], "name": "ann"}, *chat("x", "b")[1:]]},
            "'name' of a message",
        ),
    ],
)
def test_what_a_template_leaves_out_is_refused(name, example, lost):
    with pytest.raises(DataError, match=f"leaves out {lost} in the conversation at index 1, which"):
        example_tokens(tokenizer_of(name), [{"messages": chat("a", "b")}, example])


def test_a_system_text_that_a_template_leaves_out_is_refused():
    silent = chat_tokenizer(
        template="{% if m %}{% endif %}"
        + TEMPLATE.replace("{% else", "{% elif message['role'] == 'user'")
    )
    example = {"messages": [SYSTEM, *chat("w1", "w2")]}
    with pytest.raises(DataError, match="leaves out the messages of the system") as error:
        check_written(silent, [example])
    assert "--chat_template_path" in str(error.value)
    check_written(chat_tokenizer(), [example])  # another template that writes it
    check_written(silent, [{"messages": chat("w1", "w2")}])  # without it


@pytest.mark.parametrize(
    ("name", "messages", "advice", "changed"),
    [
        (
            "gemma",
            [SYSTEM, *chat("ask", "done")],
            "System role not supported. Put the system text at the beginning of the user's first",
            chat("Be brief.\n\nask", "done"),
        ),
        (
            "gemma3",
            [*chat("ask"), *chat("more", "done")],
            "Join messages of one role that follow each other",
            chat("ask\n\nmore", "done"),
        ),
        (
            "gemma",
            chat("x", "hello", "ask", "done")[1:],
            "Leave out what stands before the user's first message",
            chat("ask", "done"),
        ),
    ],
)
def test_advice_on_a_refusal_gets_past_it(name, messages, advice, changed):
    tokenizer = tokenizer_of(name)
    with pytest.raises(DataError, match=re.escape(advice)):
        example_tokens(tokenizer, [{"messages": messages}])
    example_tokens(tokenizer, [{"messages": changed}])
    example_tokens(chat_tokenizer(), [{"messages": messages}])  # another template


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "{{ messages[0]['content'] + messages[0]['none'] }}",
            "refuses the conversation at index 0",
        ),
        ("{{ messages[0]['content'].a.b }}", "refuses the conversation at index 0"),
        ("{{ 1 + messages[0]['content'] }}", "refuses the conversation at index 0"),
    ],
)
def test_a_template_that_fails_is_told_in_words(template, message):
    with pytest.raises(DataError, match=message):
        example_tokens(chat_tokenizer(template=template), [{"messages": chat("w1", "w2")}])


def test_a_template_that_is_no_jinja_is_told_with_its_line():
    with pytest.raises(
        ConfigError, match=r"is no valid Jinja \(line 2: .*: mend it, or name anoth"
    ):
        example_tokens(chat_tokenizer(template="a\n{% if %}"), [{"messages": chat("w1", "w2")}])
