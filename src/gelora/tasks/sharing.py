"""Work on batches shared by the processes that were launched together.

Each result is computed by one process, from the same batch as one process alone would have, and is
told to all. Where there is one process nothing is exchanged.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

import torch.distributed as dist

from gelora.hidden_states.processes import all_processes, rank_in

Item = TypeVar("Item")
Result = TypeVar("Result")


def shared_map(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return the function's result for every item, in order.

    Under torch.distributed every process calls with the same items, and gets all results.

    Args:
        function: Its result must be picklable, and in main memory.
        items: Dealt round-robin to the processes.

    >>> shared_map(len, ["a", "bcd"])
    [1, 3]
    """
    with all_processes() as group:
        size = 1 if group is None else group.size()
        mine = [function(item) for item in islice(items, rank_in(group), None, size)]
        if group is None:
            return mine
        parts: list[Any] = [None] * size
        dist.all_gather_object(parts, mine, group=group)
    results: list[Any] = [None] * sum(map(len, parts))
    for rank, part in enumerate(parts):
        results[rank::size] = part
    return results
