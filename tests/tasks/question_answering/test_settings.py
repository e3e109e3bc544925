"""Settings out of their range are refused where they are made."""

import re

import pytest

from gelora.errors import ConfigError
from gelora.tasks.question_answering.settings import QuestionAnsweringSettings


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"doc_stride": -1}, "doc_stride must be a whole number, at least 0. Got -1."),
        ({"n_best_size": 0}, "n_best_size must be a whole number, at least 1. Got 0."),
        ({"max_answer_length": 0}, "max_answer_length must be a whole number, at least 1. Got 0."),
        (
            {"null_score_diff_threshold": float("nan")},
            "null_score_diff_threshold must be a number. Got nan.",
        ),
    ],
)
def test_what_cannot_be_is_refused(flags, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        QuestionAnsweringSettings(**flags)


def test_windows_need_not_overlap():
    assert QuestionAnsweringSettings(doc_stride=0).doc_stride == 0
