"""The whole model with the adapter merged into its weights: for whoever reads no adapters."""

from pathlib import Path

from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.artifacts import PLAN_FILE
from gelora.errors import ModelMismatchError
from gelora.exports.folders import new_folder
from gelora.exports.saved import read_adapter
from gelora.model.architectures import check_fingerprint
from gelora.ranks import RankPlan


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
        ModelMismatchError: The adapter, or the plan beside it, is another model's.
        OutputExistsError: The destination holds something.
    """
    with new_folder(
        destination, holds="config.json", overwrite=overwrite, source=adapter_folder
    ) as folder:
        _adapted(model, Path(adapter_folder)).merge_and_unload().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return Path(destination)


def _adapted(model: PreTrainedModel, folder: Path) -> PeftModel:
    """Load the adapter, and see that it is this model's: PEFT passes over layers it lacks."""
    if (folder / PLAN_FILE).is_file():
        check_fingerprint(model, RankPlan.from_pretrained(folder).fingerprint)
    misfit = (
        f"The adapter in {folder} does not fit this {model.config.model_type} model: name the "
        "model it was trained on."
    )
    try:
        wrapped = PeftModel.from_pretrained(model, str(folder))
    except (RuntimeError, ValueError) as error:  # other shapes, or no such modules at all
        raise ModelMismatchError(f"{misfit} PEFT says: {error}") from error
    modules = dict(wrapped.get_base_model().named_modules())
    for name in read_adapter(folder).factors():
        if not isinstance(modules.get(name), LoraLayer):
            raise ModelMismatchError(f"{misfit} It has no module {name}.")
    return wrapped
