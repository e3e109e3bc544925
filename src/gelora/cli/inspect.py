"""`gelora inspect`: what a run would read, adapt and cost. Nothing is measured or written."""

from collections.abc import Mapping
from typing import Any

from gelora.cli import loading
from gelora.cli.config import Config
from gelora.cli.console import Output
from gelora.cli.forwarding import checked_inputs
from gelora.tasks.forecast import forecast


def main(config: Config) -> Output:
    """Show rows, lengths, modules, parameters, steps and memory."""
    arguments, data = checked_inputs(config, labels_required=False)
    facts = forecast(
        loading.model_source(config),
        data,
        arguments,
        target_modules=config.ranks.target_modules,
        target_parameters=config.lora.target_parameters or (),
        budget=config.ranks.budget,
        num_samples=config.measurement.num_samples,
        max_length=config.data.max_length,
        seed=config.run.seed,
    )
    return Output(_text(facts), facts)


def _text(facts: Mapping[str, Any]) -> str:
    """Return one line for each part of the facts."""
    data, tokens, model, adapter = (facts[name] for name in ("data", "tokens", "model", "adapter"))
    training, memory = facts["training"], facts["memory"]
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
    disk = facts["disk"]
    lines["disk"] = "; ".join(
        f"{size(count)} for the adapter and {disk['checkpoints']} times "
        f"{size(disk['checkpoint'][rank])} for checkpoints at rank {rank}"
        for rank, count in disk["adapter"].items()
    )
    width = max(map(len, lines))
    shown = [f"{name:<{width}}  {line}" for name, line in lines.items() if line]
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
