"""Several processes that measure together: their shares of the work, and what they exchange.

Only main memory is exchanged, over gloo: the group that training uses may know GPUs alone. Where
there is one process the group is None, and nothing is exchanged.
"""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float
from torch.distributed import ProcessGroup


@contextmanager
def all_processes() -> Iterator[ProcessGroup | None]:
    """Yield a group of all processes of torch.distributed, None for one; all must enter."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        yield None
        return
    group = cast("ProcessGroup", dist.new_group(backend="gloo"))
    try:
        yield group
        wait_for_all(group)  # or one might leave while another still connects
    finally:
        dist.destroy_process_group(group)


def rank_in(group: ProcessGroup | None) -> int:
    """Return the number of this process; 0 is the main one."""
    return 0 if group is None else group.rank()


def shares(items: Sequence[Any], group: ProcessGroup | None) -> list[Sequence[Any]]:
    """Deal items round-robin, and return every process's share.

    >>> shares([1, 2, 3], None)
    [[1, 2, 3]]
    """
    count = 1 if group is None else group.size()
    return [items[rank::count] for rank in range(count)]


def from_main(value: Any, group: ProcessGroup | None) -> Any:
    """Return the main process's value in every process."""
    if group is None:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0, group=group)
    return values[0]


def total(number: int, group: ProcessGroup | None) -> int:
    """Return the sum of every process's number."""
    if group is None:
        return number
    summed = torch.tensor(number)
    dist.all_reduce(summed, group=group)
    return int(summed)


def machines_of(group: ProcessGroup | None) -> list[str]:
    """Return the names of the machines that the processes run on."""
    names: list[Any] = [socket.gethostname()]
    if group is not None:
        names = [None] * group.size()
        dist.all_gather_object(names, socket.gethostname(), group=group)
    return sorted(set(names))


def wait_for_all(group: ProcessGroup | None) -> None:
    """Wait until every process is here."""
    if group is not None:
        dist.barrier(group)


def exchange_rows(
    matrices: Sequence[Float[np.ndarray, "rows _"]],
    rows_of: Sequence[Sequence[int]],
    group: ProcessGroup,
) -> None:
    """Give every process the rows that the others filled, in place.

    Args:
        matrices: The same shapes in every process.
        rows_of: For every process, the rows that it filled.
        group: All processes.
    """
    for owner, rows in enumerate(rows_of):
        for matrix in matrices:
            values = torch.from_numpy(matrix[rows])  # a copy: the rows lie apart
            dist.broadcast(values, src=owner, group=group)
            matrix[rows] = values.numpy()
