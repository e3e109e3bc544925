"""Examples as tokens; that they are TRL's is in test_trainer.py."""

import re

import pytest

from gelora.errors import ConfigError, DataError, SkippedRowsWarning
from gelora.hidden_states import measure_dimensions
from gelora.hidden_states.batches import encode_texts
from gelora.tasks.instruction_tuning.chats import (
    Chats,
    check_tokenizer,
    example_tokens,
    prompt_tokens,
)
from tiny_chats import TEMPLATE, causal_llama, chat, chat_tokenizer, tiny_instructions


def encode(texts, **options):
    defaults = {"num_samples": len(texts), "max_length": None, "seed": 0}
    return encode_texts(chat_tokenizer(), causal_llama(), Chats(texts), **{**defaults, **options})


def test_messages_follow_the_template_and_the_prompt_is_their_beginning():
    tokenizer, messages = chat_tokenizer(), chat("w2 w3", "w4")
    (whole,) = example_tokens(tokenizer, [{"messages": messages}])
    assert tokenizer.decode(whole) == "w0 w2 w3 w1 w4 [SEP]"
    (prompt,) = prompt_tokens(tokenizer, [{"prompt": messages[:1]}])
    assert whole[: len(prompt)] == prompt
    parts = {"prompt": messages[:1], "completion": messages[1:]}
    assert example_tokens(tokenizer, [parts]) == [whole]


@pytest.mark.parametrize("completion", ["w3", "w3 ", "w3 [SEP]"])
def test_texts_end_once(completion):
    tokenizer = chat_tokenizer()
    (whole,) = example_tokens(tokenizer, [{"prompt": "w2 ", "completion": completion}])
    assert tokenizer.decode(whole) == "[CLS] w2 w3 [SEP] [SEP]"  # the last is the tokenizer's own


def test_conversations_are_measured_as_rows_of_trl_are():
    chats = [example["prompt"] + example["completion"] for example in tiny_instructions().train]
    rows = tiny_instructions().train.to_list()
    assert encode(chats) == encode(rows) == encode([{"messages": one} for one in chats])
    whole = encode(rows)
    longer = sum(len(row["input_ids"]) > 5 for row in whole)
    with pytest.warns(SkippedRowsWarning, match=f"Measuring: {longer} of 32 texts are longer than"):
        cut = encode(rows, max_length=5)
    assert cut == [{name: values[:5] for name, values in row.items()} for row in whole]


@pytest.mark.filterwarnings("ignore::gelora.errors.GeloraWarning")  # few texts, much alike
def test_rows_and_conversations_have_one_profile():
    rows = tiny_instructions(num_train=60).train.to_list()
    chats = [row["prompt"] + row["completion"] for row in rows]
    first, second = (
        measure_dimensions(causal_llama(), chat_tokenizer(), Chats(texts))
        for texts in (rows, chats)
    )
    assert first.content_hash() == second.content_hash()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([chat("w1"), "w1"], "1 of 2 rows are no list of messages, the first at index 1: 'w1'"),
        (
            [{"prompt": "w1", "completion": "w2"}, {"prompt": "w1"}],
            "1 of 2 rows are no prompt with a completion, the first at index 1: {'prompt': 'w1'}",
        ),
        ([{"text": "w1"}], "1 of 1 rows are no list of messages, the first at index 0"),
    ],
)
def test_rows_of_several_kinds_are_refused(texts, message):
    with pytest.raises(DataError, match=re.escape(message)):
        Chats(texts)


def test_a_chat_among_texts_is_refused_with_what_takes_it():
    message = re.escape("1 of 2 texts are no string, the first at index 1")
    with pytest.raises(DataError, match=rf"{message}.*chats as gelora\.Chats\(chats\)"):
        encode_texts(
            chat_tokenizer(),
            causal_llama(),
            ["w1", chat("w1")],
            num_samples=2,
            max_length=None,
            seed=0,
        )


def test_a_tokenizer_that_cannot_write_them_is_refused():
    tokenizer = chat_tokenizer(template=None)
    with pytest.raises(
        ConfigError, match="The tokenizer of the model has no chat template, so mes"
    ):
        check_tokenizer(tokenizer, chats=True)
    tokenizer.eos_token, tokenizer.name_or_path = None, "org/name"
    with pytest.raises(ConfigError, match="The tokenizer of org/name has no end-of-text token"):
        check_tokenizer(tokenizer, chats=False)


def test_a_conversation_that_the_template_refuses_is_named():
    refuse = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system!') }}{% endif %}"
    )
    tokenizer = chat_tokenizer(template=refuse + TEMPLATE)
    chats = [chat("w1", "w2"), [{"role": "system", "content": "w1"}]]
    with pytest.raises(DataError, match="conversation at index 1, which begins 'w1': No system!"):
        example_tokens(tokenizer, [{"messages": messages} for messages in chats])
