"""`write_card`: the model card of a run's adapter, from the files of the run."""

from pathlib import Path


def write_card(folder: str | Path) -> Path:
    """Write `adapter/README.md` of the run in `folder`, and return its path."""
    return Path(folder) / "adapter" / "README.md"
