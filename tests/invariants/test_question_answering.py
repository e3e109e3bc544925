"""Training on questions that was killed and resumed ends as training left alone; and by hand."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import BertForQuestionAnswering, Trainer, default_data_collator, set_seed

from example_profiles import profile_of
from gelora.question_answering.windows import split_contexts
from gelora.ranks import plan_ranks
from gelora.training import train
from invariants import killed_answering
from tiny_models import WORDS, tiny_bert, tiny_tokenizer
from tiny_questions import questions, tiny_questions
from tiny_tasks import quick_arguments

HERE = Path(__file__).parent


def weights(folder):
    return load_file(folder / "adapter" / "adapter_model.safetensors")


def assert_same_weights(left, right):
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("alone")
    return output_dir, killed_answering.run(output_dir)


@pytest.mark.parametrize("moment", ["writing", pytest.param("training", marks=pytest.mark.slow)])
def test_a_killed_run_resumes_to_the_same_end(moment, left_alone, tmp_path):
    killed = subprocess.run(
        [sys.executable, HERE / "killed_answering.py", tmp_path, moment],
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-4", "checkpoint-8"}
    whole = (tmp_path / "checkpoint-8" / "trainer_state.json").exists()
    assert whole == (moment == "training")
    resumed = killed_answering.run(tmp_path, resume_from_checkpoint=True)
    output_dir, result = left_alone
    assert_same_weights(weights(output_dir), weights(tmp_path))
    assert resumed.history == result.history
    assert sum("eval_best_f1" in entry for entry in result.history) == 3


def test_without_padding_training_is_peft_and_the_trainer_by_hand(tmp_path):
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(8, 20, (32, 10), generator=generator)
    contexts = [" ".join(WORDS[i] for i in row) for row in drawn.tolist()]
    split = questions(contexts, [[(text.split()[0], 0)] for text in contexts])
    data, tokenizer = tiny_questions(), tiny_tokenizer()
    windows = split_contexts(split, tokenizer, data.question_answering, max_length=None)
    model = tiny_bert(BertForQuestionAnswering)
    plan = plan_ranks(profile_of(model), alpha_per_rank=2.0)
    ours = replace(data, train=split)
    train(model, tokenizer, ours, plan, arguments=quick_arguments(tmp_path / "ours"))

    set_seed(7)
    largest = max(plan.ranks)
    config = LoraConfig(
        r=largest,
        lora_alpha=2 * largest,
        target_modules=[f"bert.{name}" for name in plan.modules],
        rank_pattern={f"bert.{name}": rank for name, rank in plan.modules.items()},
        alpha_pattern={f"bert.{name}": 2 * rank for name, rank in plan.modules.items()},
        modules_to_save=["qa_outputs"],
    )
    wrapped = get_peft_model(tiny_bert(BertForQuestionAnswering), config)
    Trainer(
        model=wrapped,
        args=quick_arguments(tmp_path / "hand"),
        train_dataset=windows.features,
        data_collator=default_data_collator,
    ).train()
    wrapped.save_pretrained(tmp_path / "hand" / "adapter")
    assert_same_weights(weights(tmp_path / "ours"), weights(tmp_path / "hand"))
