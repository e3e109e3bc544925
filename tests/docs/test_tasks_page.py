"""The table of docs/tasks.md says what the code's does."""

import re
from pathlib import Path

from gelora.tasks.known import TASKS

PAGE = (Path(__file__).parents[2] / "docs/tasks.md").read_text()


def row(task) -> str:
    labels = f": {', '.join(task.label_names)}" if task.label_names else ""
    metrics = ", ".join(task.metrics) or "none: a judge scores the answers"
    where = {"agreement": "in the package", "mt_bench": "a file"}.get(task.name) or ", ".join(
        filter(None, task.dataset)
    )
    cells = (
        f"`{task.name}`",
        task.problem,
        ", ".join(task.text_columns),
        task.label_column + labels,
        metrics,
        where,
    )
    return f"| {' | '.join(cells)} |"


def test_every_task_stands_in_the_table_as_it_is():
    rows = [line for line in PAGE.splitlines() if re.match(r"\| `\w+` \| \w+ \|", line)]
    assert rows == [row(task) for task in TASKS.values()]
