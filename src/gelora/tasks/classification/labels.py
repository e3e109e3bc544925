"""Turn a column of labels, as users write them, into class numbers or targets of a regression.

Classes and a regression are told apart by their values, unless the task or the user says. Which
rows have no label is said here; leaving them out is up to those who read the rows.
"""

import logging
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gelora.errors import DataError
from gelora.problems import Problem

logger = logging.getLogger(__name__)

Label = int | float | str

HIDDEN = -1
"""What the test splits of GLUE, and columns of ClassLabel, have for a label that is not told."""

NOT_A_NUMBER = frozenset({"nan", "na", "n/a", "<na>", "#n/a", "null", "none"})
"""Texts, in lower case, that say in a column of numbers that there is none."""

_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
_POINT_ZERO = re.compile(r"-?(0|[1-9][0-9]*)\.0")  # as pandas writes classes beside missing ones
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_INFINITIES = frozenset({"inf", "-inf", "infinity", "-infinity"})
_MOST_DIGITS = 4300
"""Digits of the longest text that Python reads as an integer."""
_SHOWN = 5  # values named in a message


@dataclass(frozen=True)
class LabelEncoding:
    """What the labels of the training split mean.

    Attributes:
        problem: What is to be done with them.
        num_labels: The number of classes, 1 for a regression, 0 where no labels are read.
        names: The classes by their numbers; None if they are known by these alone.
        numbers: The class number of each label as text; empty but for classes.
        are_texts: Whether the training labels are texts, so that others are read as texts, too.
    """

    problem: Problem
    num_labels: int = 0
    names: tuple[str, ...] | None = None
    numbers: Mapping[str, int] = field(default_factory=dict[str, int])
    are_texts: bool = False

    def __str__(self) -> str:
        if self.num_labels == 0:
            return "without labels"
        if self.problem == "regression":
            return "numbers to predict"
        return f"{self.num_labels} classes ({_shown(self.names or tuple(self.numbers))})"


def parse_labels(
    values: Iterable[Any],
    *,
    where: str,
    problem: Problem | None = None,
    missing: Collection[str] | None = None,
    are_texts: bool = False,
) -> list[Label | None]:
    """Return labels of one kind (int, float or str), None where there is none.

    Texts, as CSV has them, become whole numbers if all are written as Python writes them (`7`, not
    `007`, `7e0` or `1_0`), or all as pandas writes classes beside missing ones (`7.0`). They become
    floats if all are numbers and some are fractions, or if the problem is a regression. Otherwise
    they stay names, so that `007` and `7` are two classes. Truth values become the names `True`
    and `False`, as CSV has them.

    Args:
        values: The column.
        where: The column and its file, for messages.
        problem: What the labels are for, if that is known.
        missing: Texts, or numbers as texts, that say that a row has no label, beside null, blank
            and NaN. None is the usual texts for NaN (`nan`, `NA`, `null`, `None`, ...), and these
            only where all other labels are numbers.
        are_texts: Whether to read texts as names, whatever they look like.

    Raises:
        DataError: The values are of different kinds, or of none that a label can be.
    """
    labels = [_plain(value, missing or ()) for value in values]
    present = [label for label in labels if label is not None]
    odd = next((label for label in present if not isinstance(label, str | int | float)), None)
    if odd is not None:
        raise DataError(f"{where} must hold numbers or names; it has {odd!r:.50}.")
    texts = [label for label in present if isinstance(label, str)]
    if are_texts:
        return [None if label is None else str(label) for label in labels]
    if texts and len(texts) < len(present):
        number = next(label for label in present if not isinstance(label, str))
        raise DataError(
            f"{where} mixes names and numbers, such as {texts[0]!r} and {number!r}: use one kind."
        )
    if texts:
        return _read_texts(labels, where=where, problem=problem, has_markers=missing is None)
    if any(isinstance(label, float) and math.isinf(label) for label in present):
        raise DataError(f"{where} holds infinity, which is no label.")
    is_whole = all(isinstance(label, int) or label.is_integer() for label in present)
    kind = int if is_whole else float
    try:
        return [None if label is None else kind(label) for label in labels]
    except OverflowError as error:
        raise DataError(f"{where} holds a number too large for a float.") from error


def guess_problem(labels: Iterable[Label | None]) -> Problem:
    """Tell a regression by its fractions."""
    is_regression = any(isinstance(label, float) for label in labels)
    return "regression" if is_regression else "classification"


def without_hidden(labels: Sequence[Label | None]) -> list[Label | None]:
    """Return the labels with None for -1, by which GLUE and ClassLabel say that none is told."""
    return [None if label in (HIDDEN, str(HIDDEN)) else label for label in labels]


def fit_labels(
    labels: Sequence[Label], *, problem: Problem, class_names: Sequence[str] | None, where: str
) -> LabelEncoding:
    """Decide what the training labels mean.

    Args:
        labels: Of every training row.
        problem: Whether they are classes.
        class_names: The task's or the file's own, in order; else the classes are the values there
            are, sorted.
        where: The column and its file, for messages.

    Raises:
        DataError: There are fewer than two classes, or so many that they can be none.
    """
    if problem == "regression":
        return LabelEncoding("regression", num_labels=1)
    if class_names is not None:
        numbers = {str(number): number for number in range(len(class_names))}
        numbers |= {name: number for number, name in enumerate(class_names)}
        return LabelEncoding("classification", len(class_names), tuple(class_names), numbers)
    classes = sorted(set(labels))  # of one kind, as parse_labels made them
    if len(classes) < 2:
        raise DataError(
            f"{where} has one label alone, {classes[0]!r}, and a classification needs two at least."
        )
    if len(classes) > max(2, len(labels) / 2):
        are_numbers = not isinstance(classes[0], str)
        otherwise = ", or set task_type to regression" if are_numbers else ""
        raise DataError(
            f"{where} has {len(classes)} different labels in {len(labels)} rows, too many for "
            f"classes: name another label_column{otherwise}."
        )
    keys = tuple(map(_key, classes))
    names = None if classes == list(range(len(classes))) else keys
    numbers = {key: number for number, key in enumerate(keys)}
    are_texts = isinstance(classes[0], str)
    return LabelEncoding("classification", len(classes), names, numbers, are_texts)


def encode_labels(
    labels: Sequence[Label], encoding: LabelEncoding, *, where: str
) -> list[int] | list[float]:
    """Return class numbers, or floats for a regression.

    Raises:
        DataError: A label is none of the encoding's.
    """
    if encoding.problem == "regression":
        name = next((label for label in labels if isinstance(label, str)), None)
        if name is not None:
            raise DataError(f"{where} must hold numbers for a regression; it has {name!r}.")
        try:
            return [float(label) for label in labels]
        except OverflowError as error:
            raise DataError(f"{where} holds a number too large for a float.") from error
    keys = [_key(label) for label in labels]
    unknown = sorted(set(keys) - encoding.numbers.keys())
    if unknown:
        raise DataError(
            f"{where} has labels that are no class: {_shown(list(map(repr, unknown)))}; the "
            f"classes are {_shown(_class_words(encoding))}."
        )
    return [encoding.numbers[key] for key in keys]


def _plain(value: Any, missing: Collection[str]) -> Any:
    """Return a value as a plain int, float or stripped text, and None where there is no label."""
    if isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        value = value.strip()
    is_nan = isinstance(value, float) and math.isnan(value)
    if value is None or value == "" or is_nan:
        return None
    return None if missing and str(value) in missing else value


def _read_texts(
    labels: Sequence[Any], *, where: str, problem: Problem | None, has_markers: bool
) -> list[Label | None]:
    """Return texts as numbers of one kind where all are numbers, else as they are."""
    counts = Counter(label for label in labels if label is not None)
    numbers = {text for text in counts if _NUMBER.fullmatch(text)}
    others = counts.keys() - numbers
    markers = {text for text in others if text.lower() in NOT_A_NUMBER}
    if numbers and others and others == markers and has_markers:
        counts = Counter({text: counts[text] for text in numbers})
        labels = [None if label in markers else label for label in labels]
    elif others and (infinite := sorted(t for t in others if t.lower() in _INFINITIES)) and numbers:
        raise DataError(f"{where} holds {infinite[0]!r}, infinity, which is no label.")
    elif problem == "regression":
        if others:
            raise DataError(
                f"{where} must hold numbers for a regression; it has {min(others)!r} in "
                f"{sum(counts[text] for text in others)} rows: set these aside with "
                f"missing_labels, or repair them."
            )
    elif others:
        if markers and has_markers:
            logger.warning(
                "%s has the class %r: add it to missing_labels if it means that there is none.",
                where,
                min(markers),
            )
        return list(labels)
    forms = (_WHOLE, _POINT_ZERO) if max(map(len, counts)) <= _MOST_DIGITS else ()
    for form in forms:
        if all(form.fullmatch(text) and text != "-0" for text in counts):
            return [None if label is None else int(label.removesuffix(".0")) for label in labels]
    values = {text: float(text) for text in counts}
    has_fractions = any(not value.is_integer() for value in values.values())
    if has_fractions or problem == "regression":
        if any(map(math.isinf, values.values())):
            raise DataError(f"{where} holds a number too large for a float.")
        return [None if label is None else values[label] for label in labels]
    return list(labels)


def _key(label: Label) -> str:
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def _class_words(encoding: LabelEncoding) -> list[str]:
    """Return the classes by name, and beside a name its number where that would do as well."""
    if encoding.names is None:
        return list(map(repr, encoding.numbers))
    return [
        f"{name!r} ({number})" if encoding.numbers.get(str(number)) == number else repr(name)
        for number, name in enumerate(encoding.names)
    ]


def _shown(values: Sequence[str]) -> str:
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return ", ".join(values[:_SHOWN]) + more
