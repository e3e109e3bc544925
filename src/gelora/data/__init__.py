"""The user's data: files, the Hub or the generated task, as splits to learn from and be scored on.

No model is seen here. The names below are loaded when first used, so that reading a file imports
neither torch nor `datasets`.
"""

from typing import TYPE_CHECKING

from gelora.lazy import loader

if TYPE_CHECKING:
    from gelora.data.task_data import LABEL_COLUMNS, TaskData, load_task_data
    from gelora.data.texts import texts_of, tokenize

__all__ = ["LABEL_COLUMNS", "TaskData", "load_task_data", "texts_of", "tokenize"]

__getattr__ = loader(
    __name__,
    {
        "LABEL_COLUMNS": "gelora.data.task_data",
        "TaskData": "gelora.data.task_data",
        "load_task_data": "gelora.data.task_data",
        "texts_of": "gelora.data.texts",
        "tokenize": "gelora.data.texts",
    },
)
