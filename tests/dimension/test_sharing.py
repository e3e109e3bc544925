"""Several processes find what one finds, to the last byte."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist

from clouds import CLOUDS
from gelora.dimension.duplicates import distinct_samples
from gelora.dimension.neighbors import nearest_neighbors
from gelora.dimension.sharing import NONE, choose, merge

NAMES = ("gaussian", "far clusters", "tight clusters", "lattice", "three points")


def search_all(group: dist.ProcessGroup | None) -> list[np.ndarray]:
    """Search every cloud, each by one of the ways that a process may go."""
    found = []
    for name in NAMES:
        cloud = CLOUDS[name](np.random.default_rng(0))
        found += nearest_neighbors(cloud, tile_size=64, process_group=group)
    layer = torch.from_numpy(CLOUDS["near-copies"](np.random.default_rng(0)))
    samples = distinct_samples(
        [layer, layer[:, :16]], layer_names=["a", "b"], num_neighbors=4, process_group=group
    )
    return [*found, samples.kept, *samples.distances, *samples.neighbors]


def main(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    np.savez(folder / f"{rank}.npz", *search_all(dist.group.WORLD))
    dist.destroy_process_group()


def test_two_processes_find_what_one_finds(tmp_path: Path) -> None:
    # As a script: a module that pytest imported by its path has no name for a new process.
    tests = Path(__file__).parents[1]
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(tests), *([inherited] if inherited else [])])
    environment = os.environ | {"PYTHONPATH": path}
    started = [
        subprocess.Popen([sys.executable, __file__, str(rank), tmp_path], env=environment)
        for rank in range(2)
    ]
    assert [process.wait(120) for process in started] == [0, 0]
    expected = search_all(None)
    for rank in range(2):
        with np.load(tmp_path / f"{rank}.npz") as told:
            assert len(told.files) == len(expected)
            for found, alone in zip(told.values(), expected, strict=True):
                assert found.dtype == alone.dtype
                assert found.tobytes() == alone.tobytes()


def test_the_nearest_are_chosen_the_lower_first_among_equals() -> None:
    rows, columns = np.array([2, 0, 2, 2, 0]), np.array([7, 5, 3, 9, 4])
    measured = np.array([1.0, 2.0, 1.0, 0.5, 1.5])
    distances, indices = choose(rows, columns, measured, num_rows=3, num_neighbors=2)
    assert distances.tolist() == [[1.5, 2.0], [np.inf, np.inf], [0.5, 1.0]]
    assert indices.tolist() == [[4, 5], [NONE, NONE], [9, 3]]


def test_one_process_has_nothing_to_merge() -> None:
    found = np.ones((1, 2)), np.ones((1, 2), dtype=np.int64), np.zeros(1, dtype=bool)
    assert all(before is after for before, after in zip(found, merge(*found, None), strict=True))


def test_two_processes_merge_what_each_found(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = np.array([[1.0, 3.0]]), np.array([[4, 8]]), np.array([False])
    theirs = np.array([[1.0, 2.0]]), np.array([[2, 6]]), np.array([True])

    def gather(told: list, part: tuple, group: object) -> None:
        told[:] = [part, theirs]

    monkeypatch.setattr(dist, "all_gather_object", gather)
    distances, indices, given_up = merge(*ours, SimpleNamespace(size=lambda: 2))
    assert distances.tolist() == [[1.0, 1.0]]
    assert indices.tolist() == [[2, 4]]  # the lower one first among equals
    assert given_up.tolist() == [True]


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
