"""Adapters of tiny models that do something, saved as PEFT saves them."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer

from example_profiles import profile_of
from gelora.adapters import lora_config
from gelora.ranks import RankPlan, plan_ranks
from tiny_models import tiny_batch


def tiny_plan(model: Any, *, budget: str | None = "r=8") -> RankPlan:
    """Plan ranks of 14, 3 and 7; without a budget 4, 1 and 2."""
    return plan_ranks(profile_of(model), budget=budget)


def tiny_lora(model: Any, *, budget: str | None = "r=8", **lora: Any) -> LoraConfig:
    """Return that plan's LoraConfig; for a language model unless `task_type` says otherwise."""
    plan = tiny_plan(model, budget=budget)
    return lora_config(model, plan, **{"task_type": "CAUSAL_LM", **lora})


def save_tiny_adapter(
    folder: Path, model: Any, *, budget: str | None = "r=8", **lora: Any
) -> PeftModel:
    """Wrap a model by its plan, move all that is trainable, save it, and return it wrapped."""
    config = tiny_lora(model, budget=budget, **lora)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        wrapped = get_peft_model(model, config)
        with torch.no_grad():
            for parameter in wrapped.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1 * torch.randn_like(parameter))
    wrapped.save_pretrained(str(folder), save_embedding_layers=False)
    return wrapped.eval()


def peft_updates(model: PeftModel) -> dict[str, torch.Tensor]:
    """Return what PEFT adds to each module's weight, (out, in), by the module's path."""
    return {
        name: layer.get_delta_weight("default").detach()
        for name, layer in model.get_base_model().named_modules()
        if isinstance(layer, LoraLayer)
    }


def logits(model: Any) -> torch.Tensor:
    """Return what a model says of four short texts, where they are not padded."""
    batch = tiny_batch("llama")
    with torch.no_grad():
        found = model(**batch).logits
    return found[batch["attention_mask"].bool()] if found.ndim == 3 else found
