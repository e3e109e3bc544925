"""LoRA with a number between A and B for every rank, W + s B diag(g) A, and how it becomes plain.

What SoRA and IncreLoRA have in common. The product diag(g) A stands in the place of A in PEFT's
LoRA, as a parametrisation of A's weight, so everything else is PEFT's. What becomes of the numbers
in training is each method's own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import PreTrainedModel

from gelora.adapters import lora_layers
from gelora.cutting.live import replace_factors
from gelora.lab.baselines.method import Setting, Size
from gelora.lab.baselines.uniform import adapted_modules, largest_rank, uniform_lora

ADAPTER = "default"


class Gates(nn.Module):
    """A number for every rank, which multiplies its row of A.

    They are a column, as all that is kept beside them: PEFT takes an A of one axis for a part of
    one, and warns of it in every checkpoint.

    Attributes:
        values: The numbers, trained.
    """

    def __init__(self, values: Float[Tensor, "rank 1"]) -> None:
        super().__init__()
        self.values = nn.Parameter(values)

    def forward(self, a: Float[Tensor, "rank width"]) -> Float[Tensor, "rank width"]:
        """Return the A that the model computes with."""
        return self.values * a

    def is_kept(self) -> Bool[Tensor, "rank 1"]:
        """Tell which ranks the plain adapter keeps."""
        return self.values != 0


@dataclass(frozen=True)
class GatedLayer:
    """One adapted module.

    Attributes:
        name: Its path in the model.
        layer: PEFT's, around the module.
        down: Holds A, and the gates.
        up: Holds B.
    """

    name: str
    layer: LoraLayer
    down: nn.Linear
    up: nn.Linear

    @property
    def gates(self) -> Gates:
        """What A is multiplied by."""
        return cast("Any", self.down).parametrizations.weight[0]

    @property
    def a(self) -> Float[Tensor, "rank in"]:
        """The A that is trained, before the gates."""
        return cast("Any", self.down).parametrizations.weight.original

    @property
    def b(self) -> Float[Tensor, "out rank"]:
        """The B that is trained."""
        return self.up.weight

    @property
    def cost(self) -> int:
        """Parameters of one rank."""
        return self.down.in_features + self.up.out_features

    @property
    def scale(self) -> float:
        """What multiplies B diag(g) A."""
        return self.layer.scaling[ADAPTER]


def whole_ranks(model: PreTrainedModel, budget: int, setting: Setting) -> Size:
    """Return how many ranks, in all modules together, are nearest to the budget.

    Which modules they end up in is not known before training. If modules differ in what a rank
    costs, `parameters` are those of the mean.
    """
    modules = adapted_modules(model, setting)
    cost = sum(module.in_features + module.out_features for module in modules) / len(modules)
    largest = largest_rank(modules) * len(modules)
    value = min(max(math.ceil(budget / cost - 0.5), 1), largest)
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
    for one in gated_layers(wrapped):
        own = gates(rank).to(one.down.weight.device)
        parametrize.register_parametrization(one.down, "weight", own)
    return wrapped


def gated_layers(model: PeftModel) -> list[GatedLayer]:
    """Return the adapted modules in the model's order."""
    return [
        GatedLayer(
            name,
            layer,
            down=cast("nn.Linear", layer.lora_A[ADAPTER]),
            up=cast("nn.Linear", layer.lora_B[ADAPTER]),
        )
        for name, layer in lora_layers(model, ADAPTER).items()
    ]


@torch.no_grad()
def pruned(model: PeftModel) -> PeftModel:
    """Turn a gated adapter into a plain one of the ranks that are kept, in place.

    The gates are multiplied into A. The scale stays what it was in every module, and a module that
    keeps no rank is as it was before it was adapted.
    """
    factors: dict[str, tuple[nn.Parameter, nn.Parameter]] = {}
    for gated in gated_layers(model):
        kept = gated.gates.is_kept().flatten()
        parametrize.remove_parametrizations(gated.down, "weight", leave_parametrized=True)
        down, up = gated.down.weight[kept], gated.up.weight[:, kept]
        factors[gated.name] = nn.Parameter(down), nn.Parameter(up)
    replace_factors(model, factors, adapter_name=ADAPTER)
    return model
