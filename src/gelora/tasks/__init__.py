"""What a model can be tuned for: a folder for each problem, with its rows, Trainer and evaluation.

Above the folders stands what all problems share: the known tasks, tables of rows, splits, metrics.
The names below are loaded when first used.
"""

from typing import TYPE_CHECKING

from gelora.lazy import loader

if TYPE_CHECKING:
    from gelora.tasks.instruction_tuning.chats import Chats
    from gelora.tasks.loading import load_task_data
    from gelora.tasks.task_data import LABEL_COLUMNS, TaskData, labelled_validation, texts_of

__all__ = [
    "LABEL_COLUMNS",
    "Chats",
    "TaskData",
    "labelled_validation",
    "load_task_data",
    "texts_of",
]

__getattr__ = loader(
    __name__,
    {
        **dict.fromkeys(
            ("LABEL_COLUMNS", "TaskData", "labelled_validation", "texts_of"),
            "gelora.tasks.task_data",
        ),
        "Chats": "gelora.tasks.instruction_tuning.chats",
        "load_task_data": "gelora.tasks.loading",
    },
)
