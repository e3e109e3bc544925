"""The whole model with the adapter merged into its weights: for whoever reads no adapters."""

from pathlib import Path

from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.errors import ModelMismatchError
from gelora.exports.folders import new_folder


def export_merged(
    adapter_folder: str | Path,
    destination: str | Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    overwrite: bool = False,
) -> Path:
    """Merge a saved adapter into its model, and save that with its tokenizer.

    Merging is done in the model's dtype, and the model that was given is the merged one
    afterwards: its weights are not kept twice.

    Args:
        adapter_folder: As PEFT saved it.
        destination: The new folder, for `from_pretrained`.
        model: What the adapter was trained on, unwrapped; its head, if it has one, is replaced by
            the adapter's.
        tokenizer: Of the model.
        overwrite: Replace a model that the destination holds.

    Returns:
        The destination.

    Raises:
        ModelMismatchError: The adapter fits another model.
        OutputExistsError: The destination holds something.
    """
    with new_folder(
        destination, holds="config.json", overwrite=overwrite, source=adapter_folder
    ) as folder:
        try:
            wrapped = PeftModel.from_pretrained(model, str(adapter_folder))
        except (RuntimeError, ValueError) as error:  # other shapes, or no such modules
            raise ModelMismatchError(
                f"The adapter in {adapter_folder} does not fit this {model.config.model_type} "
                f"model: name the model it was trained on. PEFT says: {error}"
            ) from error
        wrapped.merge_and_unload().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return Path(destination)
