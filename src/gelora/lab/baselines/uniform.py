"""LoRA of one rank in every module, and its variants of other scales, norms and initial values.

LoRA (Hu et al. 2021, arXiv 2106.09685): a frozen weight W becomes W + (alpha/r) B A, with A of
(r, in) random and B of (out, r) zero at first. All are PEFT's.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from peft import LoraConfig, PeftModel
from transformers import PreTrainedModel

from gelora.adapters import adapter_ranks, stores_transposed
from gelora.dimension.profile import BlockModule
from gelora.hidden_states.architectures import find_architecture
from gelora.lab.baselines.method import Applied, Method, Setting, Size, nearest_size
from gelora.ranks.plan import whole
from gelora.ranks.targets import select_modules
from gelora.training.train import wrap_by

# What makes each of them, as LoraConfig takes it.
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "lora": {},
    # arXiv 2312.03732: the scale alpha/sqrt(r), with the same alpha.
    "rslora": {"use_rslora": True},
    # arXiv 2402.09353: the norm of every row of W + (alpha/r) B A is trained apart from it.
    "dora": {"use_dora": True},
    # arXiv 2404.02948: A and B begin as the r largest singular values and their vectors, W as the
    # rest. The full decomposition, so that a reader of the adapter finds the same rest again.
    "pissa": {"init_lora_weights": "pissa"},
}


def adapted_modules(model: PreTrainedModel, setting: Setting) -> tuple[BlockModule, ...]:
    """Return the modules of a model that get an adapter."""
    return select_modules(find_architecture(model).modules, setting.ranks.target_modules)


def adapted_paths(model: PreTrainedModel, setting: Setting) -> list[str]:
    """Return their paths in the model as it is, with its head."""
    prefix = find_architecture(model).prefix
    return sorted(f"{prefix}{module.name}" for module in adapted_modules(model, setting))


def rank_parameters(modules: Sequence[BlockModule], rank: int) -> int:
    """Count A and B of every module: the sum of r (in + out)."""
    return sum(rank * (module.in_features + module.out_features) for module in modules)


def magnitudes(modules: Sequence[BlockModule]) -> int:
    """Count DoRA's own parameters: one for every row of every weight."""
    return sum(module.out_features for module in modules)


def largest_rank(modules: Sequence[BlockModule]) -> int:
    """Return the rank that no matrix's update exceeds: the smallest side of all."""
    return min(min(module.in_features, module.out_features) for module in modules)


def uniform_size(
    model: PreTrainedModel, budget: int, setting: Setting, *, use_dora: bool = False
) -> Size:
    """Return the one rank for all modules that is nearest to the budget."""
    modules = adapted_modules(model, setting)
    extra = magnitudes(modules) if use_dora else 0
    return nearest_size(
        budget, lambda rank: rank_parameters(modules, rank) + extra, largest=largest_rank(modules)
    )


def uniform_lora(
    model: PreTrainedModel, rank: int, setting: Setting, **lora_arguments: Any
) -> PeftModel:
    """Put LoRA of one rank on a model, its head to be trained whole."""
    names = adapted_paths(model, setting)
    config = LoraConfig(
        r=rank,
        lora_alpha=whole(setting.ranks.scaling * rank),  # pyright: ignore[reportArgumentType]
        target_modules=names,
        fan_in_fan_out=stores_transposed(model, names),
        **lora_arguments,
    )
    return wrap_by(model, config, setting.problem)


def fixed_rank(rank: int) -> Method:
    """Return LoRA of this rank, whatever the budget."""
    return Method(
        name=f"lora-r{rank}",
        size=partial(_fixed_size, rank),
        apply=partial(_apply, VARIANTS["lora"]),
    )


def _fixed_size(rank: int, model: PreTrainedModel, budget: int, setting: Setting) -> Size:
    del budget
    return Size(rank, rank_parameters(adapted_modules(model, setting), rank))


def _apply(
    variant: Mapping[str, Any], model: PreTrainedModel, size: Size, setting: Setting
) -> Applied:
    wrapped = uniform_lora(model, size.value, setting, **variant)
    return Applied(wrapped, ranks=adapter_ranks(wrapped))


METHODS: Mapping[str, Method] = {
    name: Method(
        name=name,
        size=partial(uniform_size, use_dora="use_dora" in variant),
        apply=partial(_apply, variant),
    )
    for name, variant in VARIANTS.items()
}
