"""Pass on to `transformers.TrainingArguments` what is not ours, by Hugging Face's own parser."""

import argparse
import logging
import warnings
from dataclasses import asdict
from typing import Any

from transformers import HfArgumentParser, TrainingArguments

from gelora.cli.config import Config, flags_of
from gelora.cli.console import shows_progress
from gelora.cli.parsing import training_fields, unknown_flag
from gelora.cli.values import as_arguments, as_mapping
from gelora.errors import ConfigError

logger = logging.getLogger(__name__)


def training_arguments(config: Config) -> TrainingArguments:
    """Return the arguments of the Trainer: our training flags and all that are passed on.

    Raises:
        ConfigError: A flag is unknown there too, or a value is not one that it takes.
    """
    flags = asdict(config.training)
    del flags["resume_from_checkpoint"]  # it says where to begin, and is an argument of train()
    given = {
        **flags,
        "per_device_eval_batch_size": config.evaluation.per_device_eval_batch_size,
        "output_dir": str(config.folder),
        "seed": config.run.seed,
        "disable_tqdm": not shows_progress(config.run),
        **config.extra,
    }
    fields: Any = TrainingArguments  # a dataclass, decorated beyond pyright's view
    parser = HfArgumentParser(fields, allow_abbrev=False, exit_on_error=False)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            arguments, rest = parser.parse_args_into_dataclasses(
                as_arguments(given), return_remaining_strings=True, look_for_args_file=False
            )
        except (argparse.ArgumentError, ValueError, ImportError) as error:
            raise ConfigError(f"TrainingArguments does not take these flags: {error}") from error
    for warning in said:  # of flags on their way out: for the one who gave them
        logger.warning("Warning: %s", warning.message)
    for name in as_mapping(rest):
        raise unknown_flag(name, {*flags_of("run"), *training_fields()})
    return arguments
