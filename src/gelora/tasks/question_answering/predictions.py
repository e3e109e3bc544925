"""Files of answers, as the official evaluators of SQuAD take them: JSON objects by question id."""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gelora.artifacts import write_text
from gelora.errors import DataError, SkippedRowsWarning
from gelora.tasks.question_answering.answers import Answer


def read_predictions(path: str | Path, ids: Sequence[str]) -> list[str | None]:
    """Return the answer to every question, the empty text for none, None where nothing is said.

    Args:
        path: A text for each question id; those of other questions are left out.
        ids: Of the questions, in their order.

    Raises:
        DataError: The file cannot be read, holds anything but texts by id, or says nothing of any
            of the questions.

    Warns:
        SkippedRowsWarning: It says nothing of some.
    """
    path = Path(path)
    found = _read(path, str, "a text for each question id")
    missing = _missing(found, ids, path)
    if missing:
        warnings.warn(
            f"{path.name} has no answer to {len(missing)} of {len(ids)} questions, the first "
            f"{missing[0]!r}: as in the official evaluators, these are wrong in SQuAD 1.1 and left "
            "out in 2.0.",
            SkippedRowsWarning,
            stacklevel=2,
        )
    return [found.get(question) for question in ids]


def read_null_odds(path: str | Path, ids: Sequence[str]) -> list[float]:
    """Return how sure it is that each question has no answer, on whatever scale the file has.

    Args:
        path: A number for each question id; those of other questions are left out.
        ids: Of the questions, in their order.

    Raises:
        DataError: The file cannot be read, or has no number, or none that is finite, for one of
            the questions.
    """
    path = Path(path)
    found = _read(path, (int, float), "a number for each question id")
    missing = _missing(found, ids, path)
    if missing:
        raise DataError(
            f"{path.name} has no number for {len(missing)} of {len(ids)} questions, the first "
            f"{missing[0]!r}: the best threshold needs all."
        )
    boundless = [question for question in ids if not math.isfinite(found[question])]
    if boundless:
        raise DataError(
            f"{path.name} has {found[boundless[0]]} for {boundless[0]!r}, one of {len(boundless)} "
            "numbers that are not finite: no threshold can be found among these."
        )
    return [float(found[question]) for question in ids]


def null_odds_path(path: Path) -> Path:
    """Return where the null odds of a file of answers are written.

    >>> null_odds_path(Path("answers.json")).name
    'answers_null_odds.json'
    """
    return path.with_name(f"{path.stem}_null_odds.json")


def write_predictions(path: Path, ids: Sequence[str], answers: Sequence[Answer]) -> Path:
    """Write a file of answers, and beside it one of null odds, whose path is returned."""
    odds_path = null_odds_path(path)
    texts, odds = [answer.text for answer in answers], [answer.null_odds for answer in answers]
    for file, values in ((path, texts), (odds_path, odds)):
        by_id = dict(zip(ids, values, strict=True))
        write_text(file, json.dumps(by_id, ensure_ascii=False, indent=1) + "\n")
    return odds_path


def _missing(found: Mapping[str, Any], ids: Sequence[str], path: Path) -> list[str]:
    missing = [question for question in ids if question not in found]
    if len(missing) == len(ids):
        raise DataError(
            f"{path.name} has no id of the {len(ids)} questions, the first of which is {ids[0]!r}: "
            "it belongs to other data."
        )
    return missing


def _read(path: Path, kind: type | tuple[type, ...], wanted: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # no JSON, or not UTF-8
        raise DataError(f"{path.name} is no JSON: {error}.") from error
    if not isinstance(found, dict):
        raise DataError(f"{path.name} holds a {type(found).__name__}, not {wanted}.")
    for question, value in found.items():
        if not isinstance(value, kind) or isinstance(value, bool):
            raise DataError(f"{path.name} has {value!r:.50} for {question!r}, not {wanted}.")
    return found
