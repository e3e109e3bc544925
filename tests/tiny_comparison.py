"""Settings of a comparison of a few seconds: a tiny model, tiny files, a few steps each."""

from dataclasses import replace
from pathlib import Path

from transformers import BertForSequenceClassification

from gelora.hidden_states.source import ModelSource
from gelora.lab.comparison.selection import Request, measure_task
from gelora.lab.comparison.settings import RunSpec, TaskSettings
from tiny_models import save_tiny, tiny_bert, tiny_tokenizer
from tiny_tasks import tiny_task, write_lines

TWO_BUDGETS = {"methods": ["bitfit"], "budgets": ["r=1", "r=2"], "seeds": [0, 1]}
KILLED = {"methods": [], "budgets": ["r=1", "r=2"], "seeds": [0], "learning_rates": [1e-3, 1e-2]}


def tiny_settings(folder: Path, *, name: str = "tiny", steps: int = 6, **changes) -> TaskSettings:
    """Write a model and a task's files into the folder, and return settings that name them."""
    save_tiny(tiny_bert(BertForSequenceClassification), tiny_tokenizer(), folder / "model")
    task = tiny_task(num_train=100, num_validation=40)
    files = {
        f"{split}_file": str(
            write_lines(folder / f"{split}.jsonl", text=rows["text"], label=rows["label"])
        )
        for split, rows in (("train", task.train), ("validation", task.validation))
    }
    settings = {
        "data": {**files, "seed": 3},
        "model": ModelSource(str(folder / "model")),
        "max_length": 32,
        "training": {
            "learning_rate": 5e-3,
            "max_steps": steps,
            "per_device_train_batch_size": 8,
        },
    }
    return TaskSettings(name=name, **{**settings, **changes})


def spec_of(settings: TaskSettings, method: str, **changes) -> RunSpec:
    """Return a run of the method at r=2, its task measured."""
    measured = measure_task(Request(settings, (method,), ("r=2",)))
    spec = RunSpec(
        task=settings,
        data_sha256=measured.data_sha256,
        model_sha256=measured.model_sha256,
        method=method,
        budget="r=2",
        budget_parameters=measured.budgets["r=2"],
        size=measured.sizes[method, "r=2"],
        seed=0,
        learning_rate=1e-2,
        selection=measured.selection,
    )
    return replace(spec, **changes)
