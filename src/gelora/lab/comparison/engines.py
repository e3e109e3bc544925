"""Call a function for every item, each in a process of its own, on this machine or on Ray's.

An item that raises an error, or whose process is killed, does not stop the others. Ray is an extra.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

import datasets
import torch
import transformers

from gelora.errors import GeloraError, MissingExtraError

Item = TypeVar("Item")
Result = TypeVar("Result")

PRELOADED = ("gelora.lab.comparison.runs", "gelora.lab.comparison.selection")
"""Modules that every process needs; they are imported once, before the processes fork."""

MAX_RETRIES = 3
"""Retries by Ray of an item whose process died; an error that it raised is not tried again."""


@dataclass(frozen=True)
class Failed:
    """An item that came to nothing.

    Attributes:
        error: The kind of the error, and its message.
        traceback: Where it was raised; empty for an error of gelora's, which says what to do.
    """

    error: str
    traceback: str = ""


def run_locally(
    function: Callable[[Item], Result], items: Iterable[Item], *, processes: int
) -> Iterator[tuple[Item, Result | Failed]]:
    """Yield every item with the function's result, or with what went wrong, as they come.

    Each call has a process of its own, which ends with this one. The processor's cores are dealt
    out evenly, and so are the CUDA devices, if there are any.

    Args:
        function: Importable by its module and name.
        items: Picklable.
        processes: How many at a time.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    waiting, free = deque(items), list(reversed(range(processes)))
    threads = max(1, torch.get_num_threads() // processes)
    running: dict[Connection, tuple[Any, Item, int]] = {}
    try:
        while waiting or running:
            while waiting and free:
                item, slot = waiting.popleft(), free.pop()
                mine, theirs = context.Pipe()
                process = context.Process(
                    target=_child, args=(function, item, theirs, threads, slot), daemon=True
                )
                process.start()
                theirs.close()  # so that the end of the process ends the pipe
                running[mine] = process, item, slot
            for connection in wait(list(running)):
                assert isinstance(connection, Connection)
                process, item, slot = running.pop(connection)
                outcome = _received(connection, process)
                free.append(slot)
                yield item, outcome
    finally:
        for process, _, _ in running.values():
            process.kill()
            process.join()


def run_on_ray(
    function: Callable[[Item], Result], items: Iterable[Item], *, processes: int
) -> Iterator[tuple[Item, Result | Failed]]:
    """Do the same as `run_locally` on the machines of a Ray cluster.

    The cluster is the one that is connected to, or that RAY_ADDRESS names, or else a local one of
    so many processes. Each machine must find gelora, the model and the data by the same names.
    Where the cluster has GPUs, each call gets one. An item whose process or machine dies is done
    again elsewhere.

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


def attempt(function: Callable[[Item], Result], item: Item, *, threads: int) -> Result | Failed:
    """Return the function's result for an item, or what it raised, without any noise."""
    torch.set_num_threads(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere:
        warnings.simplefilter("ignore")  # the same ones for every run
        try:
            with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
                return function(item)
        except Exception as error:  # whatever it is, it is this item's alone
            is_ours = isinstance(error, GeloraError)
            where = "" if is_ours else traceback.format_exc()
            return Failed(f"{type(error).__name__}: {error}", where)


def _received(connection: Connection, process: Any) -> Any:
    """Return what a process has to say, or how it ended without a word."""
    try:
        outcome = connection.recv()
    except EOFError:
        process.join()
        outcome = Failed(_end_of(process.exitcode))
    process.join()
    connection.close()  # at which the process would end, before it has put things away
    return outcome


_SIGKILL = 9  # which Windows does not name


def _end_of(code: int) -> str:
    ended = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    hint = "; memory may have run out: try fewer --processes" if code == -_SIGKILL else ""
    return f"The process {ended}{hint}."


def _child(
    function: Callable[[Any], Any], item: Any, connection: Connection, threads: int, slot: int
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent kills its own
    os.dup2(2, 1)  # whatever a library prints is no result
    threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
    _see_one_gpu(slot)
    connection.send(attempt(function, item, threads=threads))


def _see_one_gpu(slot: int) -> None:
    """Leave this process one of the GPUs, of which the Trainer would else use all."""
    count = torch.cuda.device_count()
    if count > 1:
        named = os.environ.get("CUDA_VISIBLE_DEVICES")
        devices = named.split(",") if named else list(map(str, range(count)))
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[slot % count]


def _end_with_parent(connection: Connection) -> None:
    """Wait for the other end of the pipe to close, which a killed parent's does."""
    with contextlib.suppress(EOFError, OSError):
        connection.recv()
    os._exit(1)


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
