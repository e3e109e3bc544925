"""Choose answers: from the scores of windows' tokens to one text for each question.

A span's score is the start score of its first token plus the end score of its last; the spans of
all windows of a context compete (Devlin et al., BERT, arXiv 1810.04805, 4.2 and 4.3).
Nothing is compared with gold answers here.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from gelora.errors import DataError
from gelora.tasks.question_answering.settings import QuestionAnsweringSettings
from gelora.tasks.question_answering.windows import Spans, Windows

TokenScores = Sequence[Float[np.ndarray, " _"]] | Float[np.ndarray, "windows tokens"]
"""A score for each token of each window; what comes after a window's last token is not read."""


@dataclass(frozen=True)
class Answer:
    """What a model answers to one question.

    Attributes:
        text: The answer given, empty for none.
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

    Where questions may have no answer, a question's score of none is the least over its windows:
    each but one rightly does not hold the answer.

    Args:
        windows: Of the contexts.
        contexts: One for each question.
        starts: How likely each token of each window is the first of the answer.
        ends: How likely it is the last.
        settings: All count but `doc_stride`.

    Raises:
        DataError: A score is NaN or infinite.
    """
    found: list[list[tuple[float, int, int]]] = [[] for _ in contexts]
    nulls = [np.inf] * len(contexts)
    for window, (question, spans, null) in enumerate(
        zip(windows.questions.tolist(), windows.spans, windows.nulls.tolist(), strict=True)
    ):
        start, end = (_scores(given[window], len(spans)) for given in (starts, ends))
        found[question] += _candidates(spans, start, end, settings)
        nulls[question] = min(nulls[question], float(start[null] + end[null]))
    return [_answer(*each, settings) for each in zip(contexts, found, nulls, strict=True)]


def _scores(given: Float[np.ndarray, " _"], length: int) -> Float[np.ndarray, " tokens"]:
    scores = np.asarray(given[:length], dtype=np.float64)
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
    found: list[tuple[float, int, int]],
    null: float,
    settings: QuestionAnsweringSettings,
) -> Answer:
    found.sort(key=lambda candidate: -candidate[0])
    texts = ((context[begin:end].strip(), score) for score, begin, end in found)
    spans = tuple((text, score) for text, score in texts if text)[: settings.n_best_size]
    null_odds = null - spans[0][1] if spans else sys.float_info.max
    is_null = settings.version_2_with_negative and null_odds > settings.null_score_diff_threshold
    return Answer("" if is_null or not spans else spans[0][0], spans, null_odds)
