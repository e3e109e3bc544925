"""GeLoRA's own ranks: as planned, in the wrong blocks, and joined with other ways to use ranks.

GeLoRA is arXiv 2412.09250. The controls `gelora-shuffled` and `gelora-reversed` have the ranks of
`gelora` in other blocks: where they do as well, it is not the geometry that helps. The others have
its ranks with another scale, with magnitudes or with other initial values.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from peft import EvaConfig
from transformers import PreTrainedModel

from gelora.adapters import adapter_ranks, lora_config, verify_ranks
from gelora.dimension.profile import DimensionProfile
from gelora.errors import ConfigError
from gelora.lab.baselines.eva import with_directions
from gelora.lab.baselines.method import Applied, Method, Setting, Size
from gelora.lab.baselines.uniform import VARIANTS, adapted_modules, magnitudes, rank_parameters
from gelora.ranks.permuting import permuted, reversed_order, shuffled_order
from gelora.ranks.plan import RankPlan, plan_ranks
from gelora.training.train import wrap, wrap_by

Order = Literal["planned", "shuffled", "reversed"]


def budget_size(
    model: PreTrainedModel, budget: int, setting: Setting, *, use_dora: bool = False
) -> Size:
    """Return the plan of rule "budget": what it may spend, and what it spends with magnitudes.

    What is below the cost of rank 1 everywhere is raised to it.
    """
    modules = adapted_modules(model, setting)
    extra = magnitudes(modules) if use_dora else 0
    spend = max(budget - extra, rank_parameters(modules, 1))
    return Size(spend, _plan(setting, budget=spend).trainable_parameters + extra)


def paper_size(model: PreTrainedModel, budget: int, setting: Setting) -> Size:
    """Return what the paper's rule asks for, whatever the budget."""
    del model, budget
    return Size(0, _plan(setting, budget=None).trainable_parameters)


def _apply(
    model: PreTrainedModel,
    size: Size,
    setting: Setting,
    *,
    order: Order = "planned",
    variant: Mapping[str, Any],
) -> Applied:
    plan = _ordered(_plan(setting, budget=size.value or None), setting, order)
    if "use_rslora" in variant:  # `lora_config` by itself would raise alpha to keep the scale
        config = lora_config(model, plan)
        config.use_rslora = True
        wrapped = wrap_by(model, config, setting.problem)
    else:
        wrapped = wrap(model, plan, setting.problem, **variant)
    return Applied(wrapped, ranks=adapter_ranks(wrapped))


def _apply_eva(model: PreTrainedModel, size: Size, setting: Setting) -> Applied:
    plan = _plan(setting, budget=size.value)
    config = {"init_lora_weights": "eva", "eva_config": EvaConfig(rho=1.0)}
    applied = with_directions(partial(wrap, model, plan, setting.problem, **config), setting)
    verify_ranks(applied.model, plan)  # with rho = 1 every direction that is looked for is kept
    return applied


def _profile(setting: Setting) -> DimensionProfile:
    if setting.profile is None:
        raise ConfigError("GeLoRA's ranks need a profile of the model's dimensions: measure first.")
    return setting.profile


def _plan(setting: Setting, *, budget: int | None) -> RankPlan:
    return plan_ranks(_profile(setting), setting.ranks, budget=budget)


def _ordered(plan: RankPlan, setting: Setting, order: Order) -> RankPlan:
    profile = _profile(setting)
    match order:
        case "planned":
            return plan
        case "shuffled":
            return permuted(plan, profile, shuffled_order(plan, profile, seed=setting.seed))
        case "reversed":
            return permuted(plan, profile, reversed_order(plan, profile))


def _method(
    name: str, *, order: Order = "planned", variant: Mapping[str, Any] = VARIANTS["lora"]
) -> Method:
    return Method(
        name=name,
        size=partial(budget_size, use_dora="use_dora" in variant),
        apply=partial(_apply, order=order, variant=variant),
        needs_profile=True,
    )


_GELORA = _method("gelora")

METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        _GELORA,
        replace(_GELORA, name="gelora-paper", size=paper_size),
        _method("gelora-shuffled", order="shuffled"),
        _method("gelora-reversed", order="reversed"),
        _method("gelora-rslora", variant=VARIANTS["rslora"]),
        _method("gelora-dora", variant=VARIANTS["dora"]),
        _method("gelora-pissa", variant=VARIANTS["pissa"]),
        replace(_GELORA, name="gelora-eva", apply=_apply_eva),
    )
}
