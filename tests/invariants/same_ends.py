"""What the invariants of every problem's training share: the same ends, reached in another way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors.torch import load_file

HERE = Path(__file__).parent


def weights(output_dir):
    return load_file(output_dir / "adapter" / "adapter_model.safetensors")


def assert_same_weights(left, right):
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


def config_by_hand(plan, prefix, **arguments):
    """Write the `LoraConfig` of a plan of scale 2 as a user would, without gelora."""
    modules = {f"{prefix}.{name}": rank for name, rank in plan.modules.items()}
    largest = max(plan.ranks)
    return LoraConfig(
        r=largest,
        lora_alpha=2 * largest,
        target_modules=list(modules),
        rank_pattern=modules,
        alpha_pattern={name: 2 * rank for name, rank in modules.items()},
        **arguments,
    )


def assert_resumes_to_the_same_end(killed, moment, left_alone, tmp_path):
    """Kill a training of the script `killed` at a moment, resume it, and compare it with another.

    Args:
        killed: The script as a module, with `run`.
        moment: "training", or "writing" a checkpoint.
        left_alone: Folder and result of the same training that nobody killed.
        tmp_path: Of the one to kill.
    """
    paths = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    process = subprocess.run(
        [sys.executable, killed.__file__, tmp_path, moment],
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-4", "checkpoint-8"}
    whole = (tmp_path / "checkpoint-8" / "trainer_state.json").exists()
    assert whole == (moment == "training")
    resumed = killed.run(tmp_path, resume_from_checkpoint=True)
    output_dir, result = left_alone
    assert_same_weights(weights(output_dir), weights(tmp_path))
    assert resumed.history == result.history
