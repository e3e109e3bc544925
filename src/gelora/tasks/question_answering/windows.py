"""Split contexts that are too long for a model into windows, and locate the answers in them.

A window holds the question, and as much of the context as there is room for. Neighbouring windows
share `doc_stride` tokens, so that an answer cut by the first is whole in the second.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets
from jaxtyping import Int
from transformers import PreTrainedTokenizerBase

from gelora.errors import ConfigError, SkippedRowsWarning
from gelora.hidden_states.batches import in_chunks
from gelora.tasks.question_answering.questions import answer_span
from gelora.tasks.question_answering.settings import QuestionAnsweringSettings

Spans = Int[np.ndarray, "_ 2"]
"""First and last character of each token in the context; -1 for tokens outside the context."""

POSITIONS = ("start_positions", "end_positions")
"""Columns with the first and the last token of an answer."""

_ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Windows:
    """The windows of all contexts of a split, in the order of its questions.

    Attributes:
        features: The tokenizer's columns, not padded, and `start_positions` and `end_positions`:
            the first and last token of the answer, or both the null position in a window that does
            not hold the whole of it.
        questions: The row of each window's question in the split.
        spans: Spans of each window's tokens.
        nulls: Each window's null position, which stands for no answer: the CLS token wherever the
            tokenizer puts it, and the first token for one that has none.
    """

    features: Dataset
    questions: Int[np.ndarray, " windows"]
    spans: list[Spans]
    nulls: Int[np.ndarray, " windows"]


def split_contexts(
    split: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    settings: QuestionAnsweringSettings,
    *,
    max_length: int | None,
) -> Windows:
    """Tokenise questions with their contexts, as often as a context takes.

    Args:
        split: Split of questions, as in `TaskData`.
        tokenizer: The model's own, a fast one, which tells where its tokens come from.
        settings: Settings, of which `doc_stride` is used.
        max_length: Tokens of a window at most, special ones and the question's too; None for one
            window per question.

    Raises:
        ConfigError: The tokenizer is a slow one, or no question leaves room for a window.

    Warns:
        SkippedRowsWarning: Some questions are so long that they have no window.
    """
    if not tokenizer.is_fast:
        raise ConfigError(
            f"{type(tokenizer).__name__} does not tell where in the text its tokens come from, "
            "which answers are found by: question answering needs a fast tokenizer."
        )
    fitting = _fitting(split, tokenizer, settings.doc_stride, max_length)
    parts = [
        _split(split.select(rows), rows, tokenizer, settings.doc_stride, max_length)
        for rows in in_chunks(fitting, _ROWS_AT_ONCE)
    ]
    return Windows(
        features=concatenate_datasets([part.features for part in parts]),
        questions=np.concatenate([part.questions for part in parts]),
        spans=[spans for part in parts for spans in part.spans],
        nulls=np.concatenate([part.nulls for part in parts]),
    )


def answer_tokens(spans: Spans, null: int, answer: tuple[int, int] | None) -> tuple[int, int]:
    """Return the first and last token that share a character with the answer.

    Args:
        spans: Spans of the window's tokens.
        null: Position returned twice if there is no answer, or the window does not hold all of it.
        answer: First character of the answer in the context, and the character after its last.

    >>> spans = np.array([[-1, -1], [0, 3], [4, 7], [8, 11], [-1, -1]])
    >>> answer_tokens(spans, 0, (4, 11)), answer_tokens(spans, 0, (8, 15))
    ((2, 3), (0, 0))
    """
    context = np.flatnonzero(spans[:, 1] >= 0)
    if answer is None or not len(context):
        return null, null
    starts, ends = spans[context].T
    begin, end = answer
    if begin < starts[0] or end > ends[-1]:
        return null, null
    first = int(np.searchsorted(ends, begin, side="right"))
    last = int(np.searchsorted(starts, end, side="left")) - 1
    if first > last:  # what the tokenizer dropped, as it does with some control characters
        return null, null
    return int(context[first]), int(context[last])


def warn_of_cut_answers(split: Dataset, windows: Windows) -> None:
    """Warn of answers that no window holds whole.

    Warns:
        SkippedRowsWarning: There are some; the message counts them.
    """
    starts = np.array(windows.features["start_positions"])
    held = set(windows.questions[starts != windows.nulls].tolist())
    spans, read = _answer_spans(split), set(windows.questions.tolist())
    answered = [row for row in read if spans[row] is not None]
    cut = len(answered) - len(held)
    if cut:
        warnings.warn(
            f"{cut} of {len(answered)} answers are whole in no window, so their questions are "
            "trained on as if they had none: raise --doc_stride or --max_length.",
            SkippedRowsWarning,
            stacklevel=3,
        )


def _fitting(
    split: Dataset, tokenizer: PreTrainedTokenizerBase, doc_stride: int, max_length: int | None
) -> list[int]:
    """Return the rows whose question leaves room for a window that moves on."""
    every = list(range(len(split)))
    if max_length is None:
        return every
    room = max_length - tokenizer.num_special_tokens_to_add(pair=True)
    if room <= doc_stride:
        raise ConfigError(
            f"Windows of {room} tokens beside the special ones cannot share {doc_stride}: lower "
            f"--doc_stride, or raise --max_length from {max_length} if the model allows."
        )
    lengths = _lengths(split["text"], tokenizer)
    fitting = [row for row in every if room - lengths[row] > doc_stride]
    long = sorted(set(every) - set(fitting))
    if long:  # where the context is short, the whole of it may fit beside a long question
        contexts = _lengths([split["text_pair"][row] for row in long], tokenizer)
        short = [
            row for row, length in zip(long, contexts, strict=True) if lengths[row] + length <= room
        ]
        fitting, long = sorted(fitting + short), sorted(set(long) - set(short))
    problem = (
        f"{len(long)} of {len(every)} questions are too long: with up to {max(lengths)} tokens "
        f"they leave no room in {max_length} for windows of the context that share {doc_stride}"
    )
    remedy = "raise --max_length or lower --doc_stride"
    if not fitting:
        raise ConfigError(f"{problem}: {remedy}.")
    if long:
        warnings.warn(
            f"{problem}. They are not trained on, and answered by the empty text: {remedy}.",
            SkippedRowsWarning,
            stacklevel=4,
        )
    return fitting


def _lengths(texts: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    encoded = tokenizer(list(texts), add_special_tokens=False, verbose=False)
    return [len(ids) for ids in encoded["input_ids"]]


def _split(
    part: Dataset,
    rows: Sequence[int],
    tokenizer: PreTrainedTokenizerBase,
    doc_stride: int,
    max_length: int | None,
) -> Windows:
    """Return the windows of a part of a split; `rows` are its rows in the whole split."""
    cut: dict[str, Any] = {}
    if max_length is not None:
        cut = {"truncation": "only_second", "max_length": max_length, "stride": doc_stride}
    encoded = tokenizer(
        list(part["text"]),
        list(part["text_pair"]),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_attention_mask=True,  # whatever the tokenizer does by itself
        **cut,
    )
    of_window: list[int] = encoded.pop("overflow_to_sample_mapping")
    spans: list[Spans] = []
    for window, offsets in enumerate(encoded.pop("offset_mapping")):
        is_context = np.array([side == 1 for side in encoded.sequence_ids(window)])
        spans.append(np.where(is_context[:, None], np.array(offsets, dtype=np.int32), -1))
    nulls = [_null_position(ids, tokenizer.cls_token_id) for ids in encoded["input_ids"]]
    answers = _answer_spans(part)
    positions = np.array(
        [
            answer_tokens(window_spans, null, answers[question])
            for window_spans, null, question in zip(spans, nulls, of_window, strict=True)
        ]
    )
    labels = dict(zip(POSITIONS, positions.T, strict=True))
    return Windows(
        features=Dataset.from_dict({**encoded, **labels}),
        questions=np.array(rows)[of_window],
        spans=spans,
        nulls=np.array(nulls),
    )


def _null_position(ids: list[int], cls_token: object) -> int:
    return ids.index(cls_token) if isinstance(cls_token, int) and cls_token in ids else 0


def _answer_spans(split: Dataset) -> list[tuple[int, int] | None]:
    return [answer_span(*pair) for pair in zip(split["text_pair"], split["answers"], strict=True)]
