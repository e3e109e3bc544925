"""How contexts are split into windows and how an answer is chosen; names as in run_qa.py."""

from dataclasses import dataclass


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
    """

    version_2_with_negative: bool | None = None
    doc_stride: int = 128
    n_best_size: int = 20
    max_answer_length: int = 30
    null_score_diff_threshold: float = 0.0
