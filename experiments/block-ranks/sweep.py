"""Train with every rank in one block at a time, all other blocks at rank 2, and keep each score.

    python experiments/block-ranks/sweep.py --data data --output_dir runs/block-ranks --processes 2

Each run is a line of `results.jsonl` when it is done, seed after seed, and is not run again: what
was stopped goes on, and more `--seeds` add to those that are there. Runs are scored on training
rows that none of them is trained on; validation rows are never read. Before the first run the
dimensions are measured twice, on the texts that are trained on and on these with more of the file,
so that what gelora asks for stands beside the sweep. `analysis.py` says what came of it.
"""

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datasets import Dataset
from one_run import (
    MORE,
    OTHERS,
    RANKS,
    RESULTS_FILE,
    SWEEP_FILE,
    TRAINED,
    Line,
    Run,
    Task,
    load_parts,
    train_and_score,
)

from gelora.artifacts import ENVIRONMENT_FILE, PROFILE_FILE, read_json, write_json
from gelora.dimension.profile import DimensionProfile
from gelora.environment import describe_environment
from gelora.hidden_states import measure_dimensions
from gelora.hidden_states.devices import default_device, device_name
from gelora.hidden_states.source import ModelSource
from gelora.lab.comparison.engines import Failed, run_locally
from gelora.lab.comparison.lines import append_line, read_lines
from gelora.ranks import RankPlan, plan_ranks
from gelora.tasks import TaskData, labelled_validation, texts_of

logger = logging.getLogger("sweep")


def sweep(tasks: Sequence[Task], folder: Path, *, seeds: Sequence[int], processes: int) -> None:
    """Do the runs that have no line yet, those of a seed after those of the seed before.

    Raises:
        SystemExit: The folder holds a sweep of other settings, or some runs failed.
    """
    plans = _prepare(tasks, folder)
    path = folder / RESULTS_FILE
    done = {line.key for line in read_lines(path, Line)}
    asked = (run for seed in seeds for task in tasks for run in runs_of(task, plans, seed))
    todo = [run for run in asked if run.key not in done]
    failed = 0
    for number, (run, outcome) in enumerate(
        run_locally(train_and_score, todo, processes=processes), 1
    ):
        if isinstance(outcome, Failed):
            failed += 1
            said = f"{outcome.error} {outcome.traceback}".rstrip()
        else:
            append_line(path, outcome)
            said = f"{outcome.metric:.4f} after {outcome.seconds:.0f} s"
        logger.info("%d of %d: %s: %s", number, len(todo), run.key, said)
    if failed:
        sys.exit(f"{failed} of {len(todo)} runs failed; the same call tries them again.")


def runs_of(task: Task, plans: dict[str, RankPlan], seed: int) -> Iterator[Run]:
    """Yield the runs of a task with a seed: the one that all blocks share, then each block's."""
    plan = plans[task.name]
    yield Run(task, plan, None, OTHERS, seed)
    for block in plan.blocks:
        for rank in RANKS:
            if rank != OTHERS:
                yield Run(task, plan, block, rank, seed)


def default_tasks(data: Path) -> tuple[Task, ...]:
    """Return SST-2 and CoLA, cut to what a core trains in some ten seconds.

    Args:
        data: A folder of GLUE as JSON lines.
    """
    training = {
        "learning_rate": 3e-3,
        "warmup_steps": 0.1,  # without, plain LoRA collapses at high rates for some seeds
        "per_device_train_batch_size": 16,
        "train_sampling_strategy": "group_by_length",  # less padding
        "bf16": True,
    }
    without_dropout = ModelSource(
        config_overrides="hidden_dropout_prob=0.0,attention_probs_dropout_prob=0.0"
    )
    return tuple(
        Task(
            name,
            train_file=str(data / name / "train.jsonl.gz"),
            num_train=num_train,
            training={**training, "num_train_epochs": epochs},
            model=without_dropout,
        )
        for name, num_train, epochs in (("sst2", 1000, 2), ("cola", 1500, 3))
    )


def _prepare(tasks: Sequence[Task], folder: Path) -> dict[str, RankPlan]:
    """Write what comes before the runs, and return each task's plan of rank `OTHERS`."""
    parts = {task.name: load_parts(task) for task in tasks}
    settings = {task.name: _settings(task, parts[task.name][0]) for task in tasks}
    path = folder / SWEEP_FILE
    if not path.exists():
        environment = describe_environment(device=device_name(default_device()))
        write_json(folder / ENVIRONMENT_FILE, environment, kind="environment")
        write_json(path, {"tasks": settings}, kind="sweep")
    if read_json(path, kind="sweep")["tasks"] != settings:
        sys.exit(f"{path} is of a sweep with other settings: give another --output_dir.")
    plans: dict[str, RankPlan] = {}
    for task in tasks:
        data, more = parts[task.name]
        _measure(task, more, folder / task.name / MORE)
        profile = _measure(task, data.train, folder / task.name / TRAINED)
        plans[task.name] = plan_ranks(profile, min_rank=OTHERS, max_rank=OTHERS)
    return plans


def _settings(task: Task, data: TaskData) -> dict[str, Any]:
    """Return what all runs of a task have in common, and the labels that they are scored by."""
    return {
        **asdict(task),
        "metric": data.headline_metric,
        "labels": "".join(map(str, labelled_validation(data)["label"])),
    }


def _measure(task: Task, rows: Dataset, folder: Path) -> DimensionProfile:
    """Return the dimensions of all these texts, measured unless the folder has them."""
    if not (folder / PROFILE_FILE).exists():
        model, tokenizer = task.model.load(task=None)
        texts = texts_of(rows)
        profile = measure_dimensions(
            model, tokenizer, texts, num_samples=len(texts), max_length=task.max_length
        )
        profile.save_pretrained(folder)
    return DimensionProfile.from_pretrained(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Sweep both tasks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="of GLUE as JSON lines")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/block-ranks"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--processes", type=int, default=1, help="runs at a time")
    flags = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(logging.INFO)
    tasks = default_tasks(flags.data)
    sweep(tasks, flags.output_dir, seeds=flags.seeds, processes=flags.processes)


if __name__ == "__main__":
    main()
