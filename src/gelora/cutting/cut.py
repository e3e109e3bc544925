"""Cut a trained adapter to the directions that its training used."""

import logging
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel

from gelora.adapters import saved_prefix
from gelora.artifacts import CUT_FILE, PLAN_FILE, PROFILE_FILE
from gelora.cutting.adapter import cut_adapter, read_for_cut, verify_cut
from gelora.cutting.directions import Directions, find_directions
from gelora.cutting.layers import live_factors
from gelora.cutting.moments import measure_moments
from gelora.cutting.order import CutOrder, budget_parameters, order_of
from gelora.cutting.record import AdapterCut, ModuleCut
from gelora.cutting.validation import (
    Batch,
    CutValidation,
    RowScores,
    measure_curve,
    smallest_within,
)
from gelora.errors import ArtifactError, ConfigError, ModelMismatchError, RankError
from gelora.exports.folders import copy_files, new_folder
from gelora.exports.saved import CONFIG_NAME, Factors, write_adapter
from gelora.ranks.plan import RankPlan
from gelora.settings import CutSettings

logger = logging.getLogger(__name__)

_COPIED = frozenset({".jinja", ".txt", ".model", ".json"})
"""Endings of a tokenizer's files."""

_OF_THE_UNCUT = frozenset({PLAN_FILE, PROFILE_FILE, CUT_FILE})
"""Files that describe other ranks than the cut adapter's."""


def cut(
    adapter: str | Path | PeftModel,
    destination: str | Path,
    settings: CutSettings | None = None,
    *,
    plan: RankPlan | Mapping[str, int] | None = None,
    model: PeftModel | None = None,
    batches: Iterable[Batch] | None = None,
    validation: Iterable[Batch] | None = None,
    score_rows: RowScores | None = None,
    adapter_name: str = "default",
    overwrite: bool = False,
    **changes: Any,
) -> AdapterCut:
    """Cut an adapter to fewer ranks, and leave a plain PEFT adapter with a rank for every module.

    The directions of all modules' updates compete, and those that are worth most for each of their
    parameters stay. A module that keeps none leaves the adapter. What the adapter saves whole, such
    as a head, stays as it is.

    Args:
        adapter: The folder that PEFT saved it in, made by gelora or not, or a model with it.
        destination: The new folder. It also gets `cut.json`.
        settings: How far to cut, and how a direction is valued; None for the defaults.
        plan: The ranks to keep, instead of a budget, energy or tolerance: a plan, or the rank of
            every module by its path.
        model: The model with the adapter, for importance "inputs" and "fisher" and for validation.
            Its weights are the same afterwards.
        batches: What the model takes, for importance "inputs" and "fisher"; with labels for the
            latter.
        validation: Labelled batches, read once and kept, for the tolerance and for the curve of
            losses by size.
        score_rows: The loss of each row of a validation batch, lower is better; None for the
            cross-entropy or squared error that models of classes, spans, tokens and numbers have.
        adapter_name: The adapter's name in the model.
        overwrite: Replace an adapter that the destination holds.
        **changes: Settings to change, such as `budget="r=2"`.

    Returns:
        What was done. The adapter is in the destination.

    Raises:
        ArtifactError: There is no LoRA adapter in the folder.
        ConfigError: Nothing or too much says how far to cut, a setting needs a model or rows that
            were not given, or another adapter of the model is active.
        DataError: There are no rows to measure on, or their losses are not finite.
        ModelMismatchError: The model holds another adapter than the folder.
        OutputExistsError: The destination holds something.
        RankError: The adapter is of a form that cannot be cut, changes nothing, or has no more
            parameters than the budget.
    """
    settings = (settings or CutSettings()).updated(changes)
    rows = {
        "batches": batches,
        "validation": validation,
        "score_rows": score_rows,
        "adapter_name": adapter_name,
        "overwrite": overwrite,
    }
    if isinstance(adapter, PeftModel):
        if adapter_name not in adapter.peft_config:
            raise ConfigError(
                f"The model has no adapter {adapter_name!r}; it has "
                f"{', '.join(adapter.peft_config)}: give one of these as adapter_name."
            )
        with tempfile.TemporaryDirectory() as saved:
            adapter.save_pretrained(
                saved, selected_adapters=[adapter_name], save_embedding_layers=False
            )
            folder = Path(saved) if adapter_name == "default" else Path(saved, adapter_name)
            return cut(folder, destination, settings, plan=plan, model=adapter, **rows)
    _check(settings, plan=plan, model=model, batches=batches, validation=validation)
    source = read_for_cut(adapter)
    factors = source.factors()
    if model is not None:
        _check_same(model, factors, adapter_name, folder=adapter)
    with new_folder(destination, holds=CONFIG_NAME, overwrite=overwrite, source=adapter) as new:
        directions = _directions(
            factors, settings, model=model, batches=batches, adapter_name=adapter_name
        )
        order = order_of(factors, directions)
        validated = None
        if model is not None and validation is not None:
            validated = CutValidation(
                model, validation, directions, score_rows=score_rows, adapter_name=adapter_name
            )
        ranks = _ranks(settings, plan, order, factors, validated)
        if validated is not None:
            measure_curve(order, validated)
            validated.point(ranks)
        write_adapter(cut_adapter(source, directions, ranks), new)
        verify_cut(new, source, directions, ranks)
        copy_files(Path(adapter), new, suffixes=_COPIED, but=_OF_THE_UNCUT)
        record = _record(
            settings, factors, directions, ranks, validated=validated, folder=Path(adapter)
        )
        record.save_pretrained(new)
    return record


def _check(settings: CutSettings, *, plan: Any, **inputs: Any) -> None:
    """Check that something says how far to cut, and that all it needs was given."""
    goals = settings.goals
    if plan is not None and goals:
        raise ConfigError(f"plan and {goals[0]} both say how far to cut: leave out one of the two.")
    if plan is None and not goals:
        raise ConfigError(
            "Nothing says how far to cut: give a budget ('r=2'), an energy (0.99), a tolerance "
            "(0.002) or a plan."
        )
    importance = settings.importance
    needs = {
        f"importance {importance!r}": ("model", "batches") if importance != "weights" else (),
        "tolerance": ("model", "validation") if settings.tolerance is not None else (),
        "validation": ("model",) if inputs["validation"] is not None else (),
    }
    for what, names in needs.items():
        for name in names:
            if inputs[name] is None:
                raise ConfigError(f"{what} needs {name}: give it to cut().")
    if inputs["batches"] is not None and importance == "weights":
        raise ConfigError(
            "importance 'weights' reads no batches: leave them out, or choose importance 'inputs' "
            "or 'fisher'."
        )


def _check_same(
    model: PeftModel, factors: Mapping[str, Factors], adapter_name: str, *, folder: str | Path
) -> None:
    if model.active_adapters != [adapter_name]:
        raise ConfigError(
            f"The model's active adapter is {', '.join(model.active_adapters) or 'none'}: call "
            f"model.set_adapter({adapter_name!r}) before."
        )
    live = live_factors(model, adapter_name)
    for name in sorted(factors.keys() | live.keys()):
        is_there = name in factors and name in live
        if not (is_there and _is_close(factors[name], live[name].cpu())):
            raise ModelMismatchError(
                f"The model's adapter {adapter_name!r} is not the one in {folder}, as {name} "
                "shows: load that adapter onto the model."
            )


def _is_close(first: Factors, second: Factors) -> bool:
    """Whether factors are the same but for the rounding of their dtypes."""
    return all(
        saved.shape == live.shape and torch.allclose(saved.float(), live.float(), rtol=1e-2)
        for saved, live in ((first.a, second.a), (first.b, second.b))
    )


def _directions(
    factors: Mapping[str, Factors],
    settings: CutSettings,
    *,
    model: PeftModel | None,
    batches: Iterable[Batch] | None,
    adapter_name: str,
) -> dict[str, Directions]:
    moments = {}
    if settings.importance != "weights" and model is not None and batches is not None:
        is_fisher = settings.importance == "fisher"
        moments = measure_moments(model, batches, gradients=is_fisher, adapter_name=adapter_name)
    return {name: find_directions(part, moments.get(name)) for name, part in factors.items()}


def _ranks(
    settings: CutSettings,
    plan: RankPlan | Mapping[str, int] | None,
    order: CutOrder,
    factors: Mapping[str, Factors],
    validated: CutValidation | None,
) -> dict[str, int]:
    """Return the rank to keep of every module."""
    if plan is not None:
        return _planned(plan, factors)
    if settings.tolerance is not None and validated is not None:
        return order.ranks(smallest_within(order, validated, settings.tolerance))
    if settings.energy is not None:
        return order.ranks(order.with_energy(settings.energy))
    budget = budget_parameters(cast("int | str", settings.budget), factors)  # or nothing says
    return order.ranks(order.within_budget(budget))


def _planned(plan: RankPlan | Mapping[str, int], factors: Mapping[str, Factors]) -> dict[str, int]:
    """Return a plan's ranks by the adapter's names, which begin at the model and not its backbone.

    Raises:
        RankError: A module of the plan is not in the adapter, or has less rank there.
    """
    planned = plan.modules if isinstance(plan, RankPlan) else plan
    ranks = dict.fromkeys(factors, 0)
    for module, rank in planned.items():
        names = [module] if module in factors else [n for n in factors if n.endswith(f".{module}")]
        if len(names) != 1:
            raise RankError(
                f"The plan has {module}, which is {len(names)} of the adapter's modules: give a "
                "plan for the model that the adapter was trained on."
            )
        if not 0 <= rank <= len(factors[names[0]].a):
            raise RankError(
                f"The plan gives {module} rank {rank}, and the adapter's is "
                f"{len(factors[names[0]].a)}: a cut cannot add rank."
            )
        ranks[names[0]] = rank
    if not any(ranks.values()):
        raise RankError("The plan leaves no module any rank: give one of them rank 1 or more.")
    return ranks


def _record(
    settings: CutSettings,
    factors: Mapping[str, Factors],
    directions: Mapping[str, Directions],
    ranks: Mapping[str, int],
    *,
    validated: CutValidation | None,
    folder: Path,
) -> AdapterCut:
    modules = {
        name: ModuleCut(
            in_features=part.a.shape[1],
            out_features=part.b.shape[0],
            rank_before=len(part.a),
            rank=ranks[name],
            values=tuple(directions[name].values.tolist()),
        )
        for name, part in factors.items()
    }
    worth = sum(sum(module.values) for module in modules.values())
    kept = sum(sum(module.values[: module.rank]) for module in modules.values())
    blocks, bounds = _bounds(folder, modules)
    return AdapterCut(
        settings=settings,
        modules=modules,
        parameters_before=sum(m.cost * m.rank_before for m in modules.values()),
        parameters=sum(m.cost * m.rank for m in modules.values()),
        kept=min(kept / worth, 1.0),
        curve=validated.curve() if validated else (),
        num_rows=validated.num_rows if validated else 0,
        blocks=blocks,
        bounds=bounds,
    )


def _bounds(
    folder: Path, modules: Mapping[str, ModuleCut]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the blocks, by the adapter's names, and the bounds of the plan beside the adapter."""
    if not (folder / PLAN_FILE).is_file():
        return _blocks_of(modules), ()
    try:
        plan = RankPlan.from_pretrained(folder)
    except ArtifactError as error:  # of an earlier gelora; the cut needs none
        logger.warning("Warning: the bounds are not shown: %s", error)
        return _blocks_of(modules), ()
    prefix = saved_prefix(modules, plan)
    halves = len(plan.bounds) // len(plan.blocks)
    bounds = tuple(sum(plan.bounds[i * halves : (i + 1) * halves]) for i in range(len(plan.blocks)))
    return tuple(f"{prefix}{block}" for block in plan.blocks), bounds


def _blocks_of(modules: Iterable[str]) -> tuple[str, ...]:
    """Return the paths of blocks, as the first number in a module's path tells them, in order.

    >>> _blocks_of(["h.10.q", "h.2.q", "h.2.v", "pooler"])
    ('h.2', 'h.10')
    """
    matches = [re.match(r"(.*?\.)(\d+)\.", name) for name in modules]
    pairs = {(match[1], int(match[2])) for match in matches if match}
    return tuple(f"{before}{number}" for before, number in sorted(pairs))
