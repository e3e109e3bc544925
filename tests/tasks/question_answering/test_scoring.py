"""The official scores: a table of cases worked out by hand, and what must hold for any answers."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelora.errors import DataError
from gelora.tasks.metrics import Metric
from gelora.tasks.question_answering.scoring import (
    answer_metrics,
    exact_match,
    normalize,
    score_questions,
    token_f1,
)

WORDS = st.sampled_from(["the", "a", "cat", "Cat,", "sat", "1858", "été", "U.S.", ""])
TEXTS = st.lists(WORDS, max_size=4).map(" ".join)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Saint Bernadette Soubirous", "saint bernadette soubirous"),
        ("The  Eiffel\tTower!", "eiffel tower"),
        ("an apple a day", "apple day"),
        ("theatre", "theatre"),  # an article is a word
        ("a.m.", "am"),  # punctuation goes before articles, so no article is left to remove
        ("U.S.-led", "usled"),
        ("the the", ""),
        ("“quoted”", "“quoted”"),  # only ASCII's punctuation is removed
        ("10–24", "10–24"),
        ("\u00a0$3,000\n", "3000"),
        ("the-end", "theend"),
        ("", ""),
    ],
)
def test_normalisation(text, normal):
    assert normalize(text) == normal
    assert normalize(normal) == normal


@pytest.mark.parametrize(
    ("answer", "golds", "exact", "f1"),
    [
        ("Denver Broncos", ["Denver Broncos"], 1, 1),
        ("the denver broncos.", ["Denver Broncos"], 1, 1),
        ("Broncos", ["Denver Broncos"], 0, Fraction(2, 3)),  # precision 1, recall 1/2
        ("Broncos", ["Denver Broncos", "The Broncos"], 1, 1),  # the best gold answer counts
        ("in late 1990s", ["the late 1990s"], 0, Fraction(4, 5)),  # 2/3 and 2/2
        ("very very good", ["very good"], 0, Fraction(4, 5)),  # a word counts as often as in both
        ("good very", ["very good"], 0, 1),  # their order does not matter
        ("1858", ["1859"], 0, 0),
        # The largest of each: exact match of one gold answer, F1 of another.
        ("x y z", ["z", "x y q"], 0, Fraction(2, 3)),
        ("", ["France"], 0, 0),
        ("the", ["the"], 1, 0),  # in 1.1 texts without words have nothing in common
    ],
)
def test_scores_worked_out_by_hand_in_1_1(answer, golds, exact, f1):
    found = score_questions([answer], [golds], version_2=False)
    assert [float(scores[0]) for scores in found] == pytest.approx([exact, float(f1)])


@pytest.mark.parametrize(
    ("answer", "golds", "exact", "f1"),
    [
        ("", [], 1, 1),
        ("France", [], 0, 0),
        ("", ["France"], 0, 0),
        ("the", [], 1, 1),  # no words are left of it
        ("the", ["a"], 1, 1),  # nor of this gold answer, which counts as none
        ("", ["the", "France"], 0, 0),  # a gold answer without words does not count beside others
        ("in France", ["France", "Paris"], 0, Fraction(2, 3)),
    ],
)
def test_scores_worked_out_by_hand_in_2_0(answer, golds, exact, f1):
    found = score_questions([answer], [golds], version_2=True)
    assert [float(scores[0]) for scores in found] == pytest.approx([exact, float(f1)])


@given(TEXTS, TEXTS, st.booleans())
def test_f1_is_symmetric_between_0_and_1_and_1_for_what_matches(answer, gold, version_2):
    f1 = token_f1(answer, gold, version_2=version_2)
    assert f1 == token_f1(gold, answer, version_2=version_2)
    assert 0 <= f1 <= 1
    if exact_match(answer, gold) and (version_2 or normalize(answer)):
        assert f1 == 1
    assert token_f1(f"The {answer.upper()}!", gold, version_2=version_2) == f1


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3), st.booleans())
def test_another_gold_answer_never_hurts(answer, golds, version_2):
    golds = [gold for gold in golds if normalize(gold)] or ["cat"]
    fewer = score_questions([answer], [golds], version_2=version_2)
    more = score_questions([answer], [[*golds, "sat"]], version_2=version_2)
    assert more[0][0] >= fewer[0][0]
    assert more[1][0] >= fewer[1][0]


def test_gold_answers_score_100_and_perturbed_ones_what_the_definition_says():
    golds = [["Denver Broncos", "Broncos"], ["gold", "golden"], ["in May 1858"], ["France"]]
    perfect = answer_metrics([gold[-1] for gold in golds], golds, version_2=False)
    assert perfect == {"f1": Metric(100.0, 0.0, 4), "exact_match": Metric(100.0, 0.0, 4)}
    answers = ["THE BRONCOS!", "golden one", "May 1858", "Spain"]
    metrics = answer_metrics(answers, golds, version_2=False)
    f1 = [1, 2 / 3, 4 / 5, 0]
    assert metrics["exact_match"].value == 25
    assert metrics["f1"].value == pytest.approx(25 * sum(f1))
    assert metrics["f1"].standard_error == pytest.approx(100 * np.std(f1) / math.sqrt(4))
    assert metrics["exact_match"].standard_error == pytest.approx(100 * math.sqrt(3 / 16 / 4))


def test_a_question_without_a_prediction_is_wrong_in_1_1_and_left_out_in_2_0():
    golds = [["a cat"], ["a dog"], ["a cow"]]
    wrong = answer_metrics(["cat", None, "cow"], golds, version_2=False)
    assert wrong["exact_match"].value == wrong["f1"].value == pytest.approx(200 / 3)
    assert wrong["f1"].num_samples == 3
    unlike_the_empty_answer = answer_metrics([None, ""], [["the"], ["the"]], version_2=False)
    assert unlike_the_empty_answer["exact_match"].value == 50
    left_out = answer_metrics(["cat", None, "cow"], golds, version_2=True)
    assert left_out["exact_match"] == left_out["f1"] == Metric(100.0, 0.0, 2)


def test_the_parts_of_2_0_are_the_questions_with_and_without_answer():
    golds = [["cat"], ["black dog"], [], [], []]
    metrics = answer_metrics(["cat", "dog", "", "cow", ""], golds, version_2=True)
    assert {name: (metric.value, metric.num_samples) for name, metric in metrics.items()} == {
        "f1": (pytest.approx(100 * (1 + 2 / 3 + 2) / 5), 5),
        "exact_match": (60.0, 5),
        "HasAns_f1": (pytest.approx(100 * (5 / 3) / 2), 2),
        "HasAns_exact": (50.0, 2),
        "NoAns_f1": (pytest.approx(200 / 3), 3),
        "NoAns_exact": (pytest.approx(200 / 3), 3),
    }
    assert "NoAns_f1" not in answer_metrics(["cat", "dog"], golds[:2], version_2=True)


def test_the_best_threshold_worked_out_by_hand():
    golds = [["cat"], ["black dog"], [], [], ["cow"]]
    answers = ["cat", "dog", "hen", "", "pig"]
    odds = [-3.0, 1.0, -1.0, 5.0, 2.0]
    metrics = answer_metrics(answers, golds, version_2=True, null_odds=odds)
    # Answering none scores the 2 without answer; then come cat +1, hen -1, dog +2/3 or +0, pig +0.
    assert metrics["best_exact"].value == metrics["best_f1"].value == 60
    assert metrics["best_exact_thresh"].value == metrics["best_f1_thresh"].value == -3
    none = answer_metrics(["hen"] * 5, golds, version_2=True, null_odds=odds)
    assert (none["best_f1"].value, none["best_f1_thresh"].value) == (40, 0)


def test_an_empty_answer_before_a_gain_costs_nothing():
    options = {"version_2": True, "null_odds": [0.0, 1.0]}
    metrics = answer_metrics(["", "cat"], [[], ["cat"]], **options)
    assert metrics["best_exact"].value == metrics["best_f1"].value == 100
    assert metrics["best_exact_thresh"].value == 1


def test_spans_are_what_the_best_threshold_chooses_from():
    options = {"version_2": True, "null_odds": [2.0, 3.0]}
    withheld = answer_metrics(["", ""], [["cat"], []], **options)
    assert withheld["best_f1"].value == 50
    offered = answer_metrics(["", ""], [["cat"], []], spans=["cat", "dog"], **options)
    assert offered["best_f1"].value == 100
    assert offered["best_f1_thresh"].value == 2
    assert offered["f1"] == withheld["f1"]


def test_the_best_threshold_is_no_worse_than_any_other(seed):
    generator = np.random.default_rng(seed)
    count = 30
    golds = [["cat"] if has else [] for has in generator.random(count) < 0.5]
    answers = generator.choice(["cat", "black cat", "dog"], count).tolist()
    odds = generator.normal(size=count)
    best = answer_metrics(answers, golds, version_2=True, null_odds=odds)
    scores = {}
    for threshold in [-math.inf, *odds]:
        cut = [a if o <= threshold else "" for a, o in zip(answers, odds, strict=True)]
        scores[threshold] = answer_metrics(cut, golds, version_2=True)
    for name, overall in (("f1", "f1"), ("exact", "exact_match")):
        values = {threshold: found[overall].value for threshold, found in scores.items()}
        assert best[f"best_{name}"].value == pytest.approx(max(values.values()))
        threshold = best[f"best_{name}_thresh"].value
        if threshold in values:
            assert values[threshold] == pytest.approx(max(values.values()))


def test_the_bootstrap_s_error_is_that_of_drawing_questions_anew(seed):
    # All have answers and equal odds, so the best is to answer all: an accuracy.
    generator = np.random.default_rng(seed)
    answers = np.where(generator.random(400) < 0.7, "cat", "dog").tolist()
    options = {"version_2": True, "null_odds": [0.0] * 400}
    metrics = answer_metrics(answers, [["cat"]] * 400, **options)
    # 200 draws know it to 5 %; four times that.
    assert metrics["best_exact"].standard_error == pytest.approx(
        metrics["exact_match"].standard_error, rel=0.2
    )


@pytest.mark.parametrize(
    ("answers", "version_2", "count"), [(["cat"], False, 1), (["cat", None], True, 1)]
)
def test_one_question_is_too_few(answers, version_2, count):
    message = re.escape(f"Metrics need at least 2 answered questions, got {count}.")
    with pytest.raises(DataError, match=message):
        answer_metrics(answers, [["cat"]] * len(answers), version_2=version_2)
