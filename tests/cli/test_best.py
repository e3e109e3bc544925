"""The best checkpoint: by which metric, and stopping once there is none better."""

import json

import pytest
from safetensors.torch import load_file

from example_profiles import profile_of
from gelora.artifacts import METRICS_FILE, read_json
from gelora.cli import main
from gelora.cli.forwarding import for_the_trainer, training_arguments
from gelora.cli.parsing import parse
from gelora.errors import ConfigError
from gelora.ranks import plan_ranks
from gelora.tasks.train import check_metric
from tiny_chats import tiny_instructions
from tiny_models import tiny_bert
from tiny_questions import tiny_questions
from tiny_tasks import tiny_task

STEPS = ["--max_steps", "40", "--learning_rate", "0.05", "--use_cpu", "--lora_dropout", "0.1"]
STEPS += ["--eval_strategy", "steps", "--eval_steps", "2"]
STEPS += ["--save_strategy", "steps", "--save_steps", "2", "--save_total_limit", "30"]
PATIENT = ["--early_stopping_patience", "3"]
BEST_BY = ["--load_best_model_at_end", "--metric_for_best_model"]


@pytest.fixture
def planned(out):
    profile = profile_of(tiny_bert())
    profile.save_pretrained(out)
    plan_ranks(profile).save_pretrained(out)
    return out


def weights(folder):
    return {k: v.tolist() for k, v in load_file(folder / "adapter_model.safetensors").items()}


def test_training_stops_after_three_evaluations_that_are_no_better(flags, planned):
    assert main(["train", *flags, *STEPS, *PATIENT]) == 0
    metrics = read_json(planned / METRICS_FILE, kind="metrics")
    headline = metrics["headline_metric"]
    found = {e["step"]: e[f"eval_{headline}"] for e in metrics["history"] if "eval_loss" in e}
    best = max(found, key=lambda step: (found[step], -step))
    assert max(found) == best + 6 < 40
    assert weights(planned / "adapter") == weights(planned / f"checkpoint-{best}")
    assert metrics["metrics"][headline]["value"] == found[best]
    state = json.loads((planned / f"checkpoint-{max(found)}" / "trainer_state.json").read_text())
    assert state["best_metric"] == found[best]


def test_patience_survives_an_interruption(flags, planned):
    arguments = ["train", *flags, *STEPS, *PATIENT]
    assert main(arguments) == 0
    last = max(planned.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    before = read_json(planned / METRICS_FILE, kind="metrics")
    stopped_at = int(last.name.split("-")[1])
    resumed_from = planned / f"checkpoint-{stopped_at - 2}"
    (planned / METRICS_FILE).unlink()
    assert main([*arguments, "--resume_from_checkpoint", str(resumed_from)]) == 0
    after = read_json(planned / METRICS_FILE, kind="metrics")
    assert after["history"] == before["history"]
    assert after["metrics"] == before["metrics"]


@pytest.mark.parametrize(
    ("more", "data", "expected"),
    [
        (["--load_best_model_at_end"], tiny_task(), ("matthews_correlation", True)),
        (PATIENT, tiny_task(problem="regression"), ("pearson", True)),
        (["--save_strategy", "best"], tiny_task(), ("matthews_correlation", True)),
        (PATIENT, tiny_instructions(), ("perplexity", False)),
        ([*BEST_BY, "f1"], tiny_task(), ("f1", True)),
        ([*BEST_BY, "eval_loss"], tiny_task(), ("eval_loss", False)),
        ([*BEST_BY, "perplexity"], tiny_instructions(), ("perplexity", False)),
        ([*BEST_BY, "eval_perplexity"], tiny_instructions(), ("eval_perplexity", False)),
        (
            [*BEST_BY, "perplexity", "--greater_is_better", "true"],
            tiny_instructions(),
            ("perplexity", True),
        ),
        ([], tiny_task(), (None, None)),
    ],
)
def test_best_is_by_the_headline_metric_unless_another_is_named(more, data, expected, tmp_path):
    flags = [] if data.problem != "instruction_tuning" else ["--task_type", data.problem]
    flags += ["--train_file", "x.jsonl"] if flags else []
    config = parse("train", ["--output_dir", str(tmp_path), *STEPS, *flags, *more])
    given = training_arguments(config)
    arguments = for_the_trainer(given, config, data)
    assert (arguments.metric_for_best_model, arguments.greater_is_better) == expected
    assert arguments.load_best_model_at_end == bool(more and more != ["--save_strategy", "best"])
    named = config.extra.get("metric_for_best_model")
    assert given.metric_for_best_model in {None, named or "loss"}  # it was left as it came


@pytest.mark.parametrize(
    ("metric", "data", "is_there"),
    [
        ("loss", tiny_questions(), True),
        ("eval_exact_match", tiny_questions(), True),
        ("HasAns_f1", tiny_questions(version_2=True), True),
        ("HasAns_f1", tiny_questions(), False),
        ("em", tiny_questions(), False),
        ("perplexity", tiny_task(), False),
    ],
)
def test_the_best_is_by_a_metric_that_there_is(metric, data, is_there, tmp_path):
    config = parse("train", ["--output_dir", str(tmp_path), *STEPS, *BEST_BY, metric])
    arguments = training_arguments(config)
    if is_there:
        check_metric(arguments, data)
        return
    with pytest.raises(ConfigError, match=f"metric_for_best_model {metric} is none of the metrics"):
        check_metric(arguments, data)
