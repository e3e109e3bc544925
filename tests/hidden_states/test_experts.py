"""Experts that are one parameter are adapted at the rank of their block, on request."""

import json

import pytest
import torch
from peft import PeftModel, get_peft_model

import gelora
from architectures.test_sweep import make
from example_profiles import profile_of
from gelora.adapters import adapter_parameters, adapter_ranks, verify_saved_ranks
from gelora.cli import main
from gelora.errors import RankError
from gelora.exports import export_uniform
from gelora.ranks import plan_ranks
from gelora.training import wrap
from tiny_chats import chat_tokenizer
from tiny_models import save_tiny, tiny_texts
from tiny_tasks import write_lines

# PEFT looks for the keys of experts among modules alone, says so, and uses them all the same.
pytestmark = pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys")
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]


@pytest.fixture
def model():
    return make("Qwen3MoeForCausalLM")


@pytest.fixture
def plan(model):
    return plan_ranks(profile_of(model))


def test_experts_get_their_blocks_rank(model, plan, tmp_path):
    assert plan.ranks == (4, 1, 2)
    config = gelora.lora_config(model, plan, target_parameters=EXPERTS)
    wrapped = get_peft_model(model, config)
    gelora.verify_ranks(wrapped, plan)
    ranks = adapter_ranks(wrapped)
    for index, rank in enumerate(plan.ranks):
        for name in EXPERTS:
            assert ranks[f"layers.{index}.{name}"] == rank
    wrapped.save_pretrained(tmp_path)
    verify_saved_ranks(tmp_path, plan)
    batch = {"input_ids": torch.arange(2, 14).view(2, 6)}
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
        wrapped.save_pretrained(tmp_path)
        expected = wrapped(**batch).logits
        loaded = PeftModel.from_pretrained(make("Qwen3MoeForCausalLM"), str(tmp_path))
        torch.testing.assert_close(loaded(**batch).logits, expected)


def test_parameters_of_experts_are_counted_and_trained(model, plan):
    wrapped = wrap(model, plan, "instruction_tuning", target_parameters=EXPERTS)
    of_experts = sum(rank * 4 * ((32 + 32) + (32 + 16)) for rank in plan.ranks)
    assert adapter_parameters(wrapped) == plan.trainable_parameters + of_experts
    wrapped(input_ids=torch.arange(2, 60).view(2, 29)).logits.square().mean().backward()
    for name, parameter in wrapped.named_parameters():
        if "experts" in name and "lora_B" in name:
            assert parameter.grad.abs().sum() > 0


def test_names_that_are_no_experts_are_refused(model, plan):
    with pytest.raises(RankError, match=r"names 'mlp.nonsense'.*there are mlp.experts.down_proj"):
        gelora.lora_config(model, plan, target_parameters=["mlp.nonsense"])


def test_an_adapter_on_experts_is_not_padded(model, plan, tmp_path):
    wrapped = get_peft_model(model, gelora.lora_config(model, plan, target_parameters=EXPERTS))
    wrapped.save_pretrained(tmp_path / "adapter")
    with pytest.raises(RankError, match="target_parameters"):
        export_uniform(tmp_path / "adapter", tmp_path / "uniform")


@pytest.mark.slow
def test_the_command_line_trains_and_merges_experts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_tiny(make("Qwen3MoeForCausalLM"), chat_tokenizer(), tmp_path / "moe")
    texts = tiny_texts(160)
    write_lines(tmp_path / "rows.jsonl", prompt=texts[::2], completion=texts[1::2])
    flags = ["--model_name_or_path", "moe", "--train_file", "rows.jsonl"]
    flags += ["--task_type", "instruction_tuning", "--output_dir", "out", "--quiet"]
    experts = ["--target_parameters", "mlp.experts.down_proj"]
    ranked = ["--budget", "r=1"]
    assert main(["inspect", *flags, *experts, *ranked, "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)["adapter"]["parameters_at_rank"]["1"]
    assert main(["run", *flags, *experts, *ranked, "--max_steps", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    added = sum(rank * 4 * (32 + 16) for rank in found["plan"]["ranks"])
    counted = found["metrics"]["trainable_parameters"]["adapter"]
    assert counted == expected == found["plan"]["trainable_parameters"] + added
    assert main(["evaluate", "--output_dir", "out"]) == 0
    assert main(["export", "--output_dir", "out", "--merged", "--peft"]) == 0
    assert main(["run", *flags, *experts, "--lora_dropout", "0.1", "--overwrite"]) == 2
    assert "target_parameters with --lora_dropout" in capsys.readouterr().err
