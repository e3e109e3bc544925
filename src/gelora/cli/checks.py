"""Refuse flags that nothing could be done with, before anything is loaded or measured.

What can be said of the flags alone, without torch; `forwarding.py` and `rules.py` check the rest.
"""

from collections.abc import Mapping
from typing import Any

from gelora.cli.config import READING, SOURCE, Config, values_of
from gelora.cli.record import check_folder
from gelora.errors import ConfigError

MAX_SEED = 2**32 - 1  # NumPy's
COUNTS = (
    *("num_samples", "measure_batch_tokens", "max_length"),
    *("per_device_train_batch_size", "per_device_eval_batch_size"),
    *("early_stopping_patience", "dimension_steps", "processes"),
    *("jacobian_samples", "jacobian_rank", "fisher_samples"),
)


def check_flags(verb: str, config: Config) -> None:
    """Check the flags that any verb has, and the folder that a run writes its own files to.

    Raises:
        ConfigError: A number is out of its range, or two flags contradict each other.
        OutputExistsError: The folder holds what no run wrote.
    """
    values = values_of(config, verb)
    for name in COUNTS:
        value = values.get(name)
        if value is not None and value < 1:
            raise ConfigError(f"{name} must be at least 1. Got {value}.")
    if not 0 <= config.run.seed <= MAX_SEED:
        raise ConfigError(f"seed must lie between 0 and {MAX_SEED}. Got {config.run.seed}.")
    precision = config.measurement.precision
    if precision is not None and not precision >= 0:
        raise ConfigError(f"precision must be 0 or more dimensions. Got {precision}.")
    if config.measurement.hidden_states is not None:
        _check_kept_states(verb, config, values)
    if not 0 <= config.lora.lora_dropout < 1:
        raise ConfigError(
            f"lora_dropout is a share, 0 or more and below 1. Got {config.lora.lora_dropout}."
        )
    if config.ranks.rank_rule == "paper" and config.ranks.budget is not None:
        raise ConfigError(
            f"rank_rule paper spends no budget, and one of {config.ranks.budget} is given: leave "
            "out one of the two."
        )
    if not 0 < config.theory.tolerance < 1:
        raise ConfigError(
            "tolerance is a share of the largest singular value, above 0 and below 1. Got "
            f"{config.theory.tolerance}."
        )
    if config.model.load_in_4bit and config.model.load_in_8bit:
        raise ConfigError(
            "--load_in_4bit and --load_in_8bit are both given: leave out one of the two."
        )
    training = config.training
    if training.early_stopping_patience is not None and (
        training.eval_strategy == "no"
        or training.save_strategy not in (training.eval_strategy, "best")
    ):
        raise ConfigError(
            f"early_stopping_patience {training.early_stopping_patience} keeps the best of the "
            "checkpoints that were evaluated, so eval_strategy and save_strategy must be the same, "
            f"epoch or steps. Got {training.eval_strategy} and {training.save_strategy}."
        )
    if config.run.overwrite and config.resume is not None:
        raise ConfigError(
            "--overwrite removes the checkpoints that --resume_from_checkpoint "
            f"{config.training.resume_from_checkpoint} would go on from: leave out one of the two."
        )
    if verb not in ("evaluate", "export", "compare-profiles") and not config.run.overwrite:
        check_folder(config.folder)


def _check_kept_states(verb: str, config: Config, values: Mapping[str, Any]) -> None:
    if verb != "measure":
        raise ConfigError(
            f"--hidden_states {config.measurement.hidden_states} is for gelora measure: measure, "
            "and then plan and train in the same --output_dir."
        )
    decided = (READING | SOURCE | {"seed"}) & config.named
    given = [name for name in values if name in decided]
    if given:
        raise ConfigError(
            f"--{given[0]} {values[given[0]]} was decided when the states in "
            f"{config.measurement.hidden_states} were kept: leave it out, or --hidden_states."
        )
    if config.run.output_dir is None:
        raise ConfigError(
            "--hidden_states needs an --output_dir: the folder that the states lie in holds the "
            "profile that was measured with them."
        )
