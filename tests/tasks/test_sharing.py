"""Work is shared by processes as if one had done it, in order."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch.distributed as dist

from gelora.tasks.sharing import shared_map
from measure_together import launch

ITEMS = ["a", "bb", "ccc", "dddd", "eeeee"]


def test_one_process_maps():
    assert shared_map(len, iter(ITEMS)) == [1, 2, 3, 4, 5]
    assert shared_map(len, []) == []


@pytest.mark.slow
def test_two_processes_share_and_both_know_all(tmp_path):
    command = [sys.executable, __file__, str(tmp_path / "meeting")]
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environments = [{"PYTHONPATH": paths}] * 2
    ended = launch([[*command, str(rank)] for rank in range(2)], environments)
    assert [process.returncode for process in ended] == [0, 0], ended[0].stderr
    said = [json.loads(process.stdout) for process in ended]
    for one in said:
        assert one["found"] == [1, 2, 3, 4, 5]
        assert one["none"] == []
        assert one["alone"] == [1]  # fewer items than processes
    assert [one["worked"] for one in said] == [["a", "ccc", "eeeee", "a"], ["bb", "dddd"]]


def main(meeting: Path, rank: int) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    worked: list[str] = []

    def length(item: str) -> int:
        worked.append(item)
        return len(item)

    found = {
        "found": shared_map(length, ITEMS),
        "none": shared_map(length, []),
        "alone": shared_map(length, ["a"]),
    }
    dist.destroy_process_group()
    sys.stdout.write(json.dumps({**found, "worked": worked}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
