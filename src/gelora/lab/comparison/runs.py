"""One run, from its settings to its result: load, apply the method, train, score.

Nothing is written. Each run belongs in its own process, which also separates their peak memory.
"""

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, Trainer, TrainingArguments, set_seed

from gelora.adapters import adapter_ranks
from gelora.errors import DataError
from gelora.hidden_states.loading import public_name
from gelora.hidden_states.task_head import new_head
from gelora.lab.baselines import find_method
from gelora.lab.baselines.method import Applied
from gelora.lab.comparison.results import Predictions, RunResult, Trial, meets_budget
from gelora.lab.comparison.scoring import Scored, score
from gelora.lab.comparison.search import part_for_trials
from gelora.lab.comparison.selection import setting_of
from gelora.lab.comparison.settings import RunSpec
from gelora.tasks import TaskData, load_task_data
from gelora.tasks.train import arguments_type, make_trainer
from gelora.training.train import Fit, fit, train_in_float32


@dataclass(frozen=True)
class _Trained:
    """A model that a method has trained, and what that took."""

    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    applied: Applied
    fit: Fit
    parameters: Mapping[str, int]


def run_method(spec: RunSpec) -> tuple[RunResult, Predictions]:
    """Train, and score on the validation split.

    Raises:
        GeloraError: Whatever is wrong with the settings, or the scores are not finite.
    """
    data = load_task_data(**spec.task.data)
    trained = _train(spec, data)
    metrics, values, _ = _score(spec, trained, data)
    applied, fitted, selection = trained.applied, trained.fit, spec.selection
    result = RunResult(
        **_identity(spec),
        budget_parameters=spec.budget_parameters,
        parameters=trained.parameters,
        meets_budget=meets_budget(spec.budget_parameters, trained.parameters["adapter"]),
        selection_seconds=applied.selection_seconds + (selection.seconds if selection else 0.0),
        forward_tokens=applied.forward_tokens
        + (selection.profile.forward_tokens if selection else 0),
        training_seconds=fitted.seconds,
        steps=fitted.steps,
        steps_per_second=fitted.steps / fitted.seconds,
        peak_memory_bytes=fitted.peak_memory_bytes,
        metrics={name: asdict(metric) for name, metric in metrics.items()},
        headline_metric=data.headline_metric,
        ranks=adapter_ranks(trained.model),
    )
    return result, Predictions(spec.hash, values)


def run_trial(spec: RunSpec) -> Trial:
    """Train on a part of the training data, and score on the rest of it.

    Raises:
        GeloraError: Whatever is wrong with the settings.
    """
    whole = load_task_data(**spec.task.data)
    data = part_for_trials(whole, seed=spec.task.seed)
    trained = _train(spec, data)
    try:
        metrics, _, loss = _score(spec, trained, data)
    except DataError:  # the data were fine for training: scores are not finite
        value, loss = None, None
    else:
        value = metrics[data.headline_metric].value
    seconds = trained.fit.seconds
    return Trial(
        **_identity(spec), metric=data.headline_metric, value=value, seconds=seconds, loss=loss
    )


def _identity(spec: RunSpec) -> dict[str, Any]:
    """Return what the lines of runs and of trials have in common."""
    return {
        "hash": spec.hash,
        "task": spec.task.name,
        "method": spec.method,
        "varied": dict(spec.task.varied),
        "budget": spec.budget,
        "size": spec.size.value,
        "seed": spec.seed,
        "learning_rate": spec.learning_rate,
    }


def _train(spec: RunSpec, data: TaskData) -> _Trained:
    task, method = spec.task, find_method(spec.method)
    set_seed(spec.seed)  # of a new head
    model, tokenizer = task.model.load(
        task=data.problem,
        num_labels=data.num_labels,
        label_names=data.label_names,
    )
    model.name_or_path = model.config.name_or_path = public_name(str(model.name_or_path))
    head = new_head(model, data.problem)
    with tempfile.TemporaryDirectory() as folder:
        arguments = _arguments(spec, data, folder)
        trainer_of = partial(
            make_trainer,
            tokenizer=tokenizer,
            data=data,
            arguments=arguments,
            max_length=task.max_length,
        )

        @cache
        def trainer() -> Trainer:
            return trainer_of(model)

        setting = replace(
            setting_of(task, data, spec.selection),
            total_steps=total_steps(arguments, _num_examples(data, trainer)),
            seed=spec.seed,
            batches=lambda: _batches(trainer(), model.device),
        )
        set_seed(spec.seed)  # of the adapter
        applied = method.apply(model, spec.size, setting)
        has_autocast = arguments.bf16 or arguments.fp16
        train_in_float32(applied.model, has_autocast=has_autocast)
        moved = count_parameters(applied.model, head)
        fitted = fit(trainer_of(applied.model, callbacks=applied.callbacks))
    finished = applied.finish(applied.model)
    left, _ = count_parameters(finished, head)  # pruned, it may be
    parameters = {"adapter": left, "head": moved[1], "trained": sum(moved)}
    return _Trained(finished, tokenizer, applied, fitted, parameters)


def _score(spec: RunSpec, trained: _Trained, data: TaskData) -> Scored:
    return score(
        trained.model,
        trained.tokenizer,
        data,
        batch_size=spec.task.batch_size,
        max_length=spec.task.max_length,
    )


def total_steps(arguments: TrainingArguments, num_examples: int) -> int:
    """Return the optimiser steps of a training, as the Trainer of one process counts them."""
    if arguments.max_steps > 0:
        return arguments.max_steps
    size = arguments.train_batch_size
    batches = num_examples // size if arguments.dataloader_drop_last else -(-num_examples // size)
    per_epoch = max(-(-batches // arguments.gradient_accumulation_steps), 1)
    return math.ceil(arguments.num_train_epochs * per_epoch)


def count_parameters(model: nn.Module, head: Iterable[str]) -> tuple[int, int]:
    """Return how many parameters train beside the head, and in it.

    Args:
        model: With an adapter or not, PEFT's or another.
        head: Paths of the head's modules in the model as it was before.
    """
    inside, beside = 0, 0
    names = set(head)
    for path, parameter in model.named_parameters():
        if parameter.requires_grad:
            if path.removeprefix("base_model.model.").partition(".")[0] in names:
                inside += parameter.numel()
            else:
                beside += parameter.numel()
    return beside, inside


def _arguments(spec: RunSpec, data: TaskData, folder: str) -> TrainingArguments:
    """Return the Trainer's arguments: nothing is evaluated, saved or shown in training."""
    settings = {
        **spec.task.training,
        "learning_rate": spec.learning_rate,
        "seed": spec.seed,
        "output_dir": folder,
        "eval_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": not torch.accelerator.is_available(),
    }
    return arguments_type(data.problem)(**settings)


def _num_examples(data: TaskData, trainer: Callable[[], Trainer]) -> int:
    """Return the rows that the Trainer draws from: texts as they are, or windows, or packed."""
    if data.problem in ("classification", "regression"):
        return len(data.train)
    rows: Any = trainer().train_dataset
    return len(rows)


def _batches(trainer: Trainer, device: torch.device) -> Iterator[Mapping[str, Tensor]]:
    for batch in trainer.get_train_dataloader():
        yield {name: tensor.to(device) for name, tensor in batch.items()}
