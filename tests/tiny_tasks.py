"""Tasks that a tiny model can learn, and a Trainer's arguments for a few quick steps on the CPU."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import TrainingArguments

from gelora.tasks import TaskData
from tiny_models import WORDS

MARKED, OTHERS = WORDS[:3], WORDS[3:6]


def tiny_task(
    *,
    num_train: int = 64,
    num_validation: int = 40,
    problem: str = "classification",
    pairs: bool = False,
) -> TaskData:
    """Label a text of 8 to 16 words by its share of marked words.

    That share is the number to predict, or class 1 if it is above one half.
    """
    generator = np.random.default_rng(1)
    texts, shares = [], []
    for length in generator.integers(8, 17, size=num_train + num_validation):
        is_marked = generator.random(length) < generator.random()
        words = np.where(
            is_marked, generator.choice(MARKED, length), generator.choice(OTHERS, length)
        )
        texts.append(" ".join(words))
        shares.append(float(is_marked.mean()))
    is_regression = problem == "regression"
    columns: dict[str, list[Any]] = {
        "text": texts,
        "label": shares if is_regression else [int(share > 0.5) for share in shares],
    }
    if pairs:
        columns["text_pair"] = list(reversed(texts))
    rows = Dataset.from_dict(columns)
    metrics = ("pearson", "spearman") if is_regression else ("matthews_correlation", "accuracy")
    return TaskData(
        name="tiny",
        train=rows.select(range(num_train)),
        validation=rows.select(range(num_train, len(rows))),
        problem=problem,
        num_labels=1 if is_regression else 2,
        label_names=None if is_regression else ("few", "many"),
        metrics=metrics,
        headline_metric=metrics[0],
        provenance={},
    )


def write_lines(path: Path, **columns: Any) -> Path:
    """Write columns as JSON Lines, and return the file."""
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def quick_arguments(output_dir: Path, **overrides: Any) -> TrainingArguments:
    defaults = {
        "max_steps": 6,
        "per_device_train_batch_size": 8,
        "learning_rate": 5e-3,
        "logging_steps": 2,
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "report_to": "none",
        "seed": 7,
    }
    return TrainingArguments(output_dir=str(output_dir), **{**defaults, **overrides})
