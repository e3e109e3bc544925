"""The user's data: files, the Hub or the generated task, as splits to learn from and be scored on.

No model is seen here. The names below are loaded when first used, so that reading a file imports
neither torch nor `datasets`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gelora.data.task_data import LABEL_COLUMNS, TaskData, load_task_data
    from gelora.data.texts import texts_of, tokenize

__all__ = ["LABEL_COLUMNS", "TaskData", "load_task_data", "texts_of", "tokenize"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'gelora.data' has no attribute {name!r}")
    home = "texts" if name in ("texts_of", "tokenize") else "task_data"
    return getattr(import_module(f"gelora.data.{home}"), name)
