"""The class of a Trainer's arguments: TRL's own for instruction tuning."""

from typing import Any

from transformers import TrainingArguments

from gelora.errors import MissingExtraError


def arguments_type(problem: str | None) -> Any:
    """Return the class that a Trainer's flags are read as.

    Raises:
        MissingExtraError: It is TRL's, which is not installed.
    """
    if problem != "instruction_tuning":
        return TrainingArguments
    try:
        from trl.trainer.sft_config import SFTConfig  # noqa: PLC0415 - TRL is an extra
    except ImportError as error:
        raise MissingExtraError(
            "Instruction tuning needs TRL, which is not installed: pip install 'gelora[sft]'."
        ) from error
    return SFTConfig
