"""How contexts are split into windows and how an answer is chosen; names as in run_qa.py."""

import math
from dataclasses import dataclass

from gelora.errors import ConfigError


@dataclass(frozen=True)
class QuestionAnsweringSettings:
    """Extractive question answering; names as in the run_qa.py of transformers."""

    version_2_with_negative: bool | None = None
    """Questions may have no answer; None is what the task says, else what the training rows do."""
    doc_stride: int = 128
    """Tokens that two windows of one context share."""
    n_best_size: int = 20
    """Candidates for the start, for the end, and for the answer."""
    max_answer_length: int = 30
    """Tokens of an answer at most."""
    null_score_diff_threshold: float = 0.0
    """No answer is given where its score exceeds the best answer's by more than this."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: A number is out of its range.
        """
        for name, least in (("doc_stride", 0), ("n_best_size", 1), ("max_answer_length", 1)):
            value: int = getattr(self, name)
            if value < least:
                raise ConfigError(f"{name} must be at least {least}. Got {value}.")
        if math.isnan(self.null_score_diff_threshold):
            raise ConfigError("null_score_diff_threshold must be a number. Got nan.")
