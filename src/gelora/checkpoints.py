"""Find the checkpoint of the Trainer's to resume from: the last one that is complete.

It reads folders and no weights; the Trainer writes and loads them.
"""

import json
import logging
from pathlib import Path

from gelora.errors import ArtifactError

logger = logging.getLogger(__name__)

PREFIX = "checkpoint-"
STATE_FILE = "trainer_state.json"
# What resuming needs. The Trainer writes trainer_state.json last: if that is whole, all are.
CHECKPOINT_FILES = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "optimizer.pt",
    "scheduler.pt",
    STATE_FILE,
)


def find_checkpoint(output_dir: Path, resume: bool | str | Path | None) -> Path | None:
    """Return the checkpoint to resume from, or None to start at the beginning.

    A process that is killed while it writes a checkpoint leaves one that is not complete; with
    `resume=True` such are passed over, and the log says so.

    Args:
        output_dir: Where the Trainer keeps its checkpoints.
        resume: A checkpoint's folder; True for the last complete one; False or None for none.

    Raises:
        ArtifactError: The checkpoint named is not complete.
    """
    if resume is None or resume is False:
        return None
    if resume is not True:
        flaw = _flaw(Path(resume))
        if flaw:
            raise ArtifactError(f"{resume} is no checkpoint to resume from: {flaw}.")
        return Path(resume)
    for checkpoint in _checkpoints(output_dir):
        flaw = _flaw(checkpoint)
        if not flaw:
            return checkpoint
        logger.warning("%s is passed over: %s.", checkpoint, flaw)
    logger.warning("%s has no complete checkpoint: training starts anew.", output_dir)
    return None


def last_complete(output_dir: Path) -> Path | None:
    """Return the last checkpoint of a folder that training can resume from, if there is one."""
    checkpoints = _checkpoints(output_dir)
    return next((checkpoint for checkpoint in checkpoints if not _flaw(checkpoint)), None)


def _checkpoints(output_dir: Path) -> list[Path]:
    """List the folders checkpoint-STEP, the latest step first."""
    steps = {
        int(step): path
        for path in output_dir.glob(f"{PREFIX}*")
        if path.is_dir() and (step := path.name.removeprefix(PREFIX)).isdigit()
    }
    return [steps[step] for step in sorted(steps, reverse=True)]


def _flaw(checkpoint: Path) -> str | None:
    """Say what is missing of a checkpoint, if anything."""
    for name in CHECKPOINT_FILES:
        if not (checkpoint / name).is_file():
            return f"it has no {name}"
    try:
        json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
    except ValueError:
        return f"its {STATE_FILE} was cut short"
    return None
