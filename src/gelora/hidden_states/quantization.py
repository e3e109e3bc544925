"""Frozen weights in 4 or 8 bits, by bitsandbytes: how to quantise them, and which to leave."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Literal

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel

from gelora.errors import MissingExtraError

Bits = Literal[4, 8]


def quantization_config(
    bits: Bits, *, compute_dtype: torch.dtype, skip_modules: Sequence[str]
) -> BitsAndBytesConfig:
    """Return how bitsandbytes is to quantise: in 4 bits as QLoRA does (NF4, constants, too).

    Args:
        bits: 4 or 8.
        compute_dtype: Of the products with weights of 4 bits.
        skip_modules: Names of modules that stay as they are, such as a head to be trained.

    Raises:
        MissingExtraError: bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise MissingExtraError(
            f"Loading a model in {bits} bits needs bitsandbytes, which is not installed: "
            "pip install 'gelora[quantization]'."
        )
    skipped = list(skip_modules)
    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skipped)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
        llm_int8_skip_modules=skipped,
    )


def keep_gradients(model: PreTrainedModel) -> None:
    """Keep bitsandbytes from repacking weights of 4 bits where a CPU knows AVX-512 BF16.

    It does so at the first evaluation, for good, and no gradient passes what it makes of them:
    adapters trained after it would learn nothing. (As of bitsandbytes 0.50.)
    """
    from bitsandbytes.nn.modules import Linear4bit  # noqa: PLC0415 - an extra, which is there by now

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
