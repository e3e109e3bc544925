"""Print the held-out losses of the runs of `cut_runs.py` by method and size, with their errors.

python experiments/cut/cut_tables.py runs/cut/results.jsonl
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from cut_runs import TRAINED_RANK, TUNING_SEED

METHODS = ("weights", "inputs", "fisher", "equal", "threshold", "trained")


def read(path: Path) -> pd.DataFrame:
    """Return the scored lines, without those that chose learning rates."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    frame = pd.DataFrame(lines)
    return frame[frame.seed != TUNING_SEED]


def cell(differences: pd.Series) -> str:
    """Return the mean over seeds of a difference, in thousandths, with its standard error."""
    values = 1000 * differences.to_numpy()
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{values.mean():+.1f} ± {error:.1f}"


def differences(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each mean rank, and a column for each method."""
    below = frame[frame.mean_rank < TRAINED_RANK]
    table = below.pivot_table(
        index="mean_rank", columns="method", values="difference", aggfunc=cell
    )
    return table.sort_index(ascending=False)[[m for m in METHODS if m in table]].fillna("–")


def contrasts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the loss of each method above that of `inputs`, paired by seed."""
    losses = frame[frame.mean_rank < TRAINED_RANK].pivot_table(
        index=["mean_rank", "seed"], columns="method", values="loss"
    )
    gains = losses.drop(columns="inputs").sub(losses["inputs"], axis=0)
    rows = {
        rank: {m: cell(group[m].dropna()) for m in METHODS if m in group and group[m].notna().any()}
        for rank, group in gains.groupby("mean_rank")
    }
    table = pd.DataFrame(rows).T.sort_index(ascending=False)
    return table[[m for m in METHODS if m in table]].fillna("–")


def markdown(table: pd.DataFrame) -> str:
    """Return a table in Markdown, with the mean rank first."""
    lines = [["mean rank", *table.columns], ["---"] * (table.shape[1] + 1)]
    lines += [[f"{rank:g}", *row] for rank, row in zip(table.index, table.to_numpy(), strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def describe(frame: pd.DataFrame) -> str:
    """Return the tables of every task in Markdown."""
    parts: list[str] = []
    for task, rows in frame.groupby("task", sort=False):
        uncut = rows[(rows.method == "trained") & (rows.mean_rank == TRAINED_RANK)]
        parts += [
            f"## {task}",
            f"{len(uncut)} seeds; loss uncut at rank {TRAINED_RANK}: {uncut.loss.mean():.4f}.",
            "Loss above the uncut adapter's, in thousandths:",
            markdown(differences(rows)),
            "Loss above that of `inputs`, paired by seed, in thousandths:",
            markdown(contrasts(rows)),
        ]
    return "\n\n".join(parts)


def main() -> None:
    """Print the tables of a file of results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    sys.stdout.write(describe(read(parser.parse_args().results)) + "\n")


if __name__ == "__main__":
    main()
