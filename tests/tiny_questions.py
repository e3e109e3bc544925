"""Questions that a tiny model can learn to answer, and tokenizers that answering must cope with.

The answer is the one marked word of a context; where there is none, there is no answer.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from gelora.tasks import TaskData
from gelora.tasks.question_answering.settings import QuestionAnsweringSettings
from tiny_models import MAX_TOKENS, WORDS, tiny_tokenizer
from tiny_tasks import MARKED, OTHERS

QUESTION = f"{WORDS[6]} {WORDS[7]}"


def questions(
    contexts: Sequence[str],
    answers: Sequence[Sequence[tuple[str, int]]],
    *,
    question: str = QUESTION,
) -> Dataset:
    """Put contexts and answers (each a text and its start) together as a split of `TaskData`."""
    return Dataset.from_dict(
        {
            "id": [f"q{i}" for i in range(len(contexts))],
            "text": [question] * len(contexts),
            "text_pair": list(contexts),
            "answers": [
                {"text": [text for text, _ in each], "answer_start": [start for _, start in each]}
                for each in answers
            ],
        }
    )


def tiny_questions(
    *,
    num_train: int = 64,
    num_validation: int = 40,
    version_2: bool = False,
    max_words: int = 16,
    **settings: Any,
) -> TaskData:
    """Hide a marked word among 8 or more others, in 2.0 in two of three contexts."""
    generator = np.random.default_rng(1)
    contexts, answers = [], []
    for i, length in enumerate(generator.integers(8, max_words + 1, num_train + num_validation)):
        words = generator.choice(OTHERS, length)
        place = int(generator.integers(length))
        has_answer = not version_2 or i % 3 > 0
        if has_answer:
            words[place] = generator.choice(MARKED)
        contexts.append(" ".join(words))
        start = sum(len(word) + 1 for word in words[:place])
        answers.append([(str(words[place]), start)] if has_answer else [])
    rows = questions(contexts, answers)
    return TaskData(
        name="tiny",
        train=rows.select(range(num_train)),
        validation=rows.select(range(num_train, len(rows))),
        problem="question_answering",
        num_labels=0,
        label_names=None,
        metrics=("f1", "exact_match"),
        headline_metric="f1",
        provenance={},
        question_answering=QuestionAnsweringSettings(
            version_2_with_negative=version_2, **{"doc_stride": 4, **settings}
        ),
    )


def tokenizer_with(template: str | None) -> PreTrainedTokenizerFast:
    """Return the tokenizer of words with another template for pairs; None for no special tokens."""
    tokenizer = tiny_tokenizer()
    if template is None:
        plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        plain.post_processor = TemplateProcessing(single="$A", pair="$A $B:1", special_tokens=[])
        return PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="[PAD]")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A [SEP]", pair=template, special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return tokenizer


def letter_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of pairs of letters, whose tokens take the space before them along."""
    letters = "▁abcdefghijklmnopqrstuvwxyz0123456789.,"
    pieces = [*letters, *(a + b for a in letters for b in letters)]
    tokens = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *pieces, *(f"##{piece}" for piece in pieces)]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Metaspace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        model_max_length=MAX_TOKENS,
    )
