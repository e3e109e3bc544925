"""How contexts are split into windows and how an answer is chosen; names as in run_qa.py."""

import math
from dataclasses import dataclass

from gelora.errors import ConfigError


@dataclass(frozen=True)
class QuestionAnsweringSettings:
    """Settings that training and evaluation of extractive question answering share.

    Attributes:
        version_2_with_negative: Whether questions may have no answer in their context; None, until
            the data are read, for what the task says or else what the training rows show.
        doc_stride: Tokens that two neighbouring windows of one context share.
        n_best_size: Candidates for the start, for the end, and for the answer.
        max_answer_length: Tokens of an answer at most.
        null_score_diff_threshold: The empty answer is given where its score exceeds that of the
            best span by more than this.

    Raises:
        ConfigError: A number is out of its range.
    """

    version_2_with_negative: bool | None = None
    doc_stride: int = 128
    n_best_size: int = 20
    max_answer_length: int = 30
    null_score_diff_threshold: float = 0.0

    def __post_init__(self) -> None:
        for name, least in (("doc_stride", 0), ("n_best_size", 1), ("max_answer_length", 1)):
            value: int = getattr(self, name)
            if value < least:
                raise ConfigError(f"{name} must be at least {least}. Got {value}.")
        if math.isnan(self.null_score_diff_threshold):
            raise ConfigError("null_score_diff_threshold must be a number. Got nan.")
