"""Turn a column of labels, as users write them, into class numbers or targets of a regression.

Classes and a regression are told apart by their values, unless the task or the user says. Which
rows to leave out for want of a label is said here; leaving them out is `rows.py`'s.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gelora.data.tables import is_number
from gelora.errors import DataError
from gelora.tasks import Problem, Task

Label = int | float | str

_HIDDEN = -1  # what GLUE's test splits have for a label
_SHOWN = 5  # values named in a message


@dataclass(frozen=True)
class LabelEncoding:
    """What the labels of the training split mean.

    Attributes:
        problem: What is to be done with them.
        num_labels: The number of classes, 1 for a regression, 0 where no labels are read.
        names: The classes by their numbers; None if they are known by these alone.
        numbers: The class number of each label as text; empty but for classes.
    """

    problem: Problem
    num_labels: int = 0
    names: tuple[str, ...] | None = None
    numbers: Mapping[str, int] = field(default_factory=dict[str, int])

    def __str__(self) -> str:
        if self.problem == "question_answering":
            return "answers to find"
        if self.problem == "instruction_tuning":
            return "completions to learn"
        if self.num_labels == 0:
            return "without labels"
        if self.problem == "regression":
            return "numbers to predict"
        return f"{self.num_labels} classes ({_shown(self.names or tuple(self.numbers))})"


def parse_labels(values: Iterable[Any], *, where: str) -> list[Label | None]:
    """Return labels of one kind (int, float or str), None where there is none.

    Numbers written as texts, as in CSV, become numbers if all of them are; and whole numbers ints,
    for pandas writes classes as 0.0 and 1.0 where some rows have none.

    Args:
        values: The column.
        where: The column and its file, for messages.

    Raises:
        DataError: The values are of different kinds, or of none that a label can be.
    """
    labels = [None if _is_missing(value) else value for value in values]
    present = [label for label in labels if label is not None]
    strings = [label for label in present if isinstance(label, str)]
    if not all(isinstance(label, str | int | float) for label in present):
        odd = next(label for label in present if not isinstance(label, str | int | float))
        raise DataError(f"{where} must hold numbers or names; it has {odd!r:.50}.")
    if strings and len(strings) < len(present):
        number = next(label for label in present if not isinstance(label, str))
        raise DataError(
            f"{where} mixes names and numbers, such as {strings[0]!r} and {number!r}: use one kind."
        )
    if strings and not all(is_number(label) for label in strings):
        return [None if label is None else label.strip() for label in labels]
    numbers = [None if label is None else float(label) for label in labels]
    if any(number is not None and math.isinf(number) for number in numbers):
        raise DataError(f"{where} holds infinity, which is no label.")
    is_whole = all(number is None or number.is_integer() for number in numbers)
    return [int(number) if number is not None and is_whole else number for number in numbers]


def guess_problem(labels: Iterable[Label | None]) -> Problem:
    """Tell a regression by its fractions."""
    is_regression = any(isinstance(label, float) for label in labels)
    return "regression" if is_regression else "classification"


def without_hidden(
    labels: Sequence[Label | None], *, task: Task | None, problem: Problem | None
) -> list[Label | None]:
    """Return the labels with None for -1, by which GLUE marks labels it keeps to itself.

    In a regression that is none of the known tasks, -1 is a target like any other.
    """
    if task is None and (problem or guess_problem(labels)) == "regression":
        return list(labels)
    return [None if label == _HIDDEN else label for label in labels]


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
        otherwise = ", or set problem_type to regression" if are_numbers else ""
        raise DataError(
            f"{where} has {len(classes)} different labels in {len(labels)} rows, too many for "
            f"classes: name another label_column{otherwise}."
        )
    keys = tuple(map(_key, classes))
    names = None if classes == list(range(len(classes))) else keys
    numbers = {key: number for number, key in enumerate(keys)}
    return LabelEncoding("classification", len(classes), names, numbers)


def encode_labels(
    labels: Sequence[Label], encoding: LabelEncoding, *, where: str
) -> list[int] | list[float]:
    """Return class numbers, or floats for a regression.

    Raises:
        DataError: A label is none of the encoding's.
    """
    if encoding.problem == "regression":
        if any(isinstance(label, str) for label in labels):
            raise DataError(f"{where} must hold numbers for a regression; it has {labels[0]!r}.")
        return [float(label) for label in labels]
    keys = [_key(label) for label in labels]
    unknown = sorted(set(keys) - encoding.numbers.keys())
    if unknown:
        raise DataError(
            f"{where} has labels that are no class: {_shown(list(map(repr, unknown)))}; the "
            f"classes are {_shown(_class_words(encoding))}."
        )
    return [encoding.numbers[key] for key in keys]


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


def _is_missing(value: Any) -> bool:
    return (
        value is None
        or (isinstance(value, str) and not value.strip())
        or (isinstance(value, float) and math.isnan(value))
    )
