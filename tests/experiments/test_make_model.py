"""The script that makes a small causal model: what it saves loads, and writes chats."""

import importlib.util
import json
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from gelora.tasks.instruction_tuning.chats import example_tokens, prompt_tokens
from tiny_chats import chat
from tiny_models import tiny_texts
from tiny_tasks import write_lines

SCRIPT = Path(__file__).parents[2] / "experiments/small-causal-model/make_model.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("causal")
    texts = tiny_texts(60)
    first = write_lines(folder / "a.jsonl", title=texts, body=["more"] * 60)
    second = write_lines(folder / "b.jsonl", body=[*texts[:5], texts[0]])
    specification = importlib.util.spec_from_file_location("make_model", SCRIPT)
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    sizes = ["--blocks", "1", "--width", "32", "--tokens", "32", "--vocabulary", "300"]
    texts = ["--texts", f"{first}:title,body", f"{second}:body"]
    script.main([str(folder / "model"), *texts, *sizes, "--steps", "3", "--batch_size", "2"])
    return folder / "model"


def test_the_folder_holds_a_model_and_what_training_took(folder):
    model = AutoModelForCausalLM.from_pretrained(folder)
    facts = json.loads((folder / "training.json").read_text())
    assert facts["parameters"] == model.num_parameters()
    assert facts["texts"] == 65
    assert facts["trained_tokens"] == 3 * 2 * 32
    assert 1 < facts["held_out_perplexity"] < 1000


def test_the_template_writes_chats_and_ends_replies(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    messages = [{"role": "system", "content": "Be brief."}, *chat(" Sum? ", "4", "Why?", "So.\n")]
    (whole,) = example_tokens(tokenizer, [{"messages": messages}])
    (prompt,) = prompt_tokens(tokenizer, [{"prompt": messages[:-1]}])
    assert tokenizer.decode(prompt) == (
        "System:\nBe brief.\n\nUser:\nSum?\n\nAssistant:\n4<|end|>User:\nWhy?\n\nAssistant:\n"
    )
    assert whole[: len(prompt)] == prompt
    assert tokenizer.decode(whole[len(prompt) :]) == "So.<|end|>"
    marked = tokenizer.apply_chat_template(
        messages, return_dict=True, return_assistant_tokens_mask=True
    )
    counted = [t for t, m in zip(marked["input_ids"], marked["assistant_masks"], strict=True) if m]
    assert tokenizer.decode(counted) == "4<|end|>So.<|end|>"
