"""The folder of every problem. A part is loaded when it is needed: TRL is an extra."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from gelora.errors import MissingExtraError
from gelora.problems import Problem

FOLDERS: Mapping[Problem, str] = {
    "classification": "classification",
    "regression": "classification",
    "question_answering": "question_answering",
    "instruction_tuning": "instruction_tuning",
}


def part_of(problem: Problem, part: str) -> Any:
    """Return a module of a problem's folder: its `trainer` or its `evaluation`."""
    return load(f"gelora.tasks.{FOLDERS[problem]}.{part}")


def load(name: str) -> Any:
    """Import a module that may need TRL.

    Raises:
        MissingExtraError: It does, and TRL is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "trl":
            raise
        raise MissingExtraError(
            "Instruction tuning needs TRL, which is not installed: pip install 'gelora[sft]'."
        ) from error
