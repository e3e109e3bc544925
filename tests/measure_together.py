"""One of two processes that measure together over gloo, as a process of its own.

    python measure_together.py FOLDER RANK [--failing]

It prints the hashes of its profiles. FOLDER is where one measurement keeps its hidden states.
With --failing the model of the second process raises.
"""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.distributed as dist

import gelora.hidden_states.growth
from gelora.errors import GeloraWarning
from gelora.hidden_states import measure_dimensions, measure_hidden_states
from tiny_models import tiny_bert, tiny_images, tiny_texts, tiny_tokenizer, tiny_vit

NUM_PROCESSES = 2
SECONDS = 120


def launch(
    commands: Sequence[Sequence[str]], environments: Sequence[Mapping[str, str]] = ({}, {})
) -> list[subprocess.CompletedProcess[str]]:
    """Run commands at the same time, each in its environment, and let none outlive the call."""
    launched = [
        subprocess.Popen(
            command,
            env={**os.environ, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command, more in zip(commands, environments, strict=True)
    ]
    try:
        said = [process.communicate(timeout=SECONDS) for process in launched]
    finally:
        for process in launched:
            process.kill()
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *texts)
        for process, texts in zip(launched, said, strict=True)
    ]


def in_processes(folder: Path, *more: str) -> list[subprocess.CompletedProcess[str]]:
    """Run this module in all processes at once."""
    command = [sys.executable, __file__, str(folder)]
    return launch([[*command, str(rank), *more] for rank in range(NUM_PROCESSES)])


def profiles(folder: Path, *, failing: bool = False) -> dict[str, str]:
    """Measure in every way in which processes share work; return the profiles' hashes."""
    texts, model = tiny_texts(280), tiny_bert()
    if failing:
        model.register_forward_pre_hook(fail)
    arguments = (model, tiny_tokenizer(), [*texts, *texts[:20]])
    found = {
        "at once": measure_dimensions(*arguments, measure_batch_tokens=200),
        "one batch": measure_dimensions(*arguments, measure_batch_tokens=10**6),
        "kept, in parts": measure_dimensions(
            *arguments, precision=1e-9, measure_batch_tokens=200, keep_hidden_states=folder
        ),
        "inputs, in parts": measure_dimensions(
            tiny_vit(), None, tiny_images(280), precision=1e-9, num_samples=270
        ),
        "from kept states": measure_hidden_states(folder, estimator="gride_4"),
    }
    return {name: profile.content_hash() for name, profile in found.items()}


def fail(*_: object) -> None:
    raise RuntimeError("the second process fails")


if __name__ == "__main__":
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    warnings.simplefilter("ignore", GeloraWarning)
    torch.set_num_threads(1)
    gelora.hidden_states.growth.FIRST_SIZE = 100
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder.with_name('meeting')}",
        rank=rank,
        world_size=NUM_PROCESSES,
    )
    hashes = profiles(folder, failing=rank == 1 and "--failing" in sys.argv)
    dist.destroy_process_group()
    sys.stdout.write(json.dumps(hashes))
