"""The user's data: files, the Hub or the generated task, as two splits of texts and labels.

`task_data.py` puts together what `tables.py` reads, `columns.py` chooses, `labels.py` understands
and `rows.py` keeps; `agreement/` generates the embedded task. No model is seen here.
"""

from gelora.data.task_data import LABEL_COLUMNS, TaskData, load_task_data, texts_of, tokenize

__all__ = ["LABEL_COLUMNS", "TaskData", "load_task_data", "texts_of", "tokenize"]
