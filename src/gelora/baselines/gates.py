"""LoRA with a number between A and B for every rank, W + s B diag(g) A, and how it becomes plain.

What SoRA and IncreLoRA have in common. The product diag(g) A stands in the place of A in PEFT's
LoRA, as a parametrisation of A's weight, so everything else is PEFT's. What becomes of the numbers
in training is each method's own.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from peft import LoraConfig, PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import PreTrainedModel

from gelora.baselines.method import Setting, Size
from gelora.baselines.uniform import adapted_modules, uniform_lora
from gelora.ranks.plan import whole

ADAPTER = "default"


class Gates(nn.Module):
    """A number for every rank, which multiplies its row of A.

    Attributes:
        values: The numbers, trained.
    """

    def __init__(self, values: Float[Tensor, " rank"]) -> None:
        super().__init__()
        self.values = nn.Parameter(values)

    def forward(self, a: Float[Tensor, "rank width"]) -> Float[Tensor, "rank width"]:
        """Return the A that the model computes with."""
        return self.values[:, None] * a

    def is_kept(self) -> Bool[Tensor, " rank"]:
        """Tell which ranks the plain adapter keeps."""
        return self.values != 0


@dataclass(frozen=True)
class GatedLayer:
    """One adapted module.

    Attributes:
        name: Its path in the model.
        layer: PEFT's own.
        gates: Between its A and B.
        a: The A that is trained, before the gates.
        b: The B that is trained.
    """

    name: str
    layer: LoraLayer
    gates: Gates
    a: Float[Tensor, "rank width"]
    b: Float[Tensor, "width rank"]

    @property
    def cost(self) -> int:
        """Parameters of one rank."""
        return self.a.shape[1] + self.b.shape[0]

    def update(self) -> Float[Tensor, "out in"]:
        """Return what is added to the module's weight."""
        return self.layer.scaling[ADAPTER] * self.b @ self.gates(self.a)


def whole_ranks(model: PreTrainedModel, budget: int, setting: Setting) -> Size:
    """Return how many ranks, in all modules together, are nearest to the budget.

    Which modules they end up in is not known before training. If modules differ in what a rank
    costs, `parameters` are those of the mean.
    """
    modules = adapted_modules(model, setting)
    cost = sum(module.in_features + module.out_features for module in modules) / len(modules)
    value = max(math.ceil(budget / cost - 0.5), 1)
    return Size(value, round(value * cost))


def gated_lora(
    model: PreTrainedModel, rank: int, setting: Setting, gates: Callable[[int], Gates]
) -> PeftModel:
    """Put LoRA of one rank on a model, with gates between its A and B.

    Args:
        model: With its new head, which is trained whole.
        rank: Of every module.
        setting: Which modules, and their scale.
        gates: Makes those of one module from the rank.
    """
    wrapped = uniform_lora(model, rank, setting)
    for layer in _lora_layers(wrapped).values():
        a = layer.lora_A[ADAPTER]
        parametrize.register_parametrization(a, "weight", gates(rank).to(a.weight.device))
    return wrapped


def gated_layers(model: PeftModel) -> Iterator[GatedLayer]:
    """Yield the adapted modules in the model's order."""
    for name, layer in _lora_layers(model).items():
        (gates,) = layer.lora_A[ADAPTER].parametrizations.weight
        original = layer.lora_A[ADAPTER].parametrizations.weight.original
        yield GatedLayer(name, layer, gates, a=original, b=layer.lora_B[ADAPTER].weight)


@torch.no_grad()
def pruned(model: PeftModel) -> PeftModel:
    """Turn a gated adapter into a plain one of the ranks that are kept, in place.

    The gates are multiplied into A. The scale stays what it was in every module, and a module that
    keeps no rank is as it was before it was adapted.
    """
    base = model.get_base_model()
    ranks: dict[str, int] = {}
    for one in list(gated_layers(model)):
        kept = one.gates.is_kept()
        if not kept.any():
            base.set_submodule(one.name, one.layer.get_base_layer())
            continue
        a, b = one.layer.lora_A[ADAPTER], one.layer.lora_B[ADAPTER]
        parametrize.remove_parametrizations(a, "weight", leave_parametrized=True)
        a.weight.data, b.weight.data = a.weight[kept].clone(), b.weight[:, kept].clone()
        ranks[one.name] = a.out_features = b.in_features = int(kept.sum())
        one.layer.r[ADAPTER] = ranks[one.name]
        one.layer.lora_alpha[ADAPTER] = whole(one.layer.scaling[ADAPTER] * ranks[one.name])
    _write_ranks(model.peft_config[ADAPTER], ranks)
    return model


def _write_ranks(config: LoraConfig, ranks: dict[str, int]) -> None:
    scale = config.lora_alpha / config.r
    largest = max(ranks.values())
    smaller = {re.escape(name): rank for name, rank in ranks.items() if rank != largest}
    config.r, config.lora_alpha = largest, whole(scale * largest)
    config.rank_pattern = smaller
    config.alpha_pattern = {key: whole(scale * rank) for key, rank in smaller.items()}
    config.target_modules = sorted(ranks)


def _lora_layers(model: PeftModel) -> dict[str, LoraLayer]:
    return {
        name: module
        for name, module in model.get_base_model().named_modules()
        if isinstance(module, LoraLayer)
    }
