"""Flags that are not ours reach TrainingArguments, and what is unknown there too is refused."""

import re
import sys
import warnings

import pytest
from transformers import TrainingArguments
from trl.trainer.sft_config import SFTConfig

from gelora.cli.forwarding import lora_arguments, training_arguments
from gelora.cli.parsing import parse
from gelora.errors import ConfigError, MissingExtraError
from tiny_chats import RECOMPUTING


def arguments_of(*flags):
    return training_arguments(parse("run", ["--use_cpu", *flags]))


def test_our_flags_and_others_arrive(tmp_path):
    arguments = arguments_of(
        *("--output_dir", str(tmp_path), "--seed", "3", "--learning-rate", "1e-3"),
        *("--max-steps", "7", "--weight_decay=0.1", "--per_device_eval_batch_size", "5"),
        *("--eval_on_start", "--lr_scheduler_type", "cosine", "--quiet"),
    )
    assert arguments.output_dir == str(tmp_path)
    assert arguments.seed == 3
    assert arguments.learning_rate == 0.001
    assert arguments.max_steps == 7
    assert arguments.weight_decay == 0.1
    assert arguments.per_device_eval_batch_size == 5
    assert arguments.eval_on_start
    assert arguments.lr_scheduler_type == "cosine"
    assert arguments.disable_tqdm


def test_a_switch_can_be_turned_off():
    assert not arguments_of("--dataloader_pin_memory", "false").dataloader_pin_memory


def test_parameters_without_a_gradient_are_not_sought_unless_asked_for():
    assert arguments_of().ddp_find_unused_parameters is False
    assert arguments_of("--ddp_find_unused_parameters", "true").ddp_find_unused_parameters is True


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max_step", "5"], "There is no flag --max_step; did you mean 'max_steps'?"),
        (["--learnin_rate", "5"], "no flag --learnin_rate; did you mean 'learning_rate'?"),
        (["--num_sampels", "5"], "no flag --num_sampels; did you mean 'num_samples'?"),
        (["--profile", "x"], "There is no flag --profile; it is one of gelora plan."),
        (["--max_steps", "many"], "argument --max_steps/--max-steps: invalid int value: 'many'"),
        (["--eval_strategy", "no", "--load_best_model_at_end"], "TrainingArguments does not take"),
    ],
)
def test_what_trainings_arguments_do_not_take(flags, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        arguments_of(*flags)


def test_flags_on_their_way_out_are_named_to_the_user(monkeypatch, caplog):
    original = TrainingArguments.__post_init__

    def warn(self):
        original(self)
        warnings.warn("`old` will be removed", FutureWarning, stacklevel=1)

    monkeypatch.setattr(TrainingArguments, "__post_init__", warn)
    arguments_of()
    assert caplog.messages == ["Warning: `old` will be removed"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [("true", True), ("True", True), ("false", False), ("pissa", "pissa"), ("gaussian",) * 2],
)
def test_initial_weights_as_peft_takes_them(given, expected):
    config = parse("train", ["--init_lora_weights", given])
    assert lora_arguments(config)["init_lora_weights"] == expected


TUNING = ["--train_file", "x.jsonl", "--task_type", "instruction_tuning"]


def test_instruction_tuning_takes_trl_s_flags_and_trains_like_the_others():
    arguments = arguments_of(*TUNING, "--max_length", "99")
    assert isinstance(arguments, SFTConfig)
    plain = arguments_of()
    for name in ("bf16", RECOMPUTING, "learning_rate", "logging_steps", "optim"):
        assert getattr(arguments, name) == getattr(plain, name), name
    assert arguments.max_length == 99
    asked = arguments_of(*TUNING, "--packing", "--bf16", f"--{RECOMPUTING}")
    assert asked.packing
    assert asked.bf16
    assert getattr(asked, RECOMPUTING)
    assert arguments_of("--task", "alpaca", "--assistant_only_loss").assistant_only_loss


@pytest.mark.parametrize(("given", "expected"), [([], True), (["true"], True), (["no"], False)])
def test_the_old_name_of_checkpointing_is_taken(given, expected):
    arguments = arguments_of(*TUNING, "--gradient_checkpointing", *given)
    assert getattr(arguments, RECOMPUTING) is expected


def test_trl_s_flags_are_of_instruction_tuning_alone():
    with pytest.raises(ConfigError, match="There is no flag --packing"):
        arguments_of("--task", "cola", "--packing")
    with pytest.raises(ConfigError, match="no flag --pakcing; did you mean 'packing'?"):
        arguments_of(*TUNING, "--pakcing")
    with pytest.raises(ConfigError, match="SFTConfig does not take these flags: .*--packing"):
        arguments_of(*TUNING, "--packing", "perhaps")


def test_trl_s_keys_are_known_in_a_file(tmp_path):
    path = tmp_path / "tuning.yaml"
    path.write_text("task_type: instruction_tuning\ntrain_file: x.jsonl\npacking: true\n")
    assert training_arguments(parse("run", ["--config", str(path)])).packing
    path.write_text("task: cola\npacking: true\n")
    with pytest.raises(ConfigError, match="no flag for the key 'packing' in"):
        parse("run", ["--config", str(path)])


def test_without_trl_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "trl.trainer.sft_config", None)
    with pytest.raises(MissingExtraError, match=r"TRL, .*: pip install 'gelora\[sft\]'"):
        arguments_of(*TUNING)
    assert arguments_of().output_dir
