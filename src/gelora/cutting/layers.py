"""The adapted layers of a model in memory."""

from typing import Any

from peft import PeftModel
from peft.tuners.lora import LoraLayer

from gelora.exports.saved import Factors


def lora_layers(model: PeftModel, adapter_name: str) -> dict[str, Any]:
    """Return the layers of `peft.tuners.lora.LoraLayer` that an adapter has, by their paths."""
    return {
        name: layer
        for name, layer in model.get_base_model().named_modules()
        if isinstance(layer, LoraLayer) and adapter_name in layer.lora_A
    }


def live_factors(model: PeftModel, adapter_name: str) -> dict[str, Factors]:
    """Return the factors of every adapted layer; writing to them changes the model."""
    return {
        name: Factors(
            layer.lora_A[adapter_name].weight.data,
            layer.lora_B[adapter_name].weight.data,
            layer.scaling[adapter_name],
        )
        for name, layer in lora_layers(model, adapter_name).items()
    }
