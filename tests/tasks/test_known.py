from typing import get_args

import pytest

from gelora.errors import ConfigError
from gelora.problems import Problem
from gelora.tasks.known import TASKS, choose_problem, default_metrics, find_task

GLUE = ("cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli")


def test_the_tasks_are_gelora_s_own_and_all_of_the_paper():
    assert tuple(TASKS) == ("agreement", *GLUE, "squad", "squad_v2", "alpaca", "mt_bench")


@pytest.mark.parametrize(
    ("name", "text_columns", "label_names", "headline_metric"),
    [
        ("cola", ("sentence",), ("unacceptable", "acceptable"), "matthews_correlation"),
        ("sst2", ("sentence",), ("negative", "positive"), "accuracy"),
        ("mrpc", ("sentence1", "sentence2"), ("not_equivalent", "equivalent"), "f1"),
        ("qqp", ("question1", "question2"), ("not_duplicate", "duplicate"), "f1"),
        ("stsb", ("sentence1", "sentence2"), None, "pearson"),
        (
            "mnli",
            ("premise", "hypothesis"),
            ("entailment", "neutral", "contradiction"),
            "accuracy",
        ),
        ("qnli", ("question", "sentence"), ("entailment", "not_entailment"), "accuracy"),
        ("rte", ("sentence1", "sentence2"), ("entailment", "not_entailment"), "accuracy"),
        ("wnli", ("sentence1", "sentence2"), ("not_entailment", "entailment"), "accuracy"),
    ],
)
def test_columns_labels_and_metric_are_those_of_glue(
    name, text_columns, label_names, headline_metric
):
    task = find_task(name)
    assert task.text_columns == text_columns
    assert task.label_names == label_names
    assert task.headline_metric == headline_metric
    assert task.label_column == "label"
    assert task.dataset == ("nyu-mll/glue", name)


@pytest.mark.parametrize(
    ("name", "problem", "columns", "headline_metric", "dataset"),
    [
        (
            "squad",
            "question_answering",
            ("question", "context", "answers"),
            "f1",
            "rajpurkar/squad",
        ),
        (
            "squad_v2",
            "question_answering",
            ("question", "context", "answers"),
            "f1",
            "rajpurkar/squad_v2",
        ),
        (
            "alpaca",
            "instruction_tuning",
            ("instruction", "input", "output"),
            "perplexity",
            "tatsu-lab/alpaca",
        ),
    ],
)
def test_the_other_tasks_of_the_paper(name, problem, columns, headline_metric, dataset):
    task = find_task(name)
    assert (task.problem, task.num_labels) == (problem, 0)
    assert (*task.text_columns, task.label_column) == columns
    assert task.headline_metric == headline_metric
    assert task.dataset == (dataset, None)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_agrees_with_itself(name):
    task = TASKS[name]
    assert task.name == name
    assert task.problem in get_args(Problem)
    assert (task.problem == "classification") == (task.label_names is not None)
    assert (task.problem == "regression") == (task.num_labels == 1)
    assert len(task.validation_splits) == (2 if name == "mnli" else 1)
    if task.metrics:
        assert task.headline_metric == task.metrics[0]


def test_only_the_questions_without_answers_have_no_metric():
    assert [name for name, task in TASKS.items() if not task.metrics] == ["mt_bench"]


def test_a_misspelt_task_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="no task 'CoLa': did you mean cola?"):
        find_task("CoLa")


def test_an_unknown_task_is_answered_with_all():
    with pytest.raises(ConfigError, match="no task 'translation': the tasks are agreement, cola"):
        find_task("translation")


def test_the_problem_is_the_task_s_or_the_one_named():
    assert choose_problem(None, task=None) is None
    assert choose_problem("regression", task=None) == "regression"
    assert choose_problem(None, task=find_task("stsb")) == "regression"
    assert choose_problem("classification", task=find_task("cola")) == "classification"
    with pytest.raises(ConfigError, match="cola is classification, .* cannot be regression: le"):
        choose_problem("regression", task=find_task("cola"))
    with pytest.raises(
        ConfigError, match="one of classification, regression, question_.*; got 'ranking'"
    ):
        choose_problem("ranking", task=None)


def test_f1_is_reported_for_two_classes_alone():
    assert "f1" in default_metrics("classification", 2)
    assert "f1" not in default_metrics("classification", 3)
    assert default_metrics("regression", 1) == ("pearson", "spearman")
    assert default_metrics("question_answering", 0) == ("f1", "exact_match")
    assert default_metrics("instruction_tuning", 0) == ("perplexity",)
