"""What cannot be is said before anything is loaded or measured."""

import pytest

from gelora.artifacts import CONFIG_FILE, PROFILE_FILE, REPORT_FILE
from gelora.cli import main

PAIR = ["--overwrite", "--resume_from_checkpoint"]


@pytest.fixture
def unloaded(monkeypatch):
    """Let whatever loads a model fail the test."""

    def fail(*arguments, **options):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("gelora.cli.loading.load_backbone", fail)
    monkeypatch.setattr("gelora.cli.loading.load_with_head", fail)


@pytest.fixture
def trackio_alone(monkeypatch):
    """Let the machine have one place to report to, whatever is installed."""
    name = "gelora.training.checks.get_available_reporting_integrations"
    monkeypatch.setattr(name, lambda: ["trackio"])


@pytest.mark.usefixtures("unloaded", "trackio_alone")
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([*PAIR, "true"], "--overwrite removes the checkpoints that --resume_from_checkpoint true"),
        ([*PAIR, "x/checkpoint-2"], "--resume_from_checkpoint x/checkpoint-2 would go on from"),
        (
            ["--budget", "r8"],
            "budget must be a positive number of parameters, or of the form 'r=8'. Got 'r8'",
        ),
        (["--rank_rule", "budget"], "--rank_rule 'budget' needs a budget"),
        (
            ["--rank_rule", "paper", "--budget", "r=8"],
            "'paper' spends no budget, and budget is 'r=8'",
        ),
        (["--min_rank", "0"], "min_rank must be a whole number, at least 1. Got 0."),
        (["--min_rank", "3", "--max_rank", "2"], "max_rank 2 is below --min_rank 3"),
        (["--lora_alpha", "-1"], "lora_alpha must be a positive number. Got -1."),
        (["--resume_from_checkpoint", "nowhere"], "nowhere is no checkpoint to resume from"),
        (["--init_lora_weights", "nonsense"], "Unknown initialization init_lora_weights='nonsense"),
        (
            ["--init_lora_weights", "pissa_x"],
            "PEFT does not take these flags of LoRA: --init_lora_w",
        ),
        (["--init_lora_weights", "eva"], "eva moves ranks between modules, which is what the plan"),
        (["--max_steps", "0"], "max_steps 0 and --num_train_epochs 5 leave no step to train"),
        (["--num_train_epochs", "0"], "num_train_epochs 0 leave no step to train"),
        (["--learning_rate", "nan"], "learning_rate must be a number. Got nan."),
        (["--save_strategy", "steps", "--save_steps", "0"], "save_steps must be above 0. Got 0"),
        (["--logging_steps", "-3"], "logging_steps must be above 0. Got -3"),
        (["--save_total_limit", "-1"], "save_total_limit must be 0 or more. Got -1."),
        (["--neftune_noise_alpha", "-1"], "neftune_noise_alpha must be 0 or more. Got -1.0."),
        (["--learning_rate", "-1"], "learning_rate must be 0 or more. Got -1.0."),
        (["--num_train_epochs", "nan"], "num_train_epochs must be a number. Got nan."),
        (["--weight_decay", "nan"], "weight_decay must be a number. Got nan."),
        (["--warmup_steps", "nan"], "warmup_steps must be a number. Got nan."),
        (["--adam_beta1", "2"], "The optimizer adamw_torch"),
        (["--adam_epsilon", "-1"], "Invalid epsilon value: -1.0"),
        (["--optim_args", "x"], "optim adamw_torch"),
        (["--eval_accumulation_steps", "0"], "eval_accumulation_steps must be at least 1. Got 0."),
        (["--label_smoothing_factor", "2"], "label_smoothing_factor is a share, 0 or more and b"),
        (["--dataloader_num_workers", "-1"], "The loader of the rows does not take these"),
        (["--lr_scheduler_kwargs", '{"x": 1}'], "The schedule linear does not take these flags"),
        (["--lr_scheduler_type", "warmup_stable_decay"], "The schedule warmup_stable_decay does"),
        (["--torch_compile_backend", "nonsense"], "torch_compile_backend nonsense is none of"),
        (["--dtype", "bfloat16"], "dtype bfloat16 loses small training steps to rounding"),
        (["--warmup_ratio", "0.1"], "no flag --warmup_ratio; here it is --warmup_steps"),
        (["--dtype", "float16", "--fp16", "true"], "float16 is not trained on a CPU"),
        (["--fsdp", "full_shard"], "fsdp shares a model between processes, and there is one"),
        (["--use_liger_kernel", "true"], "pip install liger-kernel"),
        (["--optim", "galore_adamw"], "optim galore_adamw needs a package"),
        (["--optim", "nonsense"], "TrainingArguments does not take these flags"),
        (
            ["--per_device_train_batch_size", "500", "--dataloader_drop_last", "true"],
            "dataloader_drop_last leaves no batch of 500 in 96 training rows",
        ),
        (["--budget", "8"], "did you mean --budget r=8?"),
        (["--lora_r", "8"], "no flag --lora_r; ranks are planned: --budget r=8 spends"),
        (["--max-seq-length", "8"], "no flag --max_seq_length; here it is --max_length."),
        (["--problem_type", "regression"], "no flag --problem_type; here it is --task_type."),
        (["--alpha_per_rank", "2"], "no flag --alpha_per_rank; here it is --scaling."),
        (["--label_column", "lable"], "no column 'lable' in train.jsonl"),
        (["--gradient_accumulation_steps", "0"], "gradient_accumulation_steps must be at least 1."),
        (["--lora_dropout", "2"], "lora_dropout must be a share, 0 or more and below 1. Got 2."),
        (
            ["--lora_dropout", "-0.1"],
            "lora_dropout must be a share, 0 or more and below 1. Got -0.1.",
        ),
        (
            ["--per_device_train_batch_size", "0"],
            "per_device_train_batch_size must be a whole number, at least 1.",
        ),
        (
            ["--per_device_eval_batch_size", "0"],
            "eval_batch_size must be a whole number, at least 1. Got 0.",
        ),
        (
            ["--measure_batch_tokens", "0"],
            "measure_batch_tokens must be a whole number, at least 1. Got 0.",
        ),
        (["--precision", "-1"], "precision must be 0 or more dimensions. Got -1."),
        (["--precision", "nan"], "precision must be 0 or more dimensions. Got 'nan'."),
        (["--hidden_states", "x"], "--hidden_states x is for gelora measure: measure, and then"),
        (["--max_length", "0"], "max_length must be a whole number, at least 1. Got 0."),
        (["--load_in_4bit", "--load_in_8bit"], "--load_in_4bit and --load_in_8bit are both given"),
        (
            ["--early_stopping_patience", "0"],
            "early_stopping_patience must be a whole number, at least 1. Got 0.",
        ),
        (
            ["--early_stopping_patience", "2", "--eval_strategy", "no"],
            "must be the same, epoch or steps. Got no and epoch.",
        ),
        (
            ["--early_stopping_patience", "2", "--save_strategy", "steps"],
            "early_stopping_patience 2 keeps the best of the checkpoints that were evaluated",
        ),
        (
            ["--early_stopping_patience", "2", "--load_best_model_at_end", "false"],
            "early_stopping_patience 2 keeps the best checkpoint, and load_best_model_at_end is f",
        ),
        (
            ["--metric_for_best_model", "em"],
            "metric_for_best_model em is none of the metrics of train, which are accuracy, ",
        ),
        (["--batch_eval_metrics", "true"], "batch_eval_metrics True is not taken: metrics are"),
        (["--eval_do_concat_batches", "false"], "eval_do_concat_batches False is not taken: met"),
        (
            ["--task_type", "question_answering", "--label_smoothing_factor", "0.1"],
            "label_smoothing_factor 0.1 is not for question answering, whose loss is not smoothed",
        ),
        (
            ["--task_type", "instruction_tuning", "--eos_token", "w1"],
            "eos_token 'w1' would change the texts after they were measured",
        ),
        (["--dimension_steps", "0"], "dimension_steps must be a whole number, at least 1. Got 0."),
        (["--seed", "-1"], "seed must be a whole number between 0 and 4294967295. Got -1."),
        (["--seed", "4294967296"], "between 0 and 4294967295. Got 4294967296."),
        (["--report_to", "nonsense"], "report_to nonsense is none of azure_ml,"),
        (
            ["--report_to", "wandb"],
            "report_to wandb needs a package that is missing: pip install wandb; installed: track",
        ),
    ],
)
def test_flags_are_checked_before_anything_is_measured(flags, out, more, message, error_of):
    assert message in error_of(["run", *flags, *more])
    assert not (out / PROFILE_FILE).exists()


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize("verb", ["measure", "run", "report"])
@pytest.mark.parametrize("name", [CONFIG_FILE, REPORT_FILE])
def test_what_no_run_wrote_is_not_overwritten(flags, out, name, verb, error_of):
    out.mkdir()
    (out / name).write_text("seed: [mine")
    given = ["--output_dir", str(out)] if verb == "report" else flags
    message = f"{out} holds a {name} and no environment.json, so it is not the folder of a run."
    assert message in error_of([verb, *given])
    assert (out / name).read_text() == "seed: [mine"
    assert [path.name for path in out.iterdir()] == [name]


def test_overwrite_takes_the_folder(flags, out):
    out.mkdir()
    (out / CONFIG_FILE).write_text("seed: [mine")
    assert main(["measure", *flags, "--overwrite"]) == 0
    assert (out / CONFIG_FILE).read_text().startswith("# gelora ")
