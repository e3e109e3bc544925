import math

import pytest

from gelora.errors import DataError
from gelora.tasks.classification.labels import (
    encode_labels,
    fit_labels,
    guess_problem,
    parse_labels,
    without_hidden,
)
from gelora.tasks.known import find_task

WHERE = "Column 'label' of a.csv"


@pytest.mark.parametrize(
    ("values", "parsed"),
    [
        ([0, 1, None], [0, 1, None]),
        (["0", " 1", ""], [0, 1, None]),
        (["0.0", "1.0", "nan"], [0, 1, None]),
        (["0", "1", "NaN", "NA"], [0, 1, None, None]),
        (["7", "007"], ["7", "007"]),
        (["1000", "1_000", "1e3"], ["1000", "1_000", "1e3"]),
        (["9007199254740993", "9007199254740992"], [9007199254740993, 9007199254740992]),
        ([9007199254740993, 9007199254740992], [9007199254740993, 9007199254740992]),
        (["-1", "0", "1"], [-1, 0, 1]),
        (["1", "2.0"], ["1", "2.0"]),
        (["0.50", "2e-05", "null"], [0.5, 2e-05, None]),
        (["Mild", "None"], ["Mild", "None"]),
        ([0.0, 1.0, math.nan], [0, 1, None]),
        (["0.5", "1"], [0.5, 1.0]),
        ([0.5, 1, math.nan], [0.5, 1.0, None]),
        (["good ", "bad", " "], ["good", "bad", None]),
        (["1", "one"], ["1", "one"]),
        ([True, False, None], ["True", "False", None]),
    ],
)
def test_labels_are_read_as_one_kind(values, parsed):
    labels = parse_labels(values, where=WHERE)
    assert labels == parsed
    assert [type(label) for label in labels] == [type(label) for label in parsed]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, "good"], "a.csv mixes names and numbers, such as 'good' and 0"),
        ([0, [1]], r"a.csv must hold numbers or names; it has \[1\]"),
        (["inf", "1"], "a.csv holds 'inf', infinity"),
        ([math.inf, 1.0], "a.csv holds infinity"),
    ],
)
def test_labels_of_no_usable_kind_are_refused(values, message):
    with pytest.raises(DataError, match=message):
        parse_labels(values, where=WHERE)


def test_parse_labels_sets_the_markers_aside_that_are_named():
    values = ["Mild", "None", "-1", "NA"]
    assert parse_labels(values, where=WHERE, missing=["None", "-1"]) == ["Mild", None, None, "NA"]
    assert parse_labels([0, -1, 1], where=WHERE, missing=["-1"]) == [0, None, 1]
    named = parse_labels(["0", "1", "nan"], where=WHERE, missing=["-1"])
    assert named == ["0", "1", "nan"]  # the usual texts for NaN are replaced by those named


def test_parse_labels_says_that_a_class_looks_like_a_missing_label(caplog):
    parse_labels(["yes", "no", "NA"], where=WHERE)
    assert "'NA'" in caplog.text
    assert "missing_labels" in caplog.text


def test_parse_labels_reads_whole_numbers_as_floats_for_a_regression():
    targets = parse_labels(["1", "02", "-1"], where=WHERE, problem="regression", missing=["02"])
    assert targets == [1, None, -1]
    with pytest.raises(DataError, match="numbers for a regression; it has '02' in 2 rows"):
        parse_labels(["1", "02", "02"], where=WHERE, problem="regression")


def test_parse_labels_reads_texts_as_names_where_the_training_labels_are_names():
    assert parse_labels(["007", "7"], where=WHERE, are_texts=True) == ["007", "7"]


def test_without_hidden_drops_minus_one():
    assert without_hidden([0, -1, 1]) == [0, None, 1]
    assert without_hidden([0.5, -1.0]) == [0.5, None]


def fit(labels, task=None, class_names=None):
    return fit_labels(
        labels,
        problem=task.problem if task else guess_problem(labels),
        class_names=task.label_names if task else class_names,
        where=WHERE,
    )


@pytest.mark.parametrize(
    ("labels", "names", "numbers"),
    [
        ([1, 0, 1], None, [1, 0, 1]),
        ([4, 0, 4], ("0", "4"), [1, 0, 1]),
        (["no", "yes", "maybe"] * 2, ("maybe", "no", "yes"), [1, 2, 0] * 2),
    ],
)
def test_classes_are_numbered_in_sorted_order(labels, names, numbers):
    encoding = fit(labels)
    assert (encoding.problem, encoding.num_labels) == ("classification", len(set(labels)))
    assert str(encoding) == f"{len(set(labels))} classes ({', '.join(map(str, sorted({*labels})))})"
    assert encoding.names == names
    assert encode_labels(labels, encoding, where=WHERE) == numbers


def test_floats_are_a_regression():
    encoding = fit([0.5, 2.0])
    assert (encoding.problem, encoding.num_labels, encoding.names) == ("regression", 1, None)
    assert str(encoding) == "numbers to predict"
    assert encode_labels([0.5, 2.0], encoding, where=WHERE) == [0.5, 2.0]


def test_a_task_and_class_names_fix_the_order_for_numbers_and_names():
    rte = fit(["not_entailment"], task=find_task("rte"))
    assert encode_labels(["not_entailment", "entailment"], rte, where=WHERE) == [1, 0]
    assert encode_labels([0, 1.0], rte, where=WHERE) == [0, 1]
    named = fit([0], class_names=["world", "sports", "business"])
    assert (named.num_labels, named.names) == (3, ("world", "sports", "business"))
    assert encode_labels([2, "sports"], named, where=WHERE) == [2, 1]


def test_whole_numbers_are_targets_where_the_task_is_a_regression():
    encoding = fit([0, 5], task=find_task("stsb"))
    targets = encode_labels([0, 5], encoding, where=WHERE)
    assert targets == [0.0, 5.0]
    assert all(isinstance(target, float) for target in targets)


def test_a_single_class_is_refused():
    with pytest.raises(DataError, match="a.csv has one label alone, 'good'"):
        fit(["good", "good"])


def test_more_classes_than_half_of_the_rows_are_refused():
    assert fit(list(range(20)) * 2).num_labels == 20
    with pytest.raises(
        DataError,
        match="a.csv has 21 different labels in 40 rows, too many for classes: name another "
        "label_column, or set task_type to regression",
    ):
        fit([*range(21), *range(19)])
    with pytest.raises(DataError, match=r"3 different labels in 3 rows, .*another label_column\.$"):
        fit(["Ann", "Bob", "Cem"])
    assert fit(["no", "yes"]).num_labels == 2


def test_fractions_are_classes_where_it_is_said():
    labels = [0.5, 1.0, 0.5, 1.0]
    encoding = fit_labels(labels, problem="classification", class_names=None, where=WHERE)
    assert encoding.names == ("0.5", "1")
    assert encode_labels(labels, encoding, where=WHERE) == [0, 1, 0, 1]


def test_names_in_a_regression_are_refused():
    encoding = fit([1], task=find_task("stsb"))
    with pytest.raises(DataError, match="a.csv must hold numbers for a regression; it has 'good'"):
        encode_labels(["good"], encoding, where=WHERE)


def test_labels_unknown_to_the_training_data_are_named():
    encoding = fit(["a", "b"])
    with pytest.raises(DataError, match="labels that are no class: 'c'; the classes are 'a', 'b'"):
        encode_labels(["a", "c", "c"], encoding, where=WHERE)
    with pytest.raises(
        DataError, match="no class: '2', '3', '4', '5', '6' and 2 more; the classes"
    ):
        encode_labels(list(range(9)), fit([0, 1]), where=WHERE)
    message = r"no class: '0.5'; the classes are 'unacceptable' \(0\), 'acceptable' \(1\)"
    with pytest.raises(DataError, match=message):
        encode_labels([0.5], fit([0], task=find_task("cola")), where=WHERE)
    with pytest.raises(DataError, match=r"no class: '0'; the classes are '1', '2'\."):
        encode_labels([0], fit([1, 2]), where=WHERE)  # of which 1 is the first, not the second


def test_parse_labels_refuses_a_text_of_too_many_digits():
    with pytest.raises(DataError, match="too large"):
        parse_labels(["9" * 5000, "1"], where="Column 'label'")
