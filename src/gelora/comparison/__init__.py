"""Methods on tasks at equal budgets, over seeds: a line for each run, then what they say together.

`settings.py` says what is to be run, `cell.py` does one run in a process of its own (`engines.py`,
`ray_engine.py`), `grid.py` all of them, and `results.py` keeps and reads what came of it.
"""

from gelora.comparison.grid import compare
from gelora.comparison.settings import TaskSettings

__all__ = ["TaskSettings", "compare"]
