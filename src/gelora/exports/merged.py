"""The whole model with the adapter merged into its weights: for whoever reads no adapters."""

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.artifacts import PLAN_FILE
from gelora.errors import ModelMismatchError, RankError
from gelora.exports.folders import new_folder
from gelora.exports.saved import read_adapter
from gelora.hidden_states.architectures import check_fingerprint
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
        RankError: The merged model does not compute what the adapter does.
    """
    with new_folder(
        destination, holds="config.json", overwrite=overwrite, source=adapter_folder
    ) as folder:
        adapted = _adapted(model, Path(adapter_folder))
        expected = _outputs(adapted)
        with adapted.disable_adapter():
            base = _outputs(adapted)
        moved = _distance(base, expected)
        merged: Any = adapted.merge_and_unload()
        _check_same(_outputs(merged), expected, moved=moved, dtype=merged.dtype)
        merged.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return Path(destination)


def _outputs(model: Any) -> list[Tensor]:
    """Return what a model computes of some random tokens, in float32."""
    generator = torch.Generator().manual_seed(0)
    size = (2, 12)
    tokens = torch.randint(
        4, model.get_input_embeddings().num_embeddings, size, generator=generator
    )
    inputs = {"input_ids": tokens.to(model.device)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = inputs["input_ids"]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        outputs = model(**inputs)
    model.train(was_training)
    found = [value for value in outputs.to_tuple() if isinstance(value, Tensor)]
    return [value.float() for value in found if value.is_floating_point()][:2]


def _distance(outputs: list[Tensor], others: list[Tensor]) -> float:
    pairs = zip(outputs, others, strict=True)
    return max((one - other).abs().max().item() for one, other in pairs)


def _check_same(
    outputs: list[Tensor], expected: list[Tensor], *, moved: float, dtype: torch.dtype
) -> None:
    """Check that merging changed no output by more than rounding, or a share of what it moves."""
    is_half = dtype in (torch.float16, torch.bfloat16)
    size = max(values.abs().max().item() for values in expected)
    allowed = (16 if is_half else 2000) * torch.finfo(dtype).eps * size
    allowed += (0.1 if is_half else 1e-3) * moved
    difference = _distance(outputs, expected)
    if not difference <= allowed:
        raise RankError(
            f"Merged, the model's outputs differ from the adapter's by {difference:.2g}, and the "
            f"adapter moves them by {moved:.2g}, so nothing is written: modules may share a "
            "weight. Serve the adapter as it is."
        )


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
