"""Read questions, contexts and answers, with the Hub's `squad` fields or from SQuAD's own files.

Training rows that cannot be learned from are set aside and counted. Validation rows are kept or
refused.
"""

import logging
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gelora.errors import DataError, SkippedRowsWarning
from gelora.tasks.columns import column, read_texts, rows_with_text
from gelora.tasks.known import Task
from gelora.tasks.question_answering.settings import QuestionAnsweringSettings
from gelora.tasks.tables import Table, Tables
from gelora.tasks.task_data import Rows, Splits

logger = logging.getLogger(__name__)

QUESTION, CONTEXT, ANSWERS = "question", "context", "answers"
_TASK_WITHOUT_ANSWERS = "squad_v2"
_SHOWN = 5  # values named in a message


def question_splits(
    tables: Tables,
    *,
    task: Task | None,
    settings: QuestionAnsweringSettings,
    drop_empty: bool = False,
) -> Splits:
    """Return the questions to train on and those to validate on.

    Args:
        tables: Fields `question`, `context`, `answers` ({"text": [...], "answer_start": [...]})
            and `id`, else the rows are numbered; or the one row of a file of SQuAD's own.
        task: A known task, which says whether questions may have no answer.
        settings: Whether questions may have no answer (`version_2_with_negative`); None for what
            the task says, else whether any of the training rows has none, or any of the validation
            rows where there are no training rows.
        drop_empty: Whether rows with an empty question or context are set aside, not refused.

    Returns:
        Rows with columns `id`, `text` (the question), `text_pair` (the context) and `answers`,
        without blank answers. A model can learn from every training row. The validation rows are
        complete. The settings say whether questions may have no answer.

    Raises:
        DataError: A field is missing, or of another type; a question or a context is empty; two
            validation rows have one id; a validation row has no answer and must have one; no
            training row can be used.

    Warns:
        SkippedRowsWarning: The answer of a training row is not in the context where the row says,
            or a training row has no answer and must have one.
    """
    train, validation = (
        None if table is None else _read(table, drop_empty=drop_empty)
        for table in (tables.train, tables.validation)
    )
    version_2 = settings.version_2_with_negative
    if version_2 is None and task is not None:
        version_2 = task.name == _TASK_WITHOUT_ANSWERS
    if version_2 is None:
        deciding = validation if train is None else train
        version_2 = deciding is not None and _has_unanswerable(deciding)
    if validation is not None:
        _check_validation(validation, version_2=version_2)
    return Splits(
        None if train is None else _learnable(train, version_2=version_2),
        validation,
        "question_answering",
        "answers to find",
        question_answering=replace(settings, version_2_with_negative=version_2),
    )


def answer_span(context: str, answers: Mapping[str, Sequence[Any]]) -> tuple[int, int] | None:
    """Return the span of the first answer that the context holds where the row says.

    >>> answer_span("the cat sat", {"text": ["dog", "cat"], "answer_start": [0, 4]})
    (4, 7)
    """
    for text, start in zip(answers["text"], answers["answer_start"], strict=True):
        if start >= 0 and context[start : start + len(text)] == text:
            return start, start + len(text)
    return None


def _read(table: Table, *, drop_empty: bool) -> Rows:
    table = _flattened(table)
    every = range(len(column(table, QUESTION)))
    rows = rows_with_text(table, (QUESTION, CONTEXT), rows=every) if drop_empty else list(every)
    names = table.columns.get("id", [row + 1 for row in every])
    answers = _read_answers(table)
    return Rows(
        columns={
            "id": [str(names[row]) for row in rows],
            "text": read_texts(table, QUESTION, rows=rows),
            "text_pair": read_texts(table, CONTEXT, rows=rows),
            ANSWERS: [answers[row] for row in rows],
        },
        label_where=f"Column {ANSWERS!r} of {table.source}",
        provenance={**table.provenance, "skipped": len(every) - len(rows)},
    )


def _has_unanswerable(rows: Rows) -> bool:
    """Say whether any question has no answer, and tell the user, for it changes the task."""
    answers = rows.columns[ANSWERS]
    empty = sum(not values["text"] for values in answers)
    if empty:
        logger.warning(
            "%s has no answer for %d of %d questions, so questions may have none here, as in SQuAD "
            "2.0: --version_2_with_negative false if each has one.",
            rows.label_where,
            empty,
            len(answers),
        )
    return empty > 0


def _flattened(table: Table) -> Table:
    """Return a row for each question of a file in SQuAD's own format, articles of paragraphs."""
    if "data" not in table.columns or QUESTION in table.columns:
        return table
    try:
        rows = [
            {
                "id": question["id"],
                QUESTION: question[QUESTION],
                CONTEXT: paragraph[CONTEXT],
                ANSWERS: {
                    name: [answer[name] for answer in question[ANSWERS]]
                    for name in ("text", "answer_start")
                },
            }
            for articles in table.columns["data"]
            for article in articles
            for paragraph in article["paragraphs"]
            for question in paragraph["qas"]
        ]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{table.source} has a field 'data' and is not in SQuAD's format, articles of "
            f"paragraphs of questions: {error!r}."
        ) from error
    names = ("id", QUESTION, CONTEXT, ANSWERS)
    return replace(table, columns={name: [row[name] for row in rows] for name in names})


def _read_answers(table: Table) -> list[dict[str, list[Any]]]:
    answers: list[dict[str, list[Any]]] = []
    for row, value in enumerate(column(table, ANSWERS), start=1):
        if not _is_answers(value):
            raise DataError(
                f"Row {row} of {table.source} has {ANSWERS} {value!r:.60}, not "
                '{"text": [...], "answer_start": [...]} with a start for each text.'
            )
        kept = [i for i, text in enumerate(value["text"]) if text.strip()]
        answers.append({name: [value[name][i] for i in kept] for name in ("text", "answer_start")})
    return answers


def _is_answers(value: Any) -> bool:
    match value:
        case {"text": list() | tuple() as texts, "answer_start": list() | tuple() as starts}:
            return (
                len(texts) == len(starts)
                and all(isinstance(text, str) for text in texts)
                and all(isinstance(start, int) for start in starts)
            )
        case _:
            return False


def _check_validation(rows: Rows, *, version_2: bool) -> None:
    ids = rows.columns["id"]
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    if repeated:
        raise DataError(
            f"{len(repeated)} ids stand for more than one question each, the first "
            f"{repeated[0]!r}; {rows.label_where} is scored by id: give every question its own."
        )
    answers = rows.columns[ANSWERS]
    empty = [name for name, values in zip(ids, answers, strict=True) if not values["text"]]
    if empty and not version_2:
        more = ", ..." if len(empty) > _SHOWN else ""
        raise DataError(
            f"{rows.label_where} has no answer for {len(empty)} of {len(ids)} questions (ids "
            f"{', '.join(empty[:_SHOWN])}{more}), and in SQuAD 1.1 each has one: add "
            "--version_2_with_negative true, or --task squad_v2."
        )


def _learnable(rows: Rows, *, version_2: bool) -> Rows:
    answers, contexts = rows.columns[ANSWERS], rows.columns["text_pair"]
    is_empty = np.array([not values["text"] for values in answers])
    is_found = np.array(
        [answer_span(*pair) is not None for pair in zip(contexts, answers, strict=True)]
    )
    usable = is_found | is_empty if version_2 else is_found
    misplaced, empty = int(np.sum(~is_found & ~is_empty)), int(np.sum(is_empty & ~usable))
    flaws: list[str] = []
    if misplaced:
        flaws.append(f"an answer that is not in the context where it says in {misplaced}")
    if empty:
        flaws.append(
            f"no answer, which --version_2_with_negative true or --task squad_v2 allow, in {empty}"
        )
    problem = f"{rows.label_where} has {' and '.join(flaws)} of {len(usable)} rows"
    if not usable.any():
        raise DataError(f"{problem}: nothing is left to train on.")
    if flaws:
        warnings.warn(f"{problem}, which were set aside.", SkippedRowsWarning, stacklevel=4)
    skipped = rows.provenance["skipped"] + len(usable) - int(usable.sum())
    provenance = {**rows.provenance, "skipped": skipped}
    return replace(rows.take(np.flatnonzero(usable)), provenance=provenance)
