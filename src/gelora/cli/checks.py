"""Refuse flags that nothing could be done with, before anything is loaded or measured.

What can be said of the flags alone, without torch; `forwarding.py` and `ranks.py` check the rest.
"""

from dataclasses import asdict

from gelora.cli.config import VERBS, Config
from gelora.cli.record import check_folder
from gelora.errors import ConfigError

MAX_SEED = 2**32 - 1  # NumPy's
COUNTS = (
    *("num_samples", "measure_batch_size", "max_length"),
    *("per_device_train_batch_size", "per_device_eval_batch_size"),
)


def check_flags(verb: str, config: Config) -> None:
    """Check the flags that any verb has, and the folder that all but `evaluate` write to.

    Raises:
        ConfigError: A number is out of its range, or two flags contradict each other.
        OutputExistsError: The folder holds what no run wrote.
    """
    values = {
        k: v for group in VERBS[verb].groups for k, v in asdict(getattr(config, group)).items()
    }
    for name in COUNTS:
        if values.get(name, 1) < 1:
            raise ConfigError(f"{name} must be at least 1. Got {values[name]}.")
    if not 0 <= config.run.seed <= MAX_SEED:
        raise ConfigError(f"seed must lie between 0 and {MAX_SEED}. Got {config.run.seed}.")
    if not 0 <= config.lora.lora_dropout < 1:
        raise ConfigError(
            f"lora_dropout is a share, 0 or more and below 1. Got {config.lora.lora_dropout}."
        )
    if config.ranks.rank_rule == "paper" and config.ranks.budget is not None:
        raise ConfigError(
            f"rank_rule paper spends no budget, and one of {config.ranks.budget} is given: leave "
            "out one of the two."
        )
    if config.run.overwrite and config.resume is not None:
        raise ConfigError(
            "--overwrite removes the checkpoints that --resume_from_checkpoint "
            f"{config.training.resume_from_checkpoint} would go on from: leave out one of the two."
        )
    if verb != "evaluate" and not config.run.overwrite:
        check_folder(config.folder)
