"""Methods of fine-tuning on tiny models: applied, trained for a few steps, and what changed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import set_seed

from gelora.lab.baselines import Applied, Setting, find_method
from gelora.lab.baselines.method import Callback
from gelora.tasks.train import make_trainer
from gelora.training.train import fit
from tiny_models import tiny_tokenizer
from tiny_tasks import quick_arguments, tiny_task

SETTING = Setting(problem="classification")


def apply_method(name: str, model: Any, *, budget: int = 0, **setting: Any) -> Applied:
    """Apply a method at the size nearest to a budget."""
    method, setting_ = find_method(name), replace(SETTING, **setting)
    set_seed(0)
    return method.apply(model, method.size(model, budget, setting_), setting_)


def trainable(model: nn.Module) -> set[str]:
    """Return the names of what requires gradients."""
    return {name for name, each in model.named_parameters() if each.requires_grad}


def values(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of every parameter."""
    return {name: each.detach().clone() for name, each in model.named_parameters()}


def fit_tiny(
    model: nn.Module,
    folder: Path,
    *,
    callbacks: Sequence[Callback] = (),
    checkpoint: Path | None = None,
    **arguments: Any,
) -> list[float]:
    """Train on the tiny task, and return the losses logged."""
    trainer = make_trainer(
        model,
        tiny_tokenizer(),
        tiny_task(num_train=128),
        arguments=quick_arguments(
            folder, **{"max_steps": 60, "logging_steps": 20, "learning_rate": 1e-2, **arguments}
        ),
        callbacks=callbacks,
    )
    trained = fit(trainer, checkpoint=checkpoint)
    return [entry["loss"] for entry in trained.history if "loss" in entry]


def fit_whole_and_resumed(
    whole: Applied, resumed: Applied, folder: Path, *, max_steps: int, save_steps: int
) -> None:
    """Train one model through, and another alike from the first checkpoint of that training on."""
    training = {"max_steps": max_steps, "save_strategy": "steps", "save_steps": save_steps}
    fit_tiny(whole.model, folder, callbacks=whole.callbacks, **training)
    fit_tiny(
        resumed.model,
        folder / "resumed",
        callbacks=resumed.callbacks,
        checkpoint=folder / f"checkpoint-{save_steps}",
        **training,
    )


def changed(model: nn.Module, before: dict[str, Tensor]) -> set[str]:
    """Return the names of the parameters that are not as they were."""
    return {name for name, value in values(model).items() if not torch.equal(value, before[name])}


def tiny_batches(size: int = 16) -> list[dict[str, Tensor]]:
    """Return the tiny task's training batches, labels and all."""
    rows, tokenizer = tiny_task(num_train=128).train, tiny_tokenizer()
    return [
        {
            **tokenizer(part["text"], padding=True, return_tensors="pt"),
            "labels": torch.tensor(part["label"]),
        }
        for part in rows.iter(size)
    ]


def reloaded(model: PeftModel, fresh: Any, folder: Path) -> PeftModel:
    """Save an adapter, and load it onto a fresh model as PEFT does."""
    model.save_pretrained(str(folder / "adapter"), save_embedding_layers=False)
    return PeftModel.from_pretrained(fresh, folder / "adapter").eval()
