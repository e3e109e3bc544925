"""`write_comparison`: the tables, the plots and one self-contained page of a comparison's folder."""

from pathlib import Path


def write_comparison(folder: str | Path) -> Path:
    """Write `table.md`, `table.csv`, `report.html` and the plots of a comparison.

    Args:
        folder: The comparison's `output_dir`, with `results.jsonl` and what stands beside it.

    Returns:
        The path of `report.html`.
    """
    raise NotImplementedError
