"""Put the planned adapter on a model, with the head that is trained whole beside it.

What is trained is float32. It trains nothing.
"""

import warnings
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from gelora.adapters import (
    adapter_parameters,
    expert_rank,
    lora_config,
    plan_prefix,
    verify_ranks,
)
from gelora.errors import ConfigError, RankError
from gelora.hidden_states.experts import added_parameters
from gelora.hidden_states.heads import TASK_TYPES, new_head
from gelora.problems import Problem
from gelora.ranks import RankPlan


def wrap(
    model: PreTrainedModel, plan: RankPlan, problem: Problem, **lora_arguments: Any
) -> PeftModel:
    """Put the planned adapter on a model with a head for the problem, and verify it.

    A new head is trained whole with it; a language model's came with it and stays frozen. More
    `modules_to_save` are trained beside the head.

    Raises:
        ModelMismatchError: The plan was made for another model.
        RankError: The adapter differs from the plan.
    """
    saved = sorted({*new_head(model, problem), *(lora_arguments.get("modules_to_save") or ())})
    config = lora_config(model, plan, **{**lora_arguments, "modules_to_save": saved})
    prefix = plan_prefix(plan, model)
    experts = {n: expert_rank(plan, n, prefix) for n in config.target_parameters or ()}
    expected = plan.trainable_parameters + added_parameters(model, experts)
    wrapped = wrap_by(model, config, problem)
    verify_ranks(wrapped, plan)
    count = adapter_parameters(wrapped)
    if count != expected and not config.use_dora:  # whose magnitudes come on top
        raise RankError(
            f"The adapter has {count} trainable parameters, the plan says {expected}: plan again."
        )
    return wrapped


def wrap_by(model: PreTrainedModel, config: LoraConfig, problem: Problem) -> PeftModel:
    """Put an adapter of PEFT's LoRA family on a model, and its new head to be trained whole.

    Args:
        model: With a head for the problem, not yet wrapped.
        config: Gets the problem's task type, and the head among its `modules_to_save`.
        problem: Of the task.
    """
    config.task_type = TASK_TYPES[problem]
    config.modules_to_save = (
        sorted({*new_head(model, problem), *(config.modules_to_save or ())}) or None
    )
    with warnings.catch_warnings():
        if config.target_parameters:  # PEFT looks for these keys among modules alone, and uses them
            warnings.filterwarnings("ignore", message=r"The following rank_pattern keys")
            warnings.filterwarnings("ignore", message=r"The following alpha_pattern keys")
        wrapped = get_peft_model(model, config)
    # PEFT's set has another order in every process, and it adds names that are already there.
    config.target_modules = sorted(config.target_modules or ())
    config.modules_to_save = sorted(set(config.modules_to_save or ())) or None
    return wrapped


def train_in_float32(model: nn.Module, *, has_autocast: bool) -> None:
    """Make every trainable parameter float32; PEFT does so for LoRA's own, not for the head.

    Raises:
        ConfigError: The head's inputs would be in half precision still.
    """
    for parameter in model.parameters():
        if not parameter.requires_grad or parameter.dtype == torch.float32:
            continue
        if not has_autocast:
            name = str(parameter.dtype).removeprefix("torch.")
            flag = "fp16" if parameter.dtype == torch.float16 else "bf16"
            raise ConfigError(
                f"The model is in {name}, where small training steps are lost to rounding: load it "
                f"with --dtype float32, or add --{flag} true to train in mixed precision."
            )
        parameter.data = parameter.data.float()
