"""Score answers as the official evaluators of SQuAD 1.1 and 2.0 do, in percent.

Texts in, numbers out; where the answers come from does not matter. Rajpurkar et al., SQuAD
(arXiv 1606.05250, 6.1) and Know What You Don't Know (arXiv 1806.03822, 5) define the metrics; the
scripts published with the data settle what they leave open.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from gelora.errors import DataError
from gelora.tasks.metrics import Metric

QuestionScores = Float[np.ndarray, " questions"]

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_RESAMPLINGS = 200  # a bootstrap's standard error is then known to 1/sqrt(2·200) = 5 %


def normalize(text: str) -> str:
    """Return a text in lower case, without punctuation, articles and superfluous white space.

    >>> normalize("The  U.S. and an apple")
    'us and apple'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, gold: str) -> float:
    """Return whether two answers are the same once normalised."""
    return float(normalize(answer) == normalize(gold))


def token_f1(answer: str, gold: str, *, version_2: bool) -> float:
    """Return the harmonic mean of precision and recall over the words of two answers.

    Where one has no words left, that is 0 in SQuAD 1.1; in 2.0, where having none is an answer, it
    is 1 if neither has any.

    >>> token_f1("the cat sat", "Cat sat down.", version_2=False)
    0.8
    """
    words, gold_words = normalize(answer).split(), normalize(gold).split()
    if version_2 and not (words and gold_words):
        return float(words == gold_words)
    common = sum((Counter(words) & Counter(gold_words)).values())
    return 2 * common / (len(words) + len(gold_words)) if common else 0.0


def score_questions(
    answers: Sequence[str], golds: Sequence[Sequence[str]], *, version_2: bool
) -> tuple[QuestionScores, QuestionScores]:
    """Return every question's exact match and F1, each the largest over its gold answers.

    In SQuAD 2.0 a question whose gold answers are none, or none once normalised, has the empty one.
    """
    exact, f1 = np.zeros(len(answers)), np.zeros(len(answers))
    for i, (answer, texts) in enumerate(zip(answers, golds, strict=True)):
        gold = [text for text in texts if normalize(text)] or [""] if version_2 else texts
        exact[i] = max(exact_match(answer, text) for text in gold)
        f1[i] = max(token_f1(answer, text, version_2=version_2) for text in gold)
    return exact, f1


def answer_metrics(
    answers: Sequence[str | None],
    golds: Sequence[Sequence[str]],
    *,
    version_2: bool,
    null_odds: Sequence[float] | None = None,
    spans: Sequence[str] | None = None,
) -> dict[str, Metric]:
    """Return F1 and exact match; for SQuAD 2.0 also of its parts, and at the best threshold.

    Args:
        answers: An answer for each question; None where the file has no entry. Such a question
            counts as wrong in 1.1, and is left out in 2.0.
        golds: Each question's gold answers; in 2.0, none for an unanswerable question.
        version_2: Whether questions may have no answer.
        null_odds: In 2.0, how sure it is that each question has no answer, on any scale.
        spans: The best non-empty answer to each question, for the best threshold; None for the
            answers themselves.

    Returns:
        `f1` and `exact_match` of all questions; in 2.0 `HasAns_` and `NoAns_` `f1` and `exact`, of
        the questions with and without an answer; with odds `best_f1` and `best_exact`, reached by
        answering just where the odds are no greater than `best_f1_thresh` and `best_exact_thresh`.
        Their standard errors are over questions drawn anew, and by the bootstrap for what the best
        threshold decides, which has seen the questions that it is scored on.

    Raises:
        DataError: There are fewer than two questions to score.

    >>> answer_metrics(["Paris", "in May"], [["Paris."], ["May", "June"]], version_2=False)["f1"]
    Metric(value=83.33333333333333, standard_error=11.785113019775793, num_samples=2)
    """
    scored = [i for i, answer in enumerate(answers) if answer is not None or not version_2]
    if len(scored) < 2:
        raise DataError(f"Metrics need at least 2 answered questions, got {len(scored)}.")
    gold = [golds[i] for i in scored]
    scored_answers = [answers[i] or "" for i in scored]
    exact, f1 = score_questions(scored_answers, gold, version_2=version_2)
    if not version_2:
        is_answered = np.array([answer is not None for answer in answers])
        exact, f1 = exact * is_answered, f1 * is_answered
    metrics = {"f1": _mean(f1), "exact_match": _mean(exact)}
    if not version_2:
        return metrics
    has_answer = np.array([bool(texts) for texts in gold])
    for part, of_part in (("HasAns", has_answer), ("NoAns", ~has_answer)):
        if of_part.any():
            metrics[f"{part}_f1"] = _mean(f1[of_part])
            metrics[f"{part}_exact"] = _mean(exact[of_part])
    if null_odds is not None:
        odds = np.array([null_odds[i] for i in scored])
        best = scored_answers if spans is None else [spans[i] for i in scored]
        exact, f1 = score_questions(best, gold, version_2=True)
        is_answered = np.array([bool(text) for text in best])
        for name, scores in (("f1", f1), ("exact", exact)):
            gains = np.where(has_answer, scores, -1.0 * is_answered)
            value, threshold = _at_best_threshold(gains, odds, ~has_answer)
            metrics[f"best_{name}"], metrics[f"best_{name}_thresh"] = value, threshold
    return metrics


def _mean(scores: QuestionScores) -> Metric:
    error = 100 * float(scores.std()) / len(scores) ** 0.5
    return Metric(100 * float(scores.mean()), error, len(scores))


def _at_best_threshold(
    gains: QuestionScores, odds: QuestionScores, is_empty: Bool[np.ndarray, " questions"]
) -> tuple[Metric, Metric]:
    """Return the best score over all thresholds, and the threshold, with bootstrap errors.

    Args:
        gains: What answering a question adds to the score of leaving it unanswered.
        odds: Questions are answered in this order, equals in theirs; the best place to stop counts.
        is_empty: Whether a question has no answer, so that leaving it unanswered scores.
    """
    order = np.argsort(odds, kind="stable")
    gains, odds, is_empty = gains[order], odds[order], is_empty[order]

    def best(weights: QuestionScores) -> tuple[float, float]:
        totals = np.cumsum(weights * gains)
        last = int(totals.argmax())
        stays_empty = totals[last] <= 0
        total = weights @ is_empty + (0.0 if stays_empty else totals[last])
        return 100 * float(total / weights.sum()), 0.0 if stays_empty else float(odds[last])

    count = len(gains)
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=_RESAMPLINGS)
    errors = np.std([best(weights.astype(np.float64)) for weights in drawn], axis=0)
    value, threshold = best(np.ones(count))
    return Metric(value, float(errors[0]), count), Metric(threshold, float(errors[1]), count)
