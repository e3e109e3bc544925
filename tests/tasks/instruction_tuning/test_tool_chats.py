"""Chats with tools and marks: what is measured is what TRL trains on, and nothing vanishes."""

import json
from dataclasses import replace

import pytest

from example_profiles import profile_of
from gelora.errors import ConfigError
from gelora.hidden_states.batches import encode_texts
from gelora.ranks import plan_ranks
from gelora.tasks import load_task_data, texts_of
from gelora.tasks.evaluate import evaluate
from gelora.tasks.instruction_tuning import trainer as tuning
from gelora.tasks.instruction_tuning.chats import tokenize_examples
from gelora.training import wrap
from tiny_chats import causal_llama, chat, chat_tokenizer, sft_arguments

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

TEMPLATE = (
    "{{ mood | default('w9') }} {% for tool in tools or [] %}{{ tool['name'] }} {% endfor %}"
    "{% for message in messages %}{% if message['role'] == 'assistant' %}w1 {% generation %}"
    "{% for call in message['tool_calls'] or [] %}{{ call['function']['name'] }} "
    "{% for key, value in call['function']['arguments'].items() %}{{ key }} {{ value }} "
    "{% endfor %}{% endfor %}{{ message['content'] }} [SEP]{% endgeneration %} "
    "{% else %}w0 {{ message['content'] }} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}w1 {% endif %}"
)


def call(**arguments):
    function = {"name": "w20", "arguments": arguments}
    return {"role": "assistant", "content": None, "tool_calls": [{"function": function}]}


ANSWER = {"role": "tool", "content": "w40"}
ROWS = [
    {"messages": [*chat("w3"), call(w4="w5")], "tools": [{"name": "w20"}]},
    {"messages": [*chat("w3"), call(w6="w7", w8="w9"), ANSWER, *chat("x", "w4")[1:]]},
    {"messages": chat("w3", "w5"), "chat_template_kwargs": {"mood": "w30"}},
]
WRITTEN = [  # the end of the prompt is marked by |
    "w9 w20 w0 w3 w1 | w20 w4 w5 [SEP]",
    "w9 w0 w3 w1 w20 w6 w7 w8 w9 [SEP] w0 w40 w1 | w4 [SEP]",
    "w30 w0 w3 w1 | w5 [SEP]",
]


def load(folder, rows):
    path = folder / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_task_data(train_file=path, validation_file=path, task_type="instruction_tuning")


def trainer_of(data, folder, **settings):
    model = causal_llama()
    return tuning.make_trainer(
        wrap(model, plan_ranks(profile_of(model)), "instruction_tuning"),
        chat_tokenizer(template=TEMPLATE),
        data,
        arguments=sft_arguments(folder, **settings),
        max_length=None,
        callbacks=[],
    )


def test_tools_are_measured_and_trained_on_alike(tmp_path):
    data, tokenizer = load(tmp_path, ROWS), chat_tokenizer(template=TEMPLATE)
    trainer = trainer_of(data, tmp_path, max_steps=1)
    assert trainer.train().training_loss > 0
    dataset = trainer.train_dataset
    trained = list(dataset["input_ids"])
    assert [tokenizer.decode(row) for row in trained] == [row.replace("| ", "") for row in WRITTEN]
    starts = [len(row.split("|")[0].split()) for row in WRITTEN]
    assert [list(row).count(-100) for row in dataset["labels"]] == starts
    draw = {"num_samples": 3, "max_length": None, "seed": 0}
    measured = encode_texts(tokenizer, causal_llama(), texts_of(data.train), **draw)
    assert sorted(row["input_ids"] for row in measured) == sorted(trained)
    examples = tokenize_examples(data.train, tokenizer)
    assert [example.completion_start for example in examples] == starts
    assert evaluate(causal_llama(), tokenizer, data)["perplexity"].value > 1


def test_every_reply_of_a_chat_with_tools_carries_loss_if_asked(tmp_path):
    dataset = trainer_of(load(tmp_path, ROWS), tmp_path, assistant_only_loss=True).train_dataset
    tokens = [label for label in list(dataset["labels"])[1] if label >= 0]
    decoded = chat_tokenizer().decode(tokens)
    assert decoded == "w20 w6 w7 w8 w9 [SEP] w4 [SEP]"


@pytest.mark.parametrize(
    "setting", [{"assistant_only_loss": True}, {"completion_only_loss": False}]
)
def test_marked_replies_are_not_trained_on_with_all_others(setting, tmp_path):
    bad = {**chat("x", "w4")[1], "weight": 0}
    rows = [{"messages": [*chat("w3"), bad, *chat("w5", "w6")]}]
    data = load(tmp_path, rows)
    with pytest.raises(ConfigError, match=f"marked as not .*, and {next(iter(setting))} .* leave"):
        trainer_of(data, tmp_path, **setting)
    labels = trainer_of(replace(data, validation=None), tmp_path).train_dataset["labels"][0]
    assert chat_tokenizer().decode([label for label in labels if label >= 0]) == "w6 [SEP]"
