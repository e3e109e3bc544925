"""Choose an answer to each question from the scores of tokens, and read and write files of answers.

A span's score is the start score of its first token plus the end score of its last; the spans of
all windows of a context compete (Devlin et al., BERT, arXiv 1810.04805, 4.2 and 4.3). The files
are those that SQuAD's official evaluators take: JSON objects by question id.
"""

import json
import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gelora.artifacts import write_text
from gelora.errors import DataError, SkippedRowsWarning
from gelora.tasks.question_answering.settings import QuestionAnsweringSettings
from gelora.tasks.question_answering.windows import Spans, Windows

TokenScores = Sequence[Float[np.ndarray, " _"]] | Float[np.ndarray, "windows tokens"]
"""A score for each token of each window; what comes after a window's last token is not read."""


@dataclass(frozen=True)
class Answer:
    """A model's answer to one question.

    Attributes:
        text: The answer; empty for no answer.
        spans: The best spans of the context with their scores, the best first.
        null_odds: How much the score of no answer exceeds that of the best span; the largest
            number there is where there is no span.
    """

    text: str
    spans: tuple[tuple[str, float], ...]
    null_odds: float

    @property
    def best_span(self) -> str:
        """The best span, whether or not it is the answer given; empty where there is none."""
        return self.spans[0][0] if self.spans else ""


def choose_answers(
    windows: Windows,
    contexts: Sequence[str],
    starts: TokenScores,
    ends: TokenScores,
    *,
    settings: QuestionAnsweringSettings,
) -> list[Answer]:
    """Return an answer to every question.

    Where questions may have no answer, the score of no answer is the smallest over a question's
    windows, because most windows of an answered question do not hold the answer.

    Args:
        windows: Of the contexts.
        contexts: A context for each question.
        starts: How likely each token of each window is the first of the answer.
        ends: How likely it is the last.
        settings: Settings, of which all but `doc_stride` are used.

    Raises:
        DataError: A score is NaN or infinite.
    """
    candidates: list[list[tuple[float, int, int]]] = [[] for _ in contexts]
    nulls = [np.inf] * len(contexts)
    for window, (question, spans, null) in enumerate(
        zip(windows.questions.tolist(), windows.spans, windows.nulls.tolist(), strict=True)
    ):
        start, end = (_scores(side[window], len(spans)) for side in (starts, ends))
        candidates[question] += _candidates(spans, start, end, settings)
        nulls[question] = min(nulls[question], float(start[null] + end[null]))
    return [
        _answer(*question, settings) for question in zip(contexts, candidates, nulls, strict=True)
    ]


def _scores(scores: Float[np.ndarray, " _"], length: int) -> Float[np.ndarray, " tokens"]:
    scores = np.asarray(scores[:length], dtype=np.float64)
    if not np.isfinite(scores).all():
        raise DataError(
            f"{int(np.sum(~np.isfinite(scores)))} of {length} scores of a window are NaN or "
            "infinite: training diverged or half precision overflowed; lower the learning rate or "
            "use float32."
        )
    return scores


def _candidates(
    spans: Spans,
    start: Float[np.ndarray, " tokens"],
    end: Float[np.ndarray, " tokens"],
    settings: QuestionAnsweringSettings,
) -> list[tuple[float, int, int]]:
    """Return the best spans of a window: score, and first and last character."""
    context = np.flatnonzero(spans[:, 1] >= 0)
    size = settings.n_best_size
    first = context[np.argsort(-start[context], kind="stable")[:size], None]
    last = context[np.argsort(-end[context], kind="stable")[:size]]
    is_span = (first <= last) & (last - first < settings.max_answer_length)
    rows, columns = np.nonzero(is_span)
    first, last = first[rows, 0], last[columns]
    scores = start[first] + end[last]
    best = np.argsort(-scores, kind="stable")[:size]
    first, last = first[best], last[best]
    return list(
        zip(scores[best].tolist(), spans[first, 0].tolist(), spans[last, 1].tolist(), strict=True)
    )


def _answer(
    context: str,
    candidates: list[tuple[float, int, int]],
    null: float,
    settings: QuestionAnsweringSettings,
) -> Answer:
    candidates.sort(key=lambda candidate: -candidate[0])
    texts = ((context[begin:end].strip(), score) for score, begin, end in candidates)
    spans = tuple((text, score) for text, score in texts if text)[: settings.n_best_size]
    null_odds = null - spans[0][1] if spans else sys.float_info.max
    is_null = settings.version_2_with_negative and null_odds > settings.null_score_diff_threshold
    return Answer("" if is_null or not spans else spans[0][0], spans, null_odds)


def read_predictions(path: str | Path, ids: Sequence[str]) -> list[str | None]:
    """Return the answer to every question; empty for no answer, None without an entry.

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
    answers = _read_values(path, str, "a text for each question id")
    missing = _missing(answers, ids, path)
    if missing:
        warnings.warn(
            f"{path.name} has no answer to {len(missing)} of {len(ids)} questions, the first "
            f"{missing[0]!r}: as in the official evaluators, these are wrong in SQuAD 1.1 and left "
            "out in 2.0.",
            SkippedRowsWarning,
            stacklevel=2,
        )
    return [answers.get(question) for question in ids]


def read_null_odds(path: str | Path, ids: Sequence[str]) -> list[float]:
    """Return the odds that each question has no answer, on the scale of the file.

    Args:
        path: A number for each question id; those of other questions are left out.
        ids: Of the questions, in their order.

    Raises:
        DataError: The file cannot be read, or has no number, or none that is finite, for one of
            the questions.
    """
    path = Path(path)
    odds = _read_values(path, (int, float), "a number for each question id")
    missing = _missing(odds, ids, path)
    if missing:
        raise DataError(
            f"{path.name} has no number for {len(missing)} of {len(ids)} questions, the first "
            f"{missing[0]!r}: the best threshold needs all."
        )
    boundless = [question for question in ids if not math.isfinite(odds[question])]
    if boundless:
        raise DataError(
            f"{path.name} has {odds[boundless[0]]} for {boundless[0]!r}, one of {len(boundless)} "
            "numbers that are not finite: no threshold can be found among these."
        )
    return [float(odds[question]) for question in ids]


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


def _missing(values: Mapping[str, Any], ids: Sequence[str], path: Path) -> list[str]:
    missing = [question for question in ids if question not in values]
    if len(missing) == len(ids):
        raise DataError(
            f"{path.name} has no id of the {len(ids)} questions, the first of which is {ids[0]!r}: "
            "it belongs to other data."
        )
    return missing


def _read_values(path: Path, kind: type | tuple[type, ...], expected: str) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # no JSON, or not UTF-8
        raise DataError(f"{path.name} is no JSON: {error}.") from error
    if not isinstance(values, dict):
        raise DataError(f"{path.name} holds a {type(values).__name__}, not {expected}.")
    for question, value in values.items():
        if not isinstance(value, kind) or isinstance(value, bool):
            raise DataError(f"{path.name} has {value!r:.50} for {question!r}, not {expected}.")
    return values
