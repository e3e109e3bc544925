"""The factors of an adapter in a model in memory."""

from peft import PeftModel

from gelora.adapters import lora_layers
from gelora.exports.saved import Factors


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
