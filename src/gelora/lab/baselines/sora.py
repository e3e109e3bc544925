"""SoRA: sparse low-rank adaptation (Ding et al. 2023, arXiv 2311.11696).

The update of a weight is W_u diag(g) W_d: LoRA's A and B with a gate g between them. After every
step of the optimiser comes the proximal step of an L1 penalty, a soft threshold on the gates. What
is closed at the end of training is pruned, and a plain LoRA is left.

The paper begins with a rank r_max in all modules and ends where a fixed threshold leads, with 70 %
of its parameters by its abstract. A comparison at equal budgets needs a size that is met, so here
r_max is the budget's rank over 0.7, and the threshold of every step is the one that, at this pace,
closes the last gate too many in the last step.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from peft import PeftModel
from torch import Tensor
from transformers import (
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from gelora.lab.baselines.gates import Gates, gated_layers, gated_lora, pruned, whole_ranks
from gelora.lab.baselines.method import Applied, Method, Setting, Size
from gelora.lab.baselines.uniform import adapted_modules, largest_rank

RETAINED = 0.7


class ProximalStep(TrainerCallback):
    """Move every gate towards zero after each step of the optimiser, so as to meet a budget.

    It keeps nothing from step to step: the threshold follows from the gates and the steps left.

    Args:
        model: With gates.
        budget: Parameters that the open gates may cost in the end.
    """

    def __init__(self, model: PeftModel, budget: int) -> None:
        self.layers = gated_layers(model)
        self.budget = budget

    @torch.no_grad()
    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Do the proximal step; the step that was just done is not yet counted."""
        gates = torch.stack([one.gates.values for one in self.layers])
        costs = torch.tensor([[[one.cost]] for one in self.layers], device=gates.device)
        surplus = smallest_surplus(
            gates.abs().flatten(), costs.expand_as(gates).flatten(), self.budget
        )
        gates = soft_threshold(gates, surplus / (state.max_steps - state.global_step))
        for one, values in zip(self.layers, gates, strict=True):
            one.gates.values.copy_(values)


def soft_threshold(
    values: Float[Tensor, "*any"], threshold: Float[Tensor, ""]
) -> Float[Tensor, "*any"]:
    """Return the values nearer to zero by the threshold, and zero where that would cross it.

    >>> soft_threshold(torch.tensor([-3.0, 1.0, 2.0]), torch.tensor(1.0))
    tensor([-2.,  0.,  1.])
    """
    return values.sign() * (values.abs() - threshold).clamp(min=0)


def smallest_surplus(
    magnitudes: Float[Tensor, " gates"], costs: Int[Tensor, " gates"], budget: int
) -> Float[Tensor, ""]:
    """Return the magnitude up to which gates have to close for the rest to cost the budget.

    Args:
        magnitudes: Of all gates.
        costs: Parameters that an open gate stands for.
        budget: Parameters for those that stay open, the largest first.

    Returns:
        0 if all may stay open.

    >>> smallest_surplus(torch.tensor([0.5, 2.0, 1.0]), torch.tensor([10, 10, 10]), budget=25)
    tensor(0.5000)
    """
    descending, order = magnitudes.sort(descending=True)
    num_open = (costs[order].cumsum(0) <= budget).sum()
    return torch.cat([descending, descending.new_zeros(1)])[num_open]


def _initial_rank(model: PreTrainedModel, size: Size, setting: Setting) -> int:
    """Return r_max."""
    modules = adapted_modules(model, setting)
    return min(math.ceil(size.value / len(modules) / RETAINED), largest_rank(modules))


def _apply(model: PreTrainedModel, size: Size, setting: Setting) -> Applied:
    # The authors' code draws the gates from a normal distribution; B = 0 makes the update zero.
    wrapped = gated_lora(
        model,
        _initial_rank(model, size, setting),
        setting,
        lambda rank: Gates(torch.randn(rank, 1)),
    )
    return Applied(
        wrapped,
        callbacks=[ProximalStep(wrapped, size.parameters)],
        finish=lambda _: pruned(wrapped),
    )


METHODS: Mapping[str, Method] = {"sora": Method("sora", size=whole_ranks, apply=_apply)}
