"""Refuse settings of the Trainer and of LoRA that would fail only when training begins.

The optimizer, the scheduler and the loaders are made once, for a single parameter.
"""

import contextlib
import copy
import dataclasses
import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments, get_scheduler
from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    get_available_reporting_integrations,
)
from transformers.utils.import_utils import is_liger_kernel_available

from gelora.errors import ConfigError, MissingExtraError
from gelora.hidden_states.devices import computes_fast_in

logger = logging.getLogger(__name__)

_STEPS = 10
_MAY_BE_INFINITE = frozenset({"max_grad_norm"})


def check_trainer(arguments: TrainingArguments) -> None:
    """Check what the Trainer itself checks only later.

    Raises:
        ConfigError: A number is out of its range, or a setting is not taken.
        MissingExtraError: A package is not installed.
    """
    _check_numbers(arguments)
    if arguments.fsdp and arguments.world_size < 2:
        raise ConfigError(
            "fsdp shares a model between processes, and there is one: start them with accelerate "
            "launch -m gelora, or leave it out."
        )
    _check_reporting(arguments)
    _check_parts(arguments)


def check_lora(settings: Mapping[str, Any]) -> None:
    """Try settings of `peft.LoraConfig`, without ranks and targets, on a small matrix.

    Raises:
        ConfigError: PEFT does not take the settings, or they would move ranks between modules.
    """
    if settings.get("init_lora_weights") == "eva":
        raise ConfigError(
            "init_lora_weights eva moves ranks between modules, which is what the plan decides: "
            "choose another."
        )
    if settings.get("target_parameters") and (
        settings.get("lora_dropout") or settings.get("use_dora")
    ):
        raise ConfigError(
            "PEFT adapts no target_parameters with lora_dropout or use_dora: leave these out."
        )
    of_models = ("modules_to_save", "target_parameters")
    tried = {name: value for name, value in settings.items() if name not in of_models}
    layer = nn.Sequential(nn.Linear(8, 8))
    try:
        inject_adapter_in_model(LoraConfig(r=2, target_modules=["0"], **tried), layer)
    except Exception as error:  # what PEFT raises differs from setting to setting
        raise ConfigError(f"PEFT does not take these flags of LoRA: {_said(error)}") from error


def avoid_slow_precision(arguments: TrainingArguments, *, dtype: str, has_head: bool) -> None:
    """Switch mixed precision off where the processor is slow in it.

    Args:
        arguments: The Trainer's arguments, which are changed in place.
        dtype: Number format of the weights, or "auto".
        has_head: Whether a new head is trained; LoRA's own weights are float32 by PEFT.

    Raises:
        ConfigError: Small training steps would be lost to rounding in this format.
    """
    is_mixed = arguments.bf16 or arguments.fp16
    if has_head and dtype in ("float16", "bfloat16") and not is_mixed:
        half = {"float16": "fp16", "bfloat16": "bf16"}[dtype]
        raise ConfigError(
            f"dtype {dtype} loses small training steps to rounding: give --dtype "
            f"float32, or add --{half} true to train in mixed precision."
        )
    if arguments.device.type != "cpu":
        return
    if dtype == "float16":
        raise ConfigError(
            "dtype float16 is not trained on a CPU, whose small steps it loses: give --dtype "
            "float32."
        )
    for name, mixed in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        is_slow = not computes_fast_in(mixed, arguments.device)
        if getattr(arguments, name) and is_slow and dtype != "bfloat16":
            setattr(arguments, name, False)
            logger.warning(
                "Warning: this processor does not compute in %s by itself, so training is in "
                "float32 in spite of --%s.",
                str(mixed).removeprefix("torch."),
                name,
            )


def _check_numbers(arguments: TrainingArguments) -> None:
    for field in dataclasses.fields(arguments):
        value = getattr(arguments, field.name)
        if isinstance(value, float) and not (
            math.isfinite(value) or (value > 0 and field.name in _MAY_BE_INFINITE)
        ):
            raise ConfigError(f"{field.name} must be a number. Got {value}.")
    for name in ("gradient_accumulation_steps", "eval_accumulation_steps"):
        count = getattr(arguments, name)
        if count is not None and count < 1:
            raise ConfigError(f"{name} must be at least 1. Got {count}.")
    if arguments.max_steps == 0 or (arguments.max_steps < 0 and arguments.num_train_epochs <= 0):
        raise ConfigError(
            f"max_steps {arguments.max_steps} and num_train_epochs {arguments.num_train_epochs:g} "
            "leave no step to train: give one of them above 0."
        )
    for name in ("save_steps", "logging_steps"):
        value = getattr(arguments, name)
        if value <= 0 and _name(getattr(arguments, name.replace("steps", "strategy"))) == "steps":
            raise ConfigError(f"{name} must be above 0. Got {value}.")
    not_negative = ("learning_rate", "weight_decay", "max_grad_norm", "eval_steps")
    for name in (*not_negative, "save_total_limit", "neftune_noise_alpha"):
        if (value := getattr(arguments, name)) is not None and value < 0:
            raise ConfigError(f"{name} must be 0 or more. Got {value}.")
    if not 0 <= arguments.label_smoothing_factor < 1:
        raise ConfigError(
            "label_smoothing_factor is a share, 0 or more and below 1. Got "
            f"{arguments.label_smoothing_factor}."
        )


def _check_reporting(arguments: TrainingArguments) -> None:
    installed = get_available_reporting_integrations()
    for name in arguments.report_to or ():
        if name in ("none", *installed):
            continue
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise ConfigError(f"report_to {name} is none of {known}, none and all: name one.")
        raise ConfigError(
            f"report_to {name} needs a package that is missing: pip install {name}; installed: "
            f"{', '.join(installed) or 'none'}."
        )


def _check_parts(arguments: TrainingArguments) -> None:
    """Make the optimizer, the scheduler and a loader, and look for what compiles and fuses."""
    if arguments.use_liger_kernel and not is_liger_kernel_available():
        raise MissingExtraError(
            "use_liger_kernel needs a package that is missing: pip install liger-kernel."
        )
    backend = arguments.torch_compile_backend
    backends = torch.compiler.list_backends(exclude_tags=())
    if backend is not None and backend not in backends:
        raise ConfigError(
            f"torch_compile_backend {backend} is none of {', '.join(backends)}: name one of these."
        )
    with _named("The loader of the rows does not take these dataloader_ flags"):
        DataLoader(
            [0],  # pyright: ignore[reportArgumentType]
            num_workers=arguments.dataloader_num_workers,
            prefetch_factor=arguments.dataloader_prefetch_factor,
            persistent_workers=arguments.dataloader_persistent_workers,
            pin_memory=arguments.dataloader_pin_memory,
        )
    optimizer = _optimizer(arguments)
    with _named(f"The schedule {_name(arguments.lr_scheduler_type)} does not take these flags"):
        get_scheduler(
            arguments.lr_scheduler_type,
            optimizer=optimizer,
            num_warmup_steps=arguments.get_warmup_steps(_STEPS),
            num_training_steps=_STEPS,
            scheduler_specific_kwargs=cast(
                "dict[str, Any] | None", copy.copy(arguments.lr_scheduler_kwargs)
            ),
        )


def _optimizer(arguments: TrainingArguments) -> torch.optim.Optimizer:
    """Return the optimizer for one parameter, or SGD in place of one that asks for the model."""
    parameter = nn.Parameter(torch.zeros(1))
    name = _name(arguments.optim)
    try:
        kind, settings = Trainer.get_optimizer_cls_and_kwargs(arguments)
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise MissingExtraError(f"optim {name} needs a package: {reason}") from error
    except Exception as error:
        if arguments.optim_args:
            raise ConfigError(f"optim {name} does not take optim_args: {_said(error)}") from error
        logger.debug("optim %s is checked when training begins: %s", name, error)
        return torch.optim.SGD([parameter], lr=arguments.learning_rate)
    settings.setdefault("weight_decay", arguments.weight_decay)
    with _named(f"The optimizer {name} does not take these flags"):
        return kind([parameter], **settings)


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Turn whatever a library raises into our error."""
    try:
        yield
    except Exception as error:  # each library raises its own
        raise ConfigError(f"{what}: {_said(error)}") from error


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _name(setting: Any) -> str:
    """Return the name of one of transformers' choices."""
    return str(getattr(setting, "value", setting))
