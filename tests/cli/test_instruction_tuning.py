"""`gelora run --task alpaca`: chats measured, tuned, and scored beside the base model."""

import json

import pytest

from gelora.cli import main
from tiny_chats import TEMPLATE, causal_llama, chat_tokenizer, tiny_instructions
from tiny_models import save_tiny
from tiny_tasks import write_lines


@pytest.fixture
def flags(tmp_path):
    """Write a model without a chat template, the template, and Alpaca's columns; return flags."""
    model = save_tiny(causal_llama(), chat_tokenizer(template=None), tmp_path / "model")
    (tmp_path / "chat.jinja").write_text(TEMPLATE)
    data = tiny_instructions(num_train=80)
    files = {
        f"{name}_file": write_lines(
            tmp_path / f"{name}.jsonl",
            instruction=[row["prompt"][0]["content"] for row in split],
            input=[""] * len(split),
            output=[row["completion"][0]["content"] for row in split],
        )
        for name, split in (("train", data.train), ("validation", data.validation))
    }
    named = {"model_name_or_path": model, "output_dir": tmp_path / "out", **files}
    usual = ["--task", "alpaca", "--max_steps", "3", "--eval_strategy", "epoch", "--use_cpu"]
    return [*usual, *(word for name, value in named.items() for word in (f"--{name}", str(value)))]


@pytest.mark.slow
def test_a_run_tunes_and_says_what_the_adapter_brought(flags, tmp_path, capsys):
    template = ["--chat_template_path", str(tmp_path / "chat.jinja")]
    more = ["--learning_rate", "0.05", "--packing", "true", "--max_length", "64"]
    assert main(["run", *flags, *template, *more]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    tuned, base = metrics["metrics"]["perplexity"], metrics["baselines"]["base_model"]["perplexity"]
    assert tuned["value"] < base["value"]
    assert tuned["num_samples"] == base["num_samples"] == 12
    assert metrics["problem"] == "instruction_tuning"
    capsys.readouterr()
    validation = flags[flags.index("--validation_file") + 1]
    evaluate = ["evaluate", "--task", "alpaca", "--output_dir", str(tmp_path / "out"), "--json"]
    assert main([*evaluate, "--validation_file", validation, *template, "--max_length", "64"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["perplexity"] == tuned


def test_a_model_without_a_chat_template_is_refused(flags, error_of):
    error = error_of(["measure", *flags[:2], *flags[flags.index("--model_name_or_path") :]])
    assert "has no chat template, so messages cannot be written as text" in error
    assert "--chat_template_path" in error


def test_a_chat_that_the_template_refuses_is_told_before_measuring(flags, tmp_path, error_of):
    refusing = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system') }}{% endif %}"
    )
    (tmp_path / "chat.jinja").write_text(refusing + TEMPLATE)
    chats = [[*row["prompt"], *row["completion"]] for row in tiny_instructions(num_train=80).train]
    chats[50].insert(0, {"role": "system", "content": "w3"})
    file = write_lines(tmp_path / "chats.jsonl", messages=chats)
    named = ["--model_name_or_path", str(tmp_path / "model"), "--output_dir", str(tmp_path / "out")]
    data = ["--task_type", "instruction_tuning", "--train_file", str(file)]
    template = ["--chat_template_path", str(tmp_path / "chat.jinja"), "--num_samples", "30"]
    error = error_of(["run", *named, *data, *template, "--use_cpu"])
    assert "which begins 'w3': No system. Put the system text at the beginning of the" in error
    assert not (tmp_path / "out" / "dimension_profile.json").exists()
