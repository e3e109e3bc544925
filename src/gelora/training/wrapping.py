"""Put the planned adapter on a model, with the head that is trained whole beside it.

What is trained is float32. It trains nothing.
"""

from collections.abc import Mapping
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from gelora.adapters import adapter_parameters, lora_config, verify_ranks
from gelora.errors import ConfigError, RankError
from gelora.model.architectures import find_architecture
from gelora.ranks import RankPlan
from gelora.tasks import Problem

TASK_TYPES: Mapping[Problem, TaskType | None] = {
    "classification": TaskType.SEQ_CLS,
    "regression": TaskType.SEQ_CLS,
    # None takes PEFT's general class: that of questions (0.21) drops token types, so that BERT
    # could not tell question from context, and would find them again once merged.
    "question_answering": None,
    "instruction_tuning": TaskType.CAUSAL_LM,
}


def wrap(
    model: PreTrainedModel, plan: RankPlan, problem: Problem, **lora_arguments: Any
) -> PeftModel:
    """Put the planned adapter on a model with a head for the problem, and verify it.

    A new head is trained whole with it; a language model's came with it and stays frozen. PEFT by
    itself adds only modules called `classifier` and `score`, which leaves DeBERTa's new `pooler`
    at its random values.

    Raises:
        ModelMismatchError: The plan was made for another model.
        RankError: The adapter differs from the plan.
    """
    config = lora_config(plan, model, **lora_arguments)
    wrapped = wrap_by(model, config, problem)
    verify_ranks(wrapped, plan)
    count = adapter_parameters(wrapped)
    if count != plan.trainable_parameters and not config.use_dora:  # whose magnitudes come on top
        raise RankError(
            f"The adapter has {count} trainable parameters, the plan says "
            f"{plan.trainable_parameters}: plan again."
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
    wrapped = get_peft_model(model, config)
    # PEFT's set has another order in every process, and it adds names that are already there.
    config.target_modules = sorted(config.target_modules or ())
    config.modules_to_save = sorted(set(config.modules_to_save or ())) or None
    return wrapped


def head_modules(model: PreTrainedModel) -> list[str]:
    """Return the modules beside the backbone that have parameters: the head, often with a pooler.

    BERT's own pooler is inside the backbone, comes with the checkpoint and stays frozen.
    """
    backbone = find_architecture(model).prefix.partition(".")[0]
    return [
        name
        for name, module in model.named_children()
        if backbone not in ("", name) and any(True for _ in module.parameters())
    ]


def new_head(model: PreTrainedModel, problem: Problem) -> list[str]:
    """Return the head's modules, or none where the head came with the model, as a language model's.

    What is new has to be trained whole.
    """
    return [] if problem == "instruction_tuning" else head_modules(model)


def check_causal(model: PreTrainedModel | PeftModel) -> None:
    """Refuse a model that cannot be tuned on instructions.

    Raises:
        ConfigError: It sees what follows a token.
    """
    if not find_architecture(model).is_causal:
        raise ConfigError(
            f"Instruction tuning needs a causal model, which writes from left to right, and "
            f"{model.name_or_path} is a {model.config.model_type}: name another."
        )


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
