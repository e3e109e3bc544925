"""One forward pass of the backbone, without a head, gradients or dropout."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeGuard, cast

import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from gelora.errors import ArchitectureError, DataError
from gelora.hidden_states.architectures import input_embedding


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch off dropout and gradients, and give every submodule its own mode back.

    Under `no_grad`, not `inference_mode`: what a model caches must serve training later.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def forward_inputs(backbone: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what the backbone's forward takes, on the device of its embeddings.

    Args:
        backbone: The model without its head.
        batch: What is not taken (`labels`) is left out. For an encoder-decoder without
            `decoder_input_ids` the decoder reads the same tokens, shifted to the right.

    Raises:
        ArchitectureError: A decoder has no start token, or the model reads no tokens.
        DataError: A sequence has no real token.
    """
    known = inspect.signature(backbone.forward).parameters
    if "input_ids" in batch and "input_ids" not in known:
        raise ArchitectureError(
            f"{type(backbone).__name__} reads {next(iter(known), 'nothing')}, not tokens: give a "
            "model of texts, or batches of this model's inputs."
        )
    device = input_embedding(backbone).device
    inputs: dict[str, Any] = {
        # Weights offloaded by accelerate are on meta: its own hooks then move the inputs.
        name: values if device.type == "meta" else values.to(device)
        for name, values in batch.items()
        if name in known
    }
    if "attention_mask" in batch:
        lengths = batch["attention_mask"].sum(dim=1).tolist()
        if 0 in lengths:
            raise DataError(
                f"{lengths.count(0)} of {len(lengths)} sequences of a batch have no real token, "
                f"the first in row {lengths.index(0)}: leave them out."
            )
    # An encoder alone has the config of both, and no such argument.
    lacks_decoder_inputs = "decoder_input_ids" in known and "decoder_input_ids" not in inputs
    if _is_encoder_decoder(backbone) and lacks_decoder_inputs:
        inputs |= _decoder_inputs(backbone, inputs)
    if "use_cache" in known:
        inputs["use_cache"] = False
    return inputs


def first_tokens(batch: Mapping[str, Tensor], num_tokens: int) -> dict[str, Tensor]:
    """Cut a batch to its first sequence, and a sequence of tokens to its first real ones.

    Images and audio are not cut: a model may need all of one.
    """
    first = {name: values[:1] for name, values in batch.items()}
    if "attention_mask" not in batch or not {"input_ids", "inputs_embeds"} & batch.keys():
        return first
    mask = first["attention_mask"]
    real = mask[0].nonzero()[:num_tokens, 0]
    return {
        name: values[:, real] if values.shape[:2] == mask.shape[:2] else values
        for name, values in first.items()
    }


def run_forward(backbone: nn.Module, inputs: Mapping[str, Any]) -> None:
    """Run the blocks on what `forward_inputs` gave, and no head.

    Raises:
        ArchitectureError: The model does not run on the inputs.
    """
    try:
        _run(backbone, inputs)
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ArchitectureError(
            f"{type(backbone).__name__} does not run on these inputs ({type(error).__name__}: "
            f"{reason[:200]}): give inputs of a kind and length that it takes, or another model."
        ) from error


def _run(backbone: nn.Module, inputs: Mapping[str, Any]) -> None:
    if not (_is_encoder_decoder(backbone) and backbone.get_output_embeddings()):
        backbone(**inputs)
        return
    # T5's conditional generation has no backbone apart, and its head would make logits of
    # batch x tokens x vocabulary: run the two parts.
    mask = inputs.get("attention_mask")
    encoded = backbone.get_encoder()(input_ids=inputs["input_ids"], attention_mask=mask)
    backbone.get_decoder()(
        input_ids=inputs["decoder_input_ids"],
        attention_mask=inputs.get("decoder_attention_mask"),
        encoder_hidden_states=encoded.last_hidden_state,
        encoder_attention_mask=mask,
        use_cache=False,
    )


def _is_encoder_decoder(backbone: nn.Module) -> TypeGuard[PreTrainedModel]:
    return isinstance(backbone, PreTrainedModel) and backbone.config.is_encoder_decoder


def _decoder_inputs(
    backbone: PreTrainedModel, inputs: Mapping[str, Tensor]
) -> dict[str, Int[Tensor, "batch tokens"]]:
    """Shift each sequence one to the right, within its real tokens, behind the start token."""
    start = backbone.config.decoder_start_token_id
    if "input_ids" not in inputs:
        raise ArchitectureError(
            f"The decoder of {type(backbone).__name__} reads tokens, and the batches have none: "
            "put decoder_input_ids into them, or give the encoder alone, model.get_encoder()."
        )
    if start is None:
        raise ArchitectureError(
            f"{type(backbone).__name__} has no decoder_start_token_id in its config: set it, or "
            "pass decoder_input_ids."
        )
    tokens = inputs["input_ids"]
    mask = inputs.get("attention_mask", torch.ones_like(tokens))
    shifted = tokens.roll(1, dims=1)
    shifted[torch.arange(len(tokens)), mask.int().argmax(dim=1)] = cast("int", start)
    return {"decoder_input_ids": shifted, "decoder_attention_mask": mask}
