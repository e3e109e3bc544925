"""The hand-over to PEFT: a `RankPlan` becomes a `LoraConfig`, and is read back to be sure.

PEFT looks a module's rank up by regular expression, first match wins, and sorts the keys when it
saves. So every key here is a full path, escaped, and matches one module only. From the config on,
everything is ordinary PEFT.
"""

# PEFT and safetensors type their interfaces in part only.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import ParamWrapper
from peft.utils.other import get_pattern_key
from safetensors import safe_open
from torch import nn
from transformers.pytorch_utils import Conv1D

from gelora.errors import ConfigError, ModelMismatchError, RankError
from gelora.hidden_states.architectures import check_fingerprint, find_architecture, find_backbone
from gelora.hidden_states.experts import expert_parameters, full_name
from gelora.hidden_states.module_tree import without_wrapper
from gelora.hidden_states.task_head import head_arguments
from gelora.ranks.plan import RankPlan, rank_arguments, whole

PATTERN_ARGUMENTS = frozenset(
    {"r", "lora_alpha", "rank_pattern", "alpha_pattern", "target_modules", "layers_to_transform"}
)


def lora_config(
    model: nn.Module, plan: RankPlan, *, check_model: bool = True, **lora_arguments: Any
) -> LoraConfig:
    """Return the `peft.LoraConfig` that gives every module of the model its planned rank.

    `r` is the largest rank and `lora_alpha` is `r` times the plan's `scaling`; modules of
    a smaller rank stand in `rank_pattern` and `alpha_pattern`. The scale that multiplies BA is
    `scaling` in every module, with `use_rslora` too (alpha is then scaled by sqrt(r)).

    `task_type` and `modules_to_save` follow from the model's class. A new head is trained and saved
    whole (DeBERTa's pooler, too); a language model's head and BERT's own pooler come with the
    checkpoint and stay frozen.

    Experts that `target_parameters` names get their block's rank, each expert for itself. The
    plan's parameters do not count them.

    Args:
        model: The model to adapt, not yet wrapped: with or without a head.
        plan: The ranks.
        check_model: Whether the weights must be those that were measured. False is for weights
            that were trained further; the architecture must be the same in any case.
        **lora_arguments: Any other argument of LoraConfig: `lora_dropout`, `use_dora`,
            `init_lora_weights`, `target_parameters`, ... A `task_type` or `modules_to_save` is
            taken as it is.

    Raises:
        ConfigError: The plan is given before the model.
        ModelMismatchError: The plan was made for another model.
        RankError: An argument that the plan decides, or an initialisation that its ranks forbid.

    Warns:
        FrozenHeadWarning: A head stays frozen that may be new.
    """
    if isinstance(model, RankPlan):
        raise ConfigError("lora_config takes the model first: lora_config(model, plan).")
    if not check_model:
        kept = {name: plan.fingerprint[name] for name in ("model_type", "architecture")}
        plan = replace(plan, fingerprint=kept)
    prefix = plan_prefix(plan, model)
    decided = sorted(PATTERN_ARGUMENTS & lora_arguments.keys())
    if decided:
        raise RankError(f"The plan decides {', '.join(decided)}: plan again instead of passing it.")
    modules = dict(model.named_modules())
    architecture = find_architecture(model)
    ranks = {f"{prefix}{name}": int(rank) for name, rank in plan.modules.items()}
    sides = {
        f"{architecture.prefix}{module.name}": min(module.in_features, module.out_features)
        for module in architecture.modules
    }
    _check_names(ranks, modules)
    _check_initialisation(ranks, sides, lora_arguments)

    def alpha(rank: int) -> int | float:
        rooted = math.sqrt(rank) if lora_arguments.get("use_rslora", False) else rank
        return whole(plan.scaling * rooted)

    blocks = [f"{prefix}{block}" for block in plan.blocks]
    wanted = expert_parameters(model, lora_arguments.get("target_parameters") or (), blocks)
    experts = {name: expert_rank(plan, name, prefix) for name in wanted}
    all_ranks = {**ranks, **experts}
    named = {"target_modules": sorted(ranks), "target_parameters": sorted(experts) or None}
    arguments: dict[str, Any] = {
        **rank_arguments(all_ranks, {name: alpha(rank) for name, rank in all_ranks.items()}),
        "fan_in_fan_out": stores_transposed(model, ranks),
        **lora_arguments,
        **named,
        **head_arguments(model, lora_arguments),
    }
    return LoraConfig(**arguments)


def expert_rank(plan: RankPlan, name: str, prefix: str) -> int:
    """Return the rank of an expert's parameter: its block's, or 1 where nothing else is adapted.

    Args:
        plan: The ranks.
        name: Full name of the parameter.
        prefix: What stands before the plan's paths (`plan_prefix`).
    """
    block = next(i for i, one in enumerate(plan.blocks) if name.startswith(f"{prefix}{one}."))
    halves = len(plan.ranks) // len(plan.blocks)  # 2 with granularity "sublayer"; the MLP is last
    return max(int(plan.ranks[(block + 1) * halves - 1]), 1)


def plan_prefix(plan: RankPlan, model: nn.Module, *, is_adapted: bool = False) -> str:
    """Return what stands before the plan's paths in a model: the way to its backbone.

    A plan that was made for the text part of a multimodal model holds for the whole, too.

    Args:
        plan: Made for the model, or for its text part.
        model: With or without a head.
        is_adapted: Whether it has been compared with the plan before.

    Raises:
        ModelMismatchError: The plan was made for another model.
    """
    architecture = find_architecture(model)
    (ours, *_), (theirs, *_) = architecture.blocks, plan.blocks
    if ours.endswith(f".{theirs}") and len(architecture.blocks) == len(plan.blocks):
        inside = ours.removesuffix(theirs)
        part = find_backbone(model).get_submodule(inside.removesuffix("."))
        if not is_adapted:
            check_fingerprint(part, plan.fingerprint)
        return f"{architecture.prefix}{inside}"
    if theirs.endswith(f".{ours}"):
        raise ModelMismatchError(
            f"The plan was made for a whole {plan.fingerprint.get('model_type')} model, whose text "
            "part this may be: pass the whole model."
        )
    if not is_adapted:
        check_fingerprint(model, plan.fingerprint)
    return architecture.prefix


def stores_transposed(model: nn.Module, names: Collection[str]) -> bool:
    """Whether weights are (in, out), as Conv1D's; PEFT asks for it as `fan_in_fan_out`."""
    return any(isinstance(model.get_submodule(name), Conv1D) for name in names)


def verify_ranks(model: nn.Module, plan: RankPlan, *, adapter_name: str = "default") -> None:
    """Check that every planned module, and no other, has its planned rank and scale.

    Args:
        model: The model with its adapter, as a PeftModel or after `model.add_adapter`.
        plan: What it should have.
        adapter_name: Which of the model's adapters to read.

    Raises:
        RankError: They differ; the message names the first module and both values.
    """
    layers = lora_layers(model, adapter_name)
    found = {name: (one.r[adapter_name], one.scaling[adapter_name]) for name, one in layers.items()}
    prefix = plan_prefix(plan, model, is_adapted=True)
    planned = {f"{prefix}{name}": rank for name, rank in plan.modules.items()}
    experts = [name for name, layer in layers.items() if isinstance(layer, ParamWrapper)]
    _compare(found, planned | {n: expert_rank(plan, n, prefix) for n in experts}, plan)


def adapter_ranks(model: nn.Module, *, adapter_name: str = "default") -> dict[str, int]:
    """Return the rank of every adapted module, by its path from the backbone's root.

    Args:
        model: The model with an adapter of LoRA's family, whoever made it.
        adapter_name: Which of the model's adapters to read.
    """
    prefix = find_architecture(model).prefix
    layers = lora_layers(model, adapter_name)
    return {name.removeprefix(prefix): layer.r[adapter_name] for name, layer in layers.items()}


def lora_layers(model: nn.Module, adapter_name: str = "default") -> dict[str, Any]:
    """Return the layers of `peft.tuners.lora.LoraLayer` that an adapter has, by their full names.

    Args:
        model: As a PeftModel or after `model.add_adapter`.
        adapter_name: Which of the model's adapters.
    """
    return {
        full_name(name, layer): layer
        for name, layer in without_wrapper(model).named_modules()
        if isinstance(layer, LoraLayer) and adapter_name in layer.r
    }


def verify_saved_ranks(folder: str | Path, plan: RankPlan) -> None:
    """Check a saved adapter as its readers will see it: its tensors' shapes and its patterns.

    Args:
        folder: Holds adapter_config.json and adapter_model.safetensors.
        plan: What it should have.

    Raises:
        RankError: They differ; the message names the first module and both values.
    """
    config: LoraConfig = LoraConfig.from_pretrained(str(folder))  # pyright: ignore[reportAssignmentType]
    found: dict[str, tuple[int, float]] = {}
    experts = {name.rpartition(".")[0] for name in config.target_parameters or ()}
    with safe_open(Path(folder) / "adapter_model.safetensors", framework="pt") as tensors:
        for key in tensors.keys():  # noqa: SIM118 - safe_open is no mapping
            name, matched, _ = key.removeprefix("base_model.model.").partition(".lora_A.")
            if matched and name.replace(".base_layer", "") not in experts:
                rank = tensors.get_slice(key).get_shape()[0]
                found[name] = (rank, _saved_scale(config, name, rank))
    prefix = saved_prefix(found, plan)
    _compare(found, {f"{prefix}{name}": rank for name, rank in plan.modules.items()}, plan)


def saved_prefix(names: Iterable[str], plan: RankPlan) -> str:
    """Return what stands before the plan's paths in a saved adapter's names of modules.

    It is empty if no name ends as the plan's first path.
    """
    first = min(plan.modules, default="")
    return next((name.removesuffix(first) for name in names if name.endswith(first)), "")


def _saved_scale(config: LoraConfig, name: str, rank: int) -> float:
    """Return alpha/r as PEFT will compute it on loading: a pattern's entry or the default."""
    pattern: Mapping[str, float] = config.alpha_pattern or {}
    alpha = pattern.get(get_pattern_key(list(pattern), name), config.lora_alpha)
    return alpha / (math.sqrt(rank) if config.use_rslora else rank)


def _compare(
    found: Mapping[str, tuple[int, float]], planned: Mapping[str, int], plan: RankPlan
) -> None:
    missing, extra = sorted(planned.keys() - found.keys()), sorted(found.keys() - planned.keys())
    elsewhere = [name for name in extra if any(name.endswith(f".{path}") for path in plan.modules)]
    if elsewhere:
        raise RankError(
            f"PEFT put {len(elsewhere)} adapters on modules whose names only end as the plan's do, "
            f"the first {elsewhere[0]}: make the config by lora_config(model, plan) with the whole "
            "model that is adapted."
        )
    if missing or extra:
        raise RankError(
            f"{len(missing)} planned modules have no adapter and {len(extra)} adapters are not "
            f"planned, the first {(missing + extra)[0]}: the adapter was made by another plan."
        )
    for name, rank in planned.items():
        actual, scale = found[name]
        if actual != rank or not math.isclose(scale, plan.scaling, rel_tol=1e-6):
            raise RankError(
                f"{name} has rank {actual} and scale {scale:g}, planned were rank {rank} and scale "
                f"{plan.scaling:g}: the adapter was made by another plan, or changed."
            )


def _check_names(ranks: Mapping[str, int], modules: Mapping[str, nn.Module]) -> None:
    """A key also matches every path that ends with it at a dot: there must be none."""
    missing = sorted(ranks.keys() - modules.keys())
    if missing:
        raise ModelMismatchError(
            f"The model has no module {missing[0]}, nor {len(missing) - 1} others of the plan; "
            "hand over the model before it is wrapped."
        )
    ambiguous = _dot_suffixes(modules.keys() - ranks.keys(), ranks)
    if ambiguous:
        name, other = ambiguous
        raise RankError(f"PEFT cannot tell {name} from {other}, which ends with it; adapt neither.")


def _dot_suffixes(paths: Collection[str], endings: Collection[str]) -> tuple[str, str] | None:
    """Return an ending and a path that ends with it at a dot, if there is one."""
    wanted = frozenset(endings)
    for path in (*sorted(paths), *sorted(endings)):
        rest = path
        while "." in rest:
            rest = rest.partition(".")[2]
            if rest in wanted:
                return rest, path
    return None


def _check_initialisation(
    ranks: Mapping[str, int], sides: Mapping[str, int], lora_arguments: Mapping[str, Any]
) -> None:
    """Refuse what PEFT would only trip over later, or not notice at all.

    Args:
        ranks: By full name.
        sides: The smaller side of each module's matrix.
        lora_arguments: As given to `lora_config`.
    """
    init = lora_arguments.get("init_lora_weights", True)
    eva = lora_arguments.get("eva_config")
    if init == "eva" and (eva is None or eva.rho != 1):
        raise RankError(
            "init_lora_weights='eva' moves ranks between modules unless eva_config=EvaConfig("
            f"rho=1.0), and got rho={2.0 if eva is None else eva.rho}."
        )
    for name, rank in ranks.items():
        if rank > sides[name]:
            raise RankError(f"Rank {rank} of {name} is above its smaller side, {sides[name]}.")
        if init == "orthogonal" and rank % 2:
            raise RankError(
                f"init_lora_weights='orthogonal' needs even ranks and {name} has {rank}; choose "
                "another initialisation."
            )
        if init == "lora_ga" and 2 * rank > sides[name]:
            raise RankError(
                f"init_lora_weights='lora_ga' needs twice the rank, {rank}, of {name} within its "
                f"smaller side, {sides[name]}; lower max_rank."
            )


def adapter_parameters(model: nn.Module) -> int:
    """Count the trainable LoRA parameters of a wrapped model, without its head."""
    return sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and ".lora_" in name
    )


def head_parameters(model: nn.Module) -> int:
    """Count the trainable parameters that are not LoRA's: a head, a pooler."""
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return trainable - adapter_parameters(model)
