"""Pass flags on to transformers and PEFT, and refuse flags that would fail during training.

Hugging Face's own parser reads `transformers.TrainingArguments`, or for instruction tuning
`trl.SFTConfig`.
"""

import copy
import logging
import warnings
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from transformers import HfArgumentParser, TrainingArguments
from transformers.trainer_utils import SaveStrategy

from gelora.checkpoints import find_checkpoint
from gelora.cli import loading
from gelora.cli.config import Config, flags_of
from gelora.cli.console import shows_progress
from gelora.cli.parsing import training_fields, unknown_flag
from gelora.cli.values import as_arguments, as_mapping
from gelora.errors import ConfigError
from gelora.hub import check_token
from gelora.tasks import TaskData
from gelora.tasks.known import less_is_better
from gelora.tasks.train import arguments_type, check_arguments, check_metric, check_steps
from gelora.training.checks import avoid_slow_precision, check_lora, check_trainer

logger = logging.getLogger(__name__)

PUSHING = frozenset({"push_to_hub", "hub_model_id", "hub_private_repo"})
"""Flags of the Trainer for the push of the finished adapter, which do not change it."""

# Flags of the training group that the Trainer's arguments do not have.
OURS = frozenset({"resume_from_checkpoint", "early_stopping_patience", "dimension_steps"})

# Flags of the Trainer that do not change the trained weights.
_AROUND = frozenset(
    {"eval_strategy", "eval_steps", "save_strategy", "save_steps", "save_total_limit"}
    | {"logging_steps", "logging_strategy", "report_to", "run_name", "use_cpu", "disable_tqdm"}
)


def training_arguments(config: Config) -> TrainingArguments:
    """Return the arguments of the Trainer: our training flags and the flags that are passed on.

    For instruction tuning they are TRL's SFTConfig with the defaults of TrainingArguments, so that
    every problem is trained in the same way.

    Raises:
        ConfigError: The Trainer does not know a flag or does not take its value.
        MissingExtraError: The arguments are TRL's, and TRL is not installed.
    """
    arguments_class = arguments_type(config.problem)
    flags = {name: v for name, v in asdict(config.training).items() if name not in OURS}
    values = {
        **flags,
        **_early_stopping(config),
        **_like_other_problems(config),
        "per_device_eval_batch_size": config.evaluation.per_device_eval_batch_size,
        "output_dir": str(config.folder),
        "seed": config.run.seed,
        "disable_tqdm": not shows_progress(config.run),
        "ddp_find_unused_parameters": False,  # all of an adapter is used; seeking costs time
        "use_cpu": not torch.accelerator.is_available(),  # or processes would not meet over gloo
        **config.extra,
    }
    parser = HfArgumentParser(arguments_class, allow_abbrev=False, exit_on_error=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            arguments, rest = parser.parse_args_into_dataclasses(
                as_arguments(values), return_remaining_strings=True, look_for_args_file=False
            )
        except Exception as error:  # transformers checks its flags in many ways
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"{arguments_class.__name__} does not take these flags: {reason}"
            ) from error
    for warning in caught:  # about flags that transformers is about to remove
        logger.warning("Warning: %s", warning.message)
    for name in as_mapping(rest):
        raise unknown_flag(name, {*flags_of("run"), *training_fields(config.problem)})
    check_trainer(arguments)
    avoid_slow_precision(
        arguments, dtype=config.model.dtype, has_head=config.problem != "instruction_tuning"
    )
    if config.training.early_stopping_patience is not None and not arguments.load_best_model_at_end:
        raise ConfigError(
            f"early_stopping_patience {config.training.early_stopping_patience} keeps the best "
            "checkpoint, and load_best_model_at_end is false: leave out one of the two."
        )
    check_arguments(arguments, config.problem)
    _check_pushing(config, arguments)
    return arguments


def settings_for_trainer(config: Config, arguments: TrainingArguments) -> dict[str, Any]:
    """Return the Trainer's arguments that change the trained weights, but for the seed."""
    names = {*asdict(config.training), *config.extra, *_like_other_problems(config)}
    kept = sorted(names - OURS - PUSHING - _AROUND)
    values = {name: getattr(arguments, name) for name in kept}
    return {k: value.value if isinstance(value, Enum) else value for k, value in values.items()}


def _like_other_problems(config: Config) -> dict[str, Any]:
    """Return arguments in which the defaults of SFTConfig differ from TrainingArguments."""
    if config.problem != "instruction_tuning":
        return {}
    recompute = config.extra.get("gradient_checkpointing", False)
    # transformers has the second name from 5.23 on, and both until 6.
    names = {"gradient_checkpointing", "activation_checkpointing"} & training_fields(config.problem)
    return {
        "bf16": False,
        **dict.fromkeys(sorted(names), recompute),
        "max_length": config.data.max_length,
    }


def _early_stopping(config: Config) -> dict[str, Any]:
    """Return the arguments that early stopping needs: the best checkpoint and a resumed count."""
    if config.training.early_stopping_patience is None:
        return {}
    return {"load_best_model_at_end": True, "restore_callback_states_from_checkpoint": True}


def checked_inputs(
    config: Config, *, labels_required: bool = True
) -> tuple[TrainingArguments, TaskData]:
    """Return the Trainer's arguments and the data, after all checks of both.

    Raises:
        ConfigError: A flag is not taken, or not with these data.
        DataError: The data cannot be used.
    """
    check_training(config)
    arguments = training_arguments(config)
    data = loading.load_data(config, labels_required=labels_required)
    check_metric(arguments, data)
    check_steps(arguments, data)
    check_replies(arguments, config, data)
    return arguments, data


def for_the_trainer(
    arguments: TrainingArguments, config: Config, data: TaskData
) -> TrainingArguments:
    """Return the arguments with the metric that chooses the best checkpoint, and without a push.

    The metric is the task's headline metric unless another is named. The push to the Hub follows
    after training.
    """
    arguments = copy.copy(arguments)
    arguments.push_to_hub = False
    wants_best = arguments.load_best_model_at_end or arguments.save_strategy == SaveStrategy.BEST
    if wants_best and "metric_for_best_model" not in config.extra:
        arguments.metric_for_best_model = data.headline_metric
    metric = arguments.metric_for_best_model
    if metric is not None and "greater_is_better" not in config.extra:
        # Where a metric is named, transformers itself knows of losses alone that less is better.
        arguments.greater_is_better = not less_is_better(metric)
    return arguments


def check_replies(arguments: TrainingArguments, config: Config, data: TaskData) -> None:
    """Check that the chat template marks the replies, if the loss is of replies alone.

    Raises:
        ConfigError: The template does not, or there are no replies.
    """
    if data.problem == "instruction_tuning":
        from gelora.tasks.instruction_tuning import trainer  # which needs TRL

        trainer.check_replies(loading.tokenizer_of(config), data, arguments)


def lora_arguments(config: Config) -> dict[str, Any]:
    """Return the arguments of LoraConfig that the ranks leave open."""
    flags = {name: value for name, value in asdict(config.lora).items() if value is not None}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in flags.items()}


def check_training(config: Config) -> None:
    """Check the checkpoint to resume from and the settings of LoRA.

    Raises:
        ArtifactError: The folder is not a checkpoint.
        ConfigError: PEFT does not take the settings.
    """
    if isinstance(config.resume, str):
        find_checkpoint(config.folder, Path(config.resume))
    check_lora(lora_arguments(config))


def _check_pushing(config: Config, arguments: TrainingArguments) -> None:
    """Check before training that the adapter can be pushed to the Hub."""
    if "hub_token" in config.extra:
        raise ConfigError(
            "hub_token would be kept in the run's config.yaml: leave it out, and set HF_TOKEN."
        )
    others = [name for name in config.extra if name.startswith("hub_") and name not in PUSHING]
    if others:
        raise ConfigError(
            f"{others[0]} is not taken: the adapter is pushed once, when training has ended, with "
            "--push_to_hub, --hub_model_id and --hub_private_repo alone."
        )
    if arguments.push_to_hub:
        check_token(arguments.hub_model_id or config.folder.name)
