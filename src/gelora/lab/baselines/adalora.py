"""AdaLoRA (Zhang et al. 2023, arXiv 2303.10512): ranks that training itself takes away.

An update is P diag(lambda) Q, with P and Q held near orthogonal by a term in the loss. It starts
with one and a half times the ranks; singular values of little importance (smoothed |w x gradient|
times its uncertainty) are set to zero on a cubic schedule until the budget is met. Layers, loss and
schedule are PEFT's; what PEFT leaves to the training loop, calling `update_and_allocate` after
every step, is here a callback.
"""

import math
from collections.abc import Mapping
from typing import Any

from peft import AdaLoraConfig, PeftModel
from peft.tuners.adalora import AdaLoraLayer, AdaLoraModel
from torch import nn
from transformers import (
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from gelora.adapters import stores_transposed
from gelora.errors import ConfigError
from gelora.lab.baselines.method import Applied, Method, Setting, Size, nearest_size
from gelora.lab.baselines.uniform import adapted_modules, adapted_paths, largest_rank
from gelora.ranks.plan import whole
from gelora.training.train import wrap_by

INITIAL_RANKS = 1.5
"""Of those in the end, rounded up: the paper's."""

# The schedule of AdaLoRA's scripts is in steps, which would not fit other data. These are shares of
# all steps, the medians over the eight tasks of GLUE that have a script.
WARM_UP = 0.13
"""Steps at the full initial rank: 9 % (MNLI) to 18 % (STS-B)."""
FINAL = 0.48
"""Steps at the ranks of the end: 44 % (SST-2) to 58 % (MNLI)."""
BETWEEN_ALLOCATIONS = 0.004
"""Steps from one cut to the next, of those in between: 0.07 % (RTE) to 1.6 % (QNLI)."""

ORTHOGONALITY = 0.1
"""Weight of the term that keeps P and Q orthogonal: the scripts' on six of eight tasks."""


class _Allocation(TrainerCallback):
    """Calls PEFT's `update_and_allocate` where it wants it: before the gradients are dropped."""

    def __init__(self, adapted: AdaLoraModel, total_steps: int) -> None:
        self.adapted = adapted
        self.total_steps = total_steps

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.max_steps != self.total_steps:
            raise ConfigError(
                f"AdaLoRA's schedule was made for {self.total_steps} steps and training takes "
                f"{state.max_steps}: its ranks would not meet the budget."
            )

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.adapted.update_and_allocate(state.global_step + 1)


def _size(model: PreTrainedModel, budget: int, setting: Setting) -> Size:
    """Return how many singular values, in all modules together, are nearest to the budget.

    Each has its value and two vectors. If modules differ in what that costs, it is the mean, for
    which modules they are left in is not known before training.
    """
    modules = adapted_modules(model, setting)
    cost = sum(module.in_features + module.out_features + 1 for module in modules) / len(modules)
    largest = int(largest_rank(modules) / INITIAL_RANKS) * len(modules)
    return nearest_size(budget, lambda values: round(values * cost), largest=largest)


def _apply(model: PreTrainedModel, size: Size, setting: Setting) -> Applied:
    if setting.total_steps < 2:
        raise ConfigError(
            f"AdaLoRA's schedule needs 2 training steps or more, and there are "
            f"{setting.total_steps}."
        )
    warm_up, final = (int(share * setting.total_steps) for share in (WARM_UP, FINAL))
    between = setting.total_steps - warm_up - final
    names = adapted_paths(model, setting)
    initial = math.ceil(INITIAL_RANKS * size.value / len(names))
    config = AdaLoraConfig(
        init_r=initial,
        target_r=math.ceil(size.value / len(names)),
        tinit=warm_up,
        tfinal=final,
        deltaT=max(round(BETWEEN_ALLOCATIONS * between), 1),
        total_step=setting.total_steps,
        orth_reg_weight=ORTHOGONALITY,
        # PEFT divides by the initial rank, whatever is left of it.
        lora_alpha=whole(setting.ranks.scaling * initial),  # pyright: ignore[reportArgumentType]
        target_modules=names,
        fan_in_fan_out=stores_transposed(model, names),
    )
    wrapped = wrap_by(model, config, setting.problem)
    adapted = wrapped.base_model
    assert isinstance(adapted, AdaLoraModel)
    if type(wrapped) is PeftModel:  # PEFT's general class goes past AdaLoRA's term in the loss
        wrapped.forward = adapted.forward
    # The paper's budget is a number of singular values in all; PEFT takes a mean in whole numbers.
    adapted.rankallocator.target_bgt = size.value
    callback = _Allocation(adapted, setting.total_steps)
    return Applied(wrapped, callbacks=[callback], finish=_without_zeros)


def _without_zeros(model: nn.Module) -> nn.Module:
    """Drop the singular values that were set to zero, and adapters that have none left."""
    assert isinstance(model, PeftModel)
    adapted, config = model.base_model, model.peft_config["default"]
    assert isinstance(adapted, AdaLoraModel)
    assert isinstance(config, AdaLoraConfig)
    adapted.resize_modules_by_rank_pattern(config.rank_pattern, "default")
    kept = {name: values for name, values in (config.rank_pattern or {}).items() if any(values)}
    base = model.get_base_model()
    for name, layer in list(base.named_modules()):
        if isinstance(layer, AdaLoraLayer) and layer.r["default"] == 0:
            base.set_submodule(name, layer.get_base_layer())
    config.rank_pattern = kept
    config.target_modules = sorted(name.partition(".lora_E")[0] for name in kept)
    return model


METHODS: Mapping[str, Method] = {"adalora": Method(name="adalora", size=_size, apply=_apply)}
