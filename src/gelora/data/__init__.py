"""The user's data: files, the Hub or the generated task, as splits to learn from and be scored on.

`task_data.py` puts together what `sources.py` and `tables.py` read, and what is made of it for each
problem: `labelled.py` (with `columns.py` and `labels.py`), `questions.py`, `conversations.py`.
`rows.py` samples, `texts.py` tokenises, `agreement/` generates the embedded task. No model is seen
here.
"""

from gelora.data.task_data import LABEL_COLUMNS, TaskData, load_task_data
from gelora.data.texts import texts_of, tokenize

__all__ = ["LABEL_COLUMNS", "TaskData", "load_task_data", "texts_of", "tokenize"]
