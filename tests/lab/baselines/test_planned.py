"""GeLoRA's ranks within a budget, in other places, and joined with other methods."""

from dataclasses import replace

import pytest
import torch
from peft.tuners.lora import LoraLayer
from transformers import BertForSequenceClassification, LlamaForSequenceClassification

from example_profiles import profile_of
from gelora.adapters import adapter_parameters, adapter_ranks, verify_ranks
from gelora.errors import ConfigError, RankError
from gelora.lab.baselines import Setting, Size, find_method
from gelora.ranks import plan_ranks
from gelora.settings import RankSettings
from tiny_adapters import logits
from tiny_methods import (
    apply_method,
    changed,
    fit_tiny,
    reloaded,
    tiny_batches,
    trainable,
    values,
)
from tiny_models import tiny_bert, tiny_llama

PER_RANK = 4 * (32 + 32)  # of a block
BUDGET = 8 * 3 * PER_RANK  # that of rank 8 everywhere
PLANNED = (14, 3, 7)  # what `plan_ranks` makes of that
MAGNITUDES = 3 * 4 * 32
ORDERED = ("gelora", "gelora-shuffled", "gelora-reversed")
NAMES = (*ORDERED, "gelora-paper", "gelora-rslora", "gelora-dora", "gelora-pissa", "gelora-eva")


def bert():
    return tiny_bert(BertForSequenceClassification)


def setting(**given):
    return {"profile": profile_of(bert()), "batches": tiny_batches, **given}


def applied_method(name, budget=BUDGET, **given):
    return apply_method(name, bert(), budget=budget, **setting(**given))


def size(name, budget=BUDGET, **given):
    whole = Setting(problem="classification", **setting(**given))
    return find_method(name).size(bert(), budget, whole)


def block_ranks(applied):
    """Return the rank of every block, the same in its four modules."""
    ranks = applied.ranks
    assert len(ranks) == 12
    found = [{r for name, r in ranks.items() if f"layer.{block}." in name} for block in range(3)]
    assert all(len(each) == 1 for each in found)
    return tuple(each.pop() for each in found)


def test_the_budget_is_spent_as_plan_ranks_spends_it():
    for budget in range(3 * PER_RANK, 20 * PER_RANK, 300):
        plan = plan_ranks(profile_of(bert()), budget=budget)
        assert size("gelora", budget) == Size(budget, plan.trainable_parameters)
        assert 0 <= budget - plan.trainable_parameters < PER_RANK


def test_no_budget_is_below_rank_one_or_above_the_matrices():
    assert size("gelora", 10) == Size(3 * PER_RANK, 3 * PER_RANK)
    assert size("gelora", 10**9).parameters == 3 * 32 * PER_RANK
    assert size("gelora-dora", 10).parameters == 3 * PER_RANK + MAGNITUDES


def test_the_paper_s_rule_has_its_own_size():
    for budget in (1, BUDGET):
        assert size("gelora-paper", budget) == Size(0, (4 + 1 + 2) * PER_RANK)
    assert block_ranks(applied_method("gelora-paper")) == (4, 1, 2)


def test_dora_s_magnitudes_come_out_of_the_budget():
    found = size("gelora-dora")
    assert found.value == BUDGET - MAGNITUDES
    assert found.parameters <= BUDGET < found.parameters + PER_RANK


@pytest.mark.parametrize("name", NAMES)
def test_what_trains_is_what_was_counted_and_the_head(name):
    applied = applied_method(name)
    assert adapter_parameters(applied.model) == size(name).parameters
    assert applied.ranks == adapter_ranks(applied.model)
    for parameter in trainable(applied.model):
        assert ".lora_" in parameter or ".classifier.modules_to_save" in parameter
    assert all(p.dtype == torch.float32 for p in applied.model.parameters() if p.requires_grad)


@pytest.mark.parametrize("name", ["gelora", "gelora-pissa", "gelora-eva", "gelora-rslora"])
def test_the_ranks_are_gelora_s(name):
    assert block_ranks(applied_method(name)) == PLANNED


def test_the_controls_have_the_same_ranks_in_other_blocks():
    assert block_ranks(applied_method("gelora-reversed")) == PLANNED[::-1]
    shuffled = {block_ranks(applied_method("gelora-shuffled", seed=seed)) for seed in range(8)}
    assert len(shuffled) > 2
    assert all(sorted(ranks) == sorted(PLANNED) for ranks in shuffled)
    assert PLANNED not in shuffled


@pytest.mark.parametrize("name", ORDERED)
def test_the_controls_cost_the_same(name):
    assert size(name) == size("gelora")


def test_rslora_keeps_alpha_and_divides_it_by_the_root_of_every_rank():
    applied = applied_method("gelora-rslora", ranks=RankSettings(scaling=3.0))
    layers = [each for each in applied.model.modules() if isinstance(each, LoraLayer)]
    assert {each.r["default"] for each in layers} == set(PLANNED)
    for layer in layers:
        rank = layer.r["default"]
        assert layer.lora_alpha["default"] == 3 * rank
        assert layer.scaling["default"] == pytest.approx(3 * rank**0.5)


@pytest.mark.parametrize("name", ["gelora-dora", "gelora-pissa", "gelora-eva", *ORDERED])
def test_the_others_have_one_scale(name):
    applied = applied_method(name, ranks=RankSettings(scaling=3.0))
    layers = [each for each in applied.model.modules() if isinstance(each, LoraLayer)]
    assert {each.scaling["default"] for each in layers} == {3}


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_leaves_the_rest_alone_and_loads_as_it_was_saved(name, tmp_path):
    model = applied_method(name).model
    before = values(model)
    losses = fit_tiny(model, tmp_path, max_steps=40, logging_steps=10)
    assert losses[-1] < 0.8 * losses[0]
    assert changed(model, before) == trainable(model)
    loaded = reloaded(model, bert(), tmp_path)
    torch.testing.assert_close(logits(loaded), logits(model.eval()))


def test_eva_s_directions_cost_time_and_tokens_and_keep_the_ranks():
    applied = applied_method("gelora-eva")
    verify_ranks(applied.model, plan_ranks(profile_of(bert()), budget=BUDGET))
    assert applied.selection_seconds > 0
    assert applied.forward_tokens > 0
    assert applied_method("gelora").forward_tokens == 0


def test_rounding_and_modules_reach_the_plan():
    profile = profile_of(bert())
    series = profile.series["twonn_linfit"]
    between = replace(series, dimensions=(5.2, 7.5, 6.0, 6.4))
    profile = replace(profile, series={"twonn_linfit": between})
    for rounding, ranks in (("nearest", (4, 1, 1)), ("up", (3, 1, 2))):
        settings = RankSettings(rounding=rounding)
        applied = applied_method("gelora-paper", profile=profile, ranks=settings)
        assert block_ranks(applied) == ranks
    plan = plan_ranks(profile, target_modules="all-linear")
    applied = applied_method("gelora-paper", profile=profile, ranks=RankSettings(("all-linear",)))
    assert applied.ranks == plan.modules


def test_ranks_that_eva_would_move_are_refused():
    model = tiny_llama(LlamaForSequenceClassification, pad_token_id=0)  # keys of width 16
    given = {"profile": profile_of(model), "batches": tiny_batches, "budget": 50_000}
    with pytest.raises(RankError, match=r"has rank \d+ and scale 2, planned were rank \d+"):
        apply_method("gelora-eva", model, **given)


@pytest.mark.parametrize("name", NAMES)
def test_without_a_profile_there_are_no_ranks(name):
    assert find_method(name).needs_profile
    with pytest.raises(ConfigError, match="need a profile of the model's dimensions"):
        size(name, profile=None)
