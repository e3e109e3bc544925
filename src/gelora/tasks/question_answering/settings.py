"""How contexts are split into windows and how an answer is chosen; names as in run_qa.py."""

from dataclasses import dataclass

from gelora.settings import Count, Natural, Settings


@dataclass(frozen=True)
class QuestionAnsweringSettings(Settings):
    """Extractive question answering; names as in the run_qa.py of transformers."""

    version_2_with_negative: bool | None = None
    """Questions may have no answer; None is what the task says, else what the training rows do."""
    doc_stride: Natural = 128
    """Tokens that two windows of one context share."""
    n_best_size: Count = 20
    """Candidates for the start, for the end, and for the answer."""
    max_answer_length: Count = 30
    """Tokens of an answer at most."""
    null_score_diff_threshold: float = 0.0
    """No answer is given where its score exceeds the best answer's by more than this."""
