"""Flags that are not ours reach TrainingArguments, and what is unknown there too is refused."""

import re
import warnings

import pytest
from transformers import TrainingArguments

from gelora.cli.forwarding import lora_arguments, training_arguments
from gelora.cli.parsing import parse
from gelora.errors import ConfigError


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
