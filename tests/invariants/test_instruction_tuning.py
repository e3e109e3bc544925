"""Tuning that was killed and resumed ends as tuning left alone; and it is TRL's by hand."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import set_seed

from example_profiles import profile_of
from gelora.ranks import plan_ranks
from gelora.training import train
from invariants import killed_tuning
from tiny_chats import causal_llama, chat_tokenizer, sft_arguments, tiny_instructions

HERE = Path(__file__).parent

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


def weights(folder):
    return load_file(folder / "adapter" / "adapter_model.safetensors")


def assert_same_weights(left, right):
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("alone")
    return output_dir, killed_tuning.run(output_dir)


@pytest.mark.parametrize("moment", ["writing", pytest.param("training", marks=pytest.mark.slow)])
def test_a_killed_run_resumes_to_the_same_end(moment, left_alone, tmp_path):
    killed = subprocess.run(
        [sys.executable, HERE / "killed_tuning.py", tmp_path, moment],
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-4", "checkpoint-8"}
    whole = (tmp_path / "checkpoint-8" / "trainer_state.json").exists()
    assert whole == (moment == "training")
    resumed = killed_tuning.run(tmp_path, resume_from_checkpoint=True)
    output_dir, result = left_alone
    assert_same_weights(weights(output_dir), weights(tmp_path))
    assert resumed.history == result.history
    assert sum("eval_perplexity" in entry for entry in result.history) == 3


@pytest.mark.parametrize("chats", [True, False])
def test_tuning_is_trl_by_hand(chats, tmp_path):
    from trl.trainer.sft_trainer import SFTTrainer

    data, tokenizer = tiny_instructions(chats=chats), chat_tokenizer()
    plan = plan_ranks(profile_of(causal_llama()), alpha_per_rank=2.0)
    train(causal_llama(), tokenizer, data, plan, arguments=sft_arguments(tmp_path / "ours"))

    set_seed(7)
    largest = max(plan.ranks)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=largest,
        lora_alpha=2 * largest,
        target_modules=[f"model.{name}" for name in plan.modules],
        rank_pattern={f"model.{name}": rank for name, rank in plan.modules.items()},
        alpha_pattern={f"model.{name}": 2 * rank for name, rank in plan.modules.items()},
    )
    wrapped = get_peft_model(causal_llama(), config)
    SFTTrainer(
        model=wrapped,
        args=sft_arguments(tmp_path / "hand"),
        train_dataset=data.train,
        processing_class=tokenizer,
    ).train()
    wrapped.save_pretrained(tmp_path / "hand" / "adapter")
    assert_same_weights(weights(tmp_path / "ours"), weights(tmp_path / "hand"))
