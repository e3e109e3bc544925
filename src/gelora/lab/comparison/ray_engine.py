"""The same on the machines of a Ray cluster, or on a local one of its own. Ray is an extra.

A process that dies with its machine, or is killed, is done again elsewhere.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch

from gelora.errors import MissingExtraError
from gelora.lab.comparison.engines import Failed, attempt

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_RETRIES = 3
"""Of an item whose process died; an error that it raised is not tried again."""


def run_on_ray(
    function: Callable[[Item], Result], items: Iterable[Item], *, processes: int
) -> Iterator[tuple[Item, Result | Failed]]:
    """Yield every item with the function's result, or with what went wrong, as they come.

    The cluster is the one that is connected to, or that RAY_ADDRESS names, or else a local one of
    so many processes. On each machine gelora, the model and the data must be found by the same
    names. Where the cluster has GPUs, each call gets one.

    Args:
        function: Importable by its module and name.
        items: Picklable.
        processes: How many at a time.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    ray = _import_ray()
    is_mine, threads = not ray.is_initialized(), 1
    if is_mine and _connect(ray, processes):
        threads = max(1, torch.get_num_threads() // processes)
    has_gpu = ray.cluster_resources().get("GPU", 0) > 0
    call = ray.remote(num_cpus=1, num_gpus=int(has_gpu), max_calls=1, max_retries=MAX_RETRIES)(
        attempt
    )
    try:
        waiting = iter(items)
        running: dict[Any, Item] = {}
        while True:
            for item in waiting:
                running[call.remote(function, item, threads=threads)] = item
                if len(running) >= processes:
                    break
            if not running:
                return
            (done,), _ = ray.wait(list(running), num_returns=1)
            yield running.pop(done), _result(ray, done)
    finally:
        if is_mine:
            ray.shutdown()


def _result(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        problem = " ".join(str(error).split())
        return Failed(f"{type(error).__name__}, also after {MAX_RETRIES} retries: {problem}")


def _connect(ray: Any, processes: int) -> bool:
    """Connect to a cluster; return whether it is a new one of this machine alone."""
    address = os.environ.get("RAY_ADDRESS")
    local = {} if address else {"num_cpus": processes, "include_dashboard": False}
    ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **local)
    return not address


def _import_ray() -> Any:
    try:
        import ray  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "--engine ray needs Ray, which is not installed: pip install 'gelora[ray]'."
        ) from error
    return ray
