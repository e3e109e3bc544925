"""`gelora inspect`: what a run would read, adapt and cost. Nothing is measured or written.

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

from gelora.cli import loading
from gelora.cli.config import Config
from gelora.cli.console import Output
from gelora.cli.forwarding import (
    checked_inputs,
)
from gelora.dimension.profile import BlockModule
from gelora.hidden_states.architectures import (
    Architecture,
    find_architecture,
    require_attention,
)
from gelora.hidden_states.batches import token_lengths, token_limit
from gelora.hidden_states.experts import added_parameters, expert_parameters
from gelora.hidden_states.outline import check_wrap, step_bytes
from gelora.hidden_states.task_head import new_head
from gelora.ranks.targets import select_modules
from gelora.settings import read_budget
from gelora.tasks import TaskData, texts_of
from gelora.tasks.question_answering.windows import split_contexts

MOST_TEXTS = 10_000
"""Texts whose tokens are counted; of more, so many are drawn."""
SHOWN_RANKS = (1, 8)
"""Ranks whose cost is shown where no budget says which."""

_FLOAT32 = 4
_TRAINED = 4 * _FLOAT32  # a weight, its gradient and the two moments of Adam


def main(config: Config) -> Output:
    """Show rows, lengths, modules, parameters, steps and memory."""
    arguments, data = checked_inputs(config, labels_required=False)
    source = loading.model_source(config)
    tokenizer = source.load_tokenizer()
    outline = source.outline(task=data.problem, num_labels=max(data.num_labels, 1))
    tokens = _tokens(config, data, tokenizer, outline)
    architecture = find_architecture(outline)
    model, modules = _model(config, data, outline, architecture)
    found = {
        "data": _data(data),
        "tokens": tokens,
        "model": model,
        "adapter": _adapter(config, outline, architecture, modules),
        "training": _training(arguments, data, tokenizer, tokens["limit"]),
    }
    found["memory"] = _memory(config, arguments, outline, found, modules)
    found["disk"] = _disk(arguments, found)
    check_wrap(outline, [module.name for module in modules])  # last, for it adds adapters
    return Output(_text(found), found)


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
    config: Config, data: TaskData, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel
) -> dict[str, Any]:
    """Return how long the training texts are, and how many of them are cut."""
    split = data.train
    if len(split) > MOST_TEXTS:
        split = split.shuffle(seed=config.run.seed).select(range(MOST_TEXTS))
    lengths = token_lengths(tokenizer, texts_of(split))
    limit = token_limit(tokenizer, model, config.data.max_length)
    return {
        "texts": len(lengths),
        "median": int(np.median(lengths)),
        "percentile_95": int(np.percentile(lengths, 95, method="higher")),
        "longest": int(lengths.max()),
        "limit": limit,
        "cut": 0 if limit is None else int((lengths > limit).sum()),
    }


def _model(
    config: Config, data: TaskData, outline: PreTrainedModel, found: Architecture
) -> tuple[dict[str, Any], list[BlockModule]]:
    """Return what is known of the model, and the modules that would be adapted."""
    if config.target_modules == "attention":
        require_attention(found)
    modules = select_modules(found.modules, config.target_modules, left_out=found.left_out)
    head = [outline.get_submodule(path) for path in new_head(outline, data.problem)]
    facts = {
        "name": config.model_name,
        "class": type(outline).__name__,
        "parameters": outline.num_parameters(),
        "new_head_parameters": sum(one.numel() for part in head for one in part.parameters()),
        "width": outline.config.get_text_config().hidden_size,
        "blocks": len(found.blocks),
        "modules": dict(Counter(module.role for module in modules)),
        "left_out": {f"{part.name} ({part.reason})": part.weights for part in found.left_out},
    }
    return facts, [replace(module, name=f"{found.prefix}{module.name}") for module in modules]


def _adapter(
    config: Config,
    outline: PreTrainedModel,
    architecture: Architecture,
    modules: Sequence[BlockModule],
) -> dict[str, Any]:
    """Return the adapter's parameters: at the budget, or at ranks that are usual."""
    blocks = [f"{architecture.prefix}{block}" for block in architecture.blocks]
    experts = expert_parameters(outline, config.lora.target_parameters or (), blocks)
    per_rank = sum(module.in_features + module.out_features for module in modules)
    ranks: Sequence[float] = SHOWN_RANKS
    if config.ranks.budget is not None:
        number, is_rank = read_budget(config.ranks.budget)
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
    config: Config,
    arguments: TrainingArguments,
    outline: PreTrainedModel,
    facts: Mapping[str, Any],
    modules: Sequence[BlockModule],
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
        "weights": round(facts["model"]["parameters"] * _bytes_a_weight(config)),
        "trained": {
            rank: _TRAINED * (parameters + facts["model"]["new_head_parameters"])
            for rank, parameters in facts["adapter"]["parameters_at_rank"].items()
        },
        "kept_by_a_step": None if is_recomputed else kept,
        "hidden_states": _FLOAT32
        * min(config.measurement.num_samples, facts["data"]["rows"]["train"])
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


def _bytes_a_weight(config: Config) -> float:
    """Return the bytes of one frozen weight in training."""
    if config.model.load_in_4bit or config.model.load_in_8bit:
        return 0.5 if config.model.load_in_4bit else 1
    return _FLOAT32 if config.model.dtype in ("auto", "float32") else _FLOAT32 / 2


def _text(found: Mapping[str, Any]) -> str:
    """Return what was found as lines of a name and what there is to say."""
    data, tokens, model, adapter = (found[name] for name in ("data", "tokens", "model", "adapter"))
    training, memory = found["training"], found["memory"]
    splits = ", ".join(f"{name} {rows:,}" for name, rows in data["rows"].items())
    classes = ", ".join(f"{name} {count:,}" for name, count in (data["classes"] or {}).items())
    limit = "without a limit" if tokens["limit"] is None else f"limit {tokens['limit']:,}"
    kinds = ", ".join(f"{count} {role}" for role, count in model["modules"].items())
    left = ", ".join(f"{part} {weights:,}" for part, weights in model["left_out"].items())
    costs = "; ".join(
        f"{parameters:,} at rank {rank}"
        for rank, parameters in adapter["parameters_at_rank"].items()
    )
    packed = ", fewer as texts are packed" if training["is_packed"] else ""
    trained = "; ".join(f"{size(b)} at rank {rank}" for rank, b in memory["trained"].items())
    kept = memory["kept_by_a_step"]
    lines = {
        "data": f"{data['name']} ({data['problem'].replace('_', ' ')}); rows: {splits}",
        "classes": classes,
        "tokens": f"median {tokens['median']:,}, 95 % up to {tokens['percentile_95']:,}, longest "
        f"{tokens['longest']:,}, {limit}: {tokens['cut']:,} of {tokens['texts']:,} texts are cut",
        "model": f"{model['class']}, {model['parameters']:,} parameters, {model['blocks']} blocks "
        f"of width {model['width']:,}",
        "adapted": f"{adapter['modules']} modules: {kinds}",
        "left out": left,
        "adapter": f"parameters: {costs}; {model['new_head_parameters']:,} of a new head",
        "training": f"{training['steps']:,} steps of {training['batch']:,} of "
        f"{training['rows']:,} rows, {training['epochs']:.3g} epochs{packed}",
        "memory": f"{size(memory['weights'])} for the weights; {trained} for what is trained, with "
        "Adam; "
        + ("an unknown part" if kept is None else f"about {size(kept)}")
        + " for a step of the longest texts",
        "measuring": f"{size(memory['hidden_states'])} for the states of "
        "all layers, in memory or, with --keep_hidden_states, on disk",
    }
    disk = found["disk"]
    lines["disk"] = "; ".join(
        f"{size(count)} for the adapter and {disk['checkpoints']} times "
        f"{size(disk['checkpoint'][rank])} for checkpoints at rank {rank}"
        for rank, count in disk["adapter"].items()
    )
    width = max(map(len, lines))
    shown = [f"{name:<{width}}  {said}" for name, said in lines.items() if said]
    return "\n".join([*shown, "", "Nothing was measured or written: gelora run does it."])


def size(count: float) -> str:
    """Return a number of bytes in words.

    >>> size(999), size(1_500_000), size(4e10)
    ('999 B', '1.5 MB', '40 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
