"""A plan for other trainers: the adapter before training, or its adapter_config.json alone."""

from pathlib import Path

from peft import LoraConfig, PeftModel

from gelora.adapters import verify_saved_ranks
from gelora.exports.folders import new_folder
from gelora.exports.saved import CONFIG_NAME
from gelora.ranks import RankPlan


def export_untrained(
    model: PeftModel, destination: str | Path, plan: RankPlan, *, overwrite: bool = False
) -> Path:
    """Save an adapter that was not trained yet, for trainers that go on with a folder.

    Args:
        model: Wrapped with `lora_config(model, plan)`.
        destination: The new folder, for `PeftModel.from_pretrained(..., is_trainable=True)`.
        plan: The ranks, checked in the files that were written and kept beside them.
        overwrite: Replace an adapter that the destination holds.

    Returns:
        The destination.

    Raises:
        OutputExistsError: The destination holds something.
        RankError: The adapter has other ranks than the plan.
    """
    with new_folder(destination, holds=CONFIG_NAME, overwrite=overwrite) as folder:
        # "auto" would ask the Hub whether the vocabulary has grown.
        model.save_pretrained(str(folder), save_embedding_layers=False)
        verify_saved_ranks(folder, plan)
        plan.save_pretrained(folder)
    return Path(destination)


def export_peft_config(
    config: LoraConfig, destination: str | Path, *, overwrite: bool = False
) -> Path:
    """Save adapter_config.json alone: for `LoraConfig.from_pretrained`, or PEFT's own comparison.

    Args:
        config: As `lora_config` made it.
        destination: The new folder.
        overwrite: Replace a configuration that the destination holds.

    Raises:
        OutputExistsError: The destination holds something.
    """
    with new_folder(destination, holds=CONFIG_NAME, overwrite=overwrite) as folder:
        config.save_pretrained(str(folder))
    return Path(destination)
