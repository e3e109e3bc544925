"""Whether the adapter beats its baselines by more than the error, for every problem."""

import re
from dataclasses import fields

import pytest
from transformers import TrainingArguments

from gelora.cli.config import FLAGS
from gelora.ranks import plan_ranks
from gelora.report.decision import compare_baselines, result_decision
from report.example_problems import PROBLEMS
from report.example_run import example_metrics, example_profile

FALLING = [{"loss": loss, "step": step} for step, loss in enumerate((1.0, 0.8, 0.6, 0.4))]
METRICS = example_metrics(plan_ranks(example_profile()))


def metric(value, error, num_samples=200):
    return {"value": value, "standard_error": error, "num_samples": num_samples}


def classified(own, encoder=None, majority=(0.5, 0.035), *, history=FALLING):
    baselines = {"frozen_encoder": encoder, "majority": majority}
    return {
        **METRICS,
        "headline_metric": "accuracy",
        "metrics": {"accuracy": metric(*own)},
        "baselines": {
            name: {"accuracy": metric(*value)} for name, value in baselines.items() if value
        },
        "history": history,
    }


def said(metrics):
    return " ".join(result_decision(metrics))


def test_an_adapter_that_is_worse_than_the_linear_model():
    text = said(classified((0.678, 0.033), (0.965, 0.013)))
    assert (
        "worse than a linear model on the frozen encoder, 0.678 ± 0.033 against 0.965 ± 0.013: "
        "train longer, raise --learning_rate, or use the linear model."
    ) in text
    assert "better than the majority class by 0.178 ± 0.048" in text


def test_an_adapter_that_is_better_needs_no_action():
    text = said(classified((0.860, 0.011), (0.541, 0.016), (0.500, 0.016)))
    assert "than a linear model on the frozen encoder by 0.319 ± 0.019" in text
    assert "than the majority class by 0.360 ± 0.019" in text
    assert "--" not in text


@pytest.mark.parametrize(
    ("own", "encoder", "verdict"),
    [
        ((0.80, 0.02), (0.75, 0.02), "no different"),  # 1.8 errors of the difference
        ((0.80, 0.02), (0.74, 0.02), "better"),  # 2.1
        ((0.74, 0.02), (0.80, 0.02), "worse"),
        ((1.0, 0.0), (0.995, 0.005), "no different"),  # an error of 0 says nothing
        ((1.0, 0.0), (0.9, 0.02), "better"),
    ],
)
def test_compare_baselines_weighs_the_error_of_the_difference(own, encoder, verdict):
    first, _ = compare_baselines(classified(own, encoder))
    assert first.verdict == verdict


def test_a_tie_asks_for_more_rows_and_a_useless_encoder_is_not_advised():
    text = said(classified((0.80, 0.02), (0.79, 0.02)))
    assert "cannot be told from a linear model" in text
    assert "+" not in text
    assert "0.010 ± 0.028" in text
    assert "more validation rows" in text
    assert "or use the linear model" in text
    text = said(classified((0.51, 0.03), (0.50, 0.03)))
    assert "cannot be told from the majority class" in text
    assert "--label_column" in text
    assert "use the linear model" not in text


LOSSES = {
    "rising": [{"loss": loss} for loss in (0.7, 0.7, 2.0, 3.0)],
    "nan": [{"loss": loss} for loss in (0.7, 0.7, float("nan"), float("nan"))],
    "flat": [{"loss": loss} for loss in (0.70, 0.69, 0.69, 0.69)],
    "overfitted": [*FALLING, {"eval_loss": 0.4}, {"eval_loss": 0.9}],
    "none": [],
}


@pytest.mark.parametrize(
    ("history", "advised", "not_advised"),
    [
        ("rising", "lower --learning_rate", "raise|train longer"),
        ("nan", "lower --learning_rate", "raise|train longer"),
        ("flat", "raise --learning_rate", "lower"),
        ("overfitted", "--load_best_model_at_end", "raise|train longer"),
        ("none", "train longer, raise --learning_rate", "lower"),
    ],
)
def test_the_action_follows_from_how_training_went(history, advised, not_advised):
    text = said(classified((0.6, 0.02), (0.9, 0.02), history=LOSSES[history]))
    assert advised in text
    assert not re.search(not_advised, text)


def test_perplexity_is_compared_with_the_model_before_training():
    tuned = {**METRICS, **PROBLEMS["instruction_tuning"]}
    assert "better than the model before training by 4.44 ± 0.14" in said(tuned)
    worse = {**tuned, "metrics": {"perplexity": metric(12.0, 0.2, 500)}}
    text = said(worse)
    assert "worse than the model before training, 12.00 ± 0.20 against 9.88 ± 0.12" in text
    assert "lower --learning_rate" in text


def test_questions_without_baselines_and_with_unanswerable_ones():
    asked = {**METRICS, **PROBLEMS["question_answering"]}
    assert "better than leaving every question unanswered by 21.23" in said(asked)
    answerable = {**asked, "metrics": {"f1": metric(71.2, 0.6, 4000)}}
    assert "no baseline for these questions" in said(answerable)


def test_regression_is_compared_with_the_mean_and_without_gelora_run_that_is_all():
    numbers = classified((0.8, 0.02), None, (0.0, 0.0)) | {"problem": "regression"}
    text = said(numbers)
    assert "better than the mean label by 0.800" in text
    assert "not compared with a linear model" in text


@pytest.mark.parametrize("problem", ["classification", *PROBLEMS])
def test_without_validation_nothing_is_claimed(problem):
    text = said({**METRICS, **PROBLEMS.get(problem, {}), "metrics": {}, "baselines": {}})
    assert "nothing says whether the adapter helps" in text
    assert "better" not in text


def test_every_flag_that_is_advised_is_one():
    metrics = [
        *(classified((0.5, 0.03), (0.5, 0.03), history=history) for history in LOSSES.values()),
        {**METRICS, "metrics": {}},
    ]
    known = {*FLAGS, *(field.name for field in fields(TrainingArguments))}
    advised = set(re.findall(r"--(\w+)", " ".join(map(said, metrics))))
    assert len(advised) > 3
    assert advised <= known
