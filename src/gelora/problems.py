"""The problems that a model can be tuned for, by name."""

from collections.abc import Mapping
from typing import Literal

Problem = Literal["classification", "regression", "question_answering", "instruction_tuning"]

SAMPLE_WORDS: Mapping[str, str] = {
    "classification": "texts",
    "regression": "texts",
    "question_answering": "questions",
    "instruction_tuning": "examples",
}
"""What the rows of each problem are called in messages that count them."""
