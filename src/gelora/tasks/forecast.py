"""Estimate what a run would read, adapt and cost, without measuring anything.

The model is made without its weights, so this takes seconds whatever its size.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments
from transformers.trainer_utils import SaveStrategy

from gelora.dimension.profile import BlockModule
from gelora.hidden_states.architectures import (
    Architecture,
    adapted_modules,
    find_architecture,
)
from gelora.hidden_states.batches import token_lengths, token_limit
from gelora.hidden_states.experts import added_parameters, expert_parameters
from gelora.hidden_states.outline import check_wrap, step_bytes
from gelora.hidden_states.source import ModelSource
from gelora.hidden_states.task_head import new_head
from gelora.settings import read_budget
from gelora.tasks import TaskData, texts_of
from gelora.tasks.question_answering.windows import split_contexts

MOST_TEXTS = 10_000
"""Texts whose tokens are counted; of more, so many are drawn."""
SHOWN_RANKS = (1, 8)
"""Ranks whose cost is shown where no budget says which."""

_FLOAT32 = 4
_TRAINED = 4 * _FLOAT32  # a weight, its gradient and the two moments of Adam


def forecast(
    source: ModelSource,
    data: TaskData,
    arguments: TrainingArguments,
    *,
    target_modules: str | Sequence[str],
    target_parameters: Sequence[str],
    budget: int | str | None,
    num_samples: int,
    max_length: int,
    seed: int,
) -> dict[str, Any]:
    """Return rows, lengths, modules, parameters, steps, memory and disk of a run.

    Args:
        source: The model.
        data: The texts and labels.
        arguments: The Trainer's arguments.
        target_modules: Modules to adapt, as in `plan_ranks`.
        target_parameters: Experts to adapt, as `peft.LoraConfig` takes them.
        budget: Trainable parameters, as in `plan_ranks`; None for usual ranks.
        num_samples: Texts to measure at most.
        max_length: Tokens after which a text is cut.
        seed: Chooses the texts whose tokens are counted, if there are many.

    Returns:
        JSON-able values under "data", "tokens", "model", "adapter", "training", "memory", "disk".

    Raises:
        ArchitectureError: The model has no blocks, or no attention where that is adapted.
        RankError: PEFT does not adapt the modules.
    """
    tokenizer = source.load_tokenizer()
    outline = source.outline(task=data.problem, num_labels=max(data.num_labels, 1))
    tokens = _tokens(data, tokenizer, outline, max_length=max_length, seed=seed)
    architecture = find_architecture(outline)
    model, modules = _model(source.name_or_path, data, outline, architecture, target_modules)
    facts = {
        "data": _data(data),
        "tokens": tokens,
        "model": model,
        "adapter": _adapter(
            outline, architecture, modules, target_parameters=target_parameters, budget=budget
        ),
        "training": _training(arguments, data, tokenizer, tokens["limit"]),
    }
    facts["memory"] = _memory(source, arguments, outline, facts, modules, num_samples=num_samples)
    facts["disk"] = _disk(arguments, facts)
    check_wrap(outline, [module.name for module in modules])  # last, because it adds adapters
    return facts


def _data(data: TaskData) -> dict[str, Any]:
    validation = {} if data.validation is None else {"validation": len(data.validation)}
    more = {f"validation_{name}": len(split) for name, split in data.more_validation.items()}
    classes = None
    if data.problem == "classification" and "label" in data.train.column_names:
        counts = Counter(data.train["label"])
        names = data.label_names or tuple(map(str, range(data.num_labels)))
        classes = {name: counts[label] for label, name in enumerate(names)}
    return {
        "name": data.name,
        "problem": data.problem,
        "rows": {"train": len(data.train), **validation, **more},
        "classes": classes,
        "metrics": list(data.metrics),
    }


def _tokens(
    data: TaskData,
    tokenizer: PreTrainedTokenizerBase,
    model: PreTrainedModel,
    *,
    max_length: int,
    seed: int,
) -> dict[str, Any]:
    """Return how long the training texts are, and how many of them are cut."""
    split = data.train
    if len(split) > MOST_TEXTS:
        split = split.shuffle(seed=seed).select(range(MOST_TEXTS))
    lengths = token_lengths(tokenizer, texts_of(split))
    limit = token_limit(tokenizer, model, max_length)
    return {
        "texts": len(lengths),
        "median": int(np.median(lengths)),
        "percentile_95": int(np.percentile(lengths, 95, method="higher")),
        "longest": int(lengths.max()),
        "limit": limit,
        "cut": 0 if limit is None else int((lengths > limit).sum()),
    }


def _model(
    name: str,
    data: TaskData,
    outline: PreTrainedModel,
    found: Architecture,
    target_modules: str | Sequence[str],
) -> tuple[dict[str, Any], list[BlockModule]]:
    """Return what is known of the model, and the modules that would be adapted."""
    modules = adapted_modules(found, target_modules)
    head = [outline.get_submodule(path) for path in new_head(outline, data.problem)]
    facts = {
        "name": name,
        "class": type(outline).__name__,
        "parameters": outline.num_parameters(),
        "new_head_parameters": sum(
            parameter.numel() for part in head for parameter in part.parameters()
        ),
        "width": outline.config.get_text_config().hidden_size,
        "blocks": len(found.blocks),
        "modules": dict(Counter(module.role for module in modules)),
        "left_out": {f"{part.name} ({part.reason})": part.weights for part in found.left_out},
    }
    return facts, [replace(module, name=f"{found.prefix}{module.name}") for module in modules]


def _adapter(
    outline: PreTrainedModel,
    architecture: Architecture,
    modules: Sequence[BlockModule],
    *,
    target_parameters: Sequence[str],
    budget: int | str | None,
) -> dict[str, Any]:
    """Return the adapter's parameters: at the budget, or at ranks that are usual."""
    blocks = [f"{architecture.prefix}{block}" for block in architecture.blocks]
    experts = expert_parameters(outline, target_parameters, blocks)
    per_rank = sum(module.in_features + module.out_features for module in modules)
    ranks: Sequence[float] = SHOWN_RANKS
    if budget is not None:
        number, is_rank = read_budget(budget)
        ranks = [number if is_rank else number / per_rank]
    per_rank += added_parameters(outline, dict.fromkeys(experts, 1))  # which no budget counts
    return {
        "modules": len(modules),
        "parameters_per_rank": per_rank,
        "parameters_at_rank": {f"{rank:g}": round(rank * per_rank) for rank in ranks},
    }


def _training(
    arguments: TrainingArguments,
    data: TaskData,
    tokenizer: PreTrainedTokenizerBase,
    limit: int | None,
) -> dict[str, Any]:
    """Return how many steps training takes, as the Trainer counts them."""
    rows = len(data.train)
    if data.question_answering is not None:  # a long context is read in several windows
        rows = len(
            split_contexts(
                data.train, tokenizer, data.question_answering, max_length=limit
            ).questions
        )
    batch = arguments.train_batch_size * max(arguments.world_size, 1)
    whole = math.floor if arguments.dataloader_drop_last else math.ceil
    steps_an_epoch = max(math.ceil(whole(rows / batch) / arguments.gradient_accumulation_steps), 1)
    steps = arguments.max_steps
    if steps < 0:
        steps = math.ceil(arguments.num_train_epochs * steps_an_epoch)
    return {
        "rows": rows,
        "batch": batch * arguments.gradient_accumulation_steps,
        "steps": steps,
        "epochs": steps / steps_an_epoch,
        "learning_rate": arguments.learning_rate,
        "is_packed": bool(getattr(arguments, "packing", False)),
    }


def _memory(
    source: ModelSource,
    arguments: TrainingArguments,
    outline: PreTrainedModel,
    facts: Mapping[str, Any],
    modules: Sequence[BlockModule],
    *,
    num_samples: int,
) -> dict[str, Any]:
    """Return bytes: of the weights, of what is trained, of a step, and of the states measured."""
    tokens = facts["tokens"]
    kept = step_bytes(
        outline,
        [module.name for module in modules],
        batch=arguments.train_batch_size,
        tokens=min(tokens["longest"], tokens["limit"] or math.inf),
    )
    names = ("activation_checkpointing", "gradient_checkpointing")  # the latter until version 6
    is_recomputed = any(getattr(arguments, name, False) for name in names)
    return {
        "weights": round(facts["model"]["parameters"] * _bytes_a_weight(source)),
        "trained": {
            rank: _TRAINED * (parameters + facts["model"]["new_head_parameters"])
            for rank, parameters in facts["adapter"]["parameters_at_rank"].items()
        },
        "kept_by_a_step": None if is_recomputed else kept,
        "hidden_states": _FLOAT32
        * min(num_samples, facts["data"]["rows"]["train"])
        * facts["model"]["width"]
        * (facts["model"]["blocks"] + 1),
    }


def _disk(arguments: TrainingArguments, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return bytes of the adapter with its head, and of a checkpoint with Adam's moments."""
    head = facts["model"]["new_head_parameters"]
    adapters = {
        rank: _FLOAT32 * (parameters + head)
        for rank, parameters in facts["adapter"]["parameters_at_rank"].items()
    }
    steps, epochs = facts["training"]["steps"], facts["training"]["epochs"]
    saved = {"no": 0, "epoch": math.ceil(epochs), "best": 1}
    every = max(1, round(arguments.save_steps if arguments.save_steps >= 1 else steps))
    kept = saved.get(SaveStrategy(arguments.save_strategy).value, math.ceil(steps / every))
    return {
        "adapter": adapters,
        "checkpoint": {rank: 3 * count for rank, count in adapters.items()},
        "checkpoints": min(kept, arguments.save_total_limit or kept),
    }


def _bytes_a_weight(source: ModelSource) -> float:
    """Return the bytes of one frozen weight in training."""
    if source.bits is not None:
        return source.bits / 8
    return _FLOAT32 if source.dtype in ("auto", "float32") else _FLOAT32 / 2
