"""LoRA of one rank and its kin: their sizes by formula, what trains, and that they train."""

import pytest
import torch
from peft.tuners.lora import LoraLayer
from transformers import (
    BertForSequenceClassification,
    DebertaV2ForSequenceClassification,
    DistilBertForSequenceClassification,
    GPT2ForSequenceClassification,
    LlamaForCausalLM,
)

from deberta_base import deberta_base
from gelora.adapters import adapter_parameters, adapter_ranks
from gelora.errors import RankError
from gelora.lab.baselines import Setting, Size, find_method
from gelora.settings import RankSettings
from tiny_adapters import logits
from tiny_methods import (
    SETTING,
    apply_method,
    changed,
    fit_tiny,
    reloaded,
    trainable,
    values,
)
from tiny_models import TINY_MODELS, tiny_bert, tiny_gpt2, tiny_llama

NAMES = ("lora", "rslora", "dora", "pissa")
MODULES = 3 * 4  # blocks, and the query, key, value and output in each
PER_RANK = MODULES * (32 + 32)
CLASSIFIERS = {
    "bert": BertForSequenceClassification,
    "deberta": DebertaV2ForSequenceClassification,
    "distilbert": DistilBertForSequenceClassification,
    "gpt2": GPT2ForSequenceClassification,
}


def bert():
    return tiny_bert(BertForSequenceClassification)


@pytest.mark.parametrize("name", ["lora", "rslora", "pissa"])
def test_the_nearest_rank_by_formula(name):
    size = find_method(name).size
    assert size(bert(), 4 * PER_RANK, SETTING) == Size(4, 4 * PER_RANK)
    assert size(bert(), 4 * PER_RANK + PER_RANK // 2, SETTING) == Size(4, 4 * PER_RANK)
    assert size(bert(), 4 * PER_RANK + PER_RANK // 2 + 1, SETTING) == Size(5, 5 * PER_RANK)
    assert size(bert(), 1, SETTING) == Size(1, PER_RANK)
    assert size(bert(), 10**9, SETTING) == Size(32, 32 * PER_RANK)


def test_dora_counts_a_magnitude_for_every_row():
    magnitudes = MODULES * 32
    size = find_method("dora").size(bert(), 4 * PER_RANK, SETTING)
    assert size == Size(3, 3 * PER_RANK + magnitudes)


@pytest.mark.parametrize(("rank", "parameters"), [(2, 331_776), (8, 1_327_104)])
def test_adalora_s_table_of_lora_s_sizes_for_deberta_v3_base(rank, parameters):
    setting = Setting(problem="classification", ranks=RankSettings(("all-linear",)))
    size = find_method("lora").size(deberta_base(), parameters, setting)
    assert size == Size(rank, parameters)


def test_the_rank_is_no_larger_than_the_smallest_matrix():
    model = tiny_llama(LlamaForCausalLM)  # keys and values of width 16
    size = find_method("lora").size(model, 10**9, Setting(problem="instruction_tuning"))
    assert size.value == 16


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("family", CLASSIFIERS)
def test_what_trains_is_what_the_formula_counts_and_the_head(name, family):
    model = TINY_MODELS[family](CLASSIFIERS[family])
    size = find_method(name).size(model, 3000, SETTING)
    applied = apply_method(name, model, budget=3000)
    assert adapter_parameters(applied.model) == size.parameters
    assert set(applied.ranks.values()) == {size.value}
    assert applied.ranks == adapter_ranks(applied.model)
    heads = ("classifier.", "pooler.", "pre_classifier.", "score.")
    for parameter in trainable(applied.model):
        assert ".lora_" in parameter or any(
            f".{head}modules_to_save" in parameter for head in heads
        )
    assert all(p.dtype == torch.float32 for p in applied.model.parameters() if p.requires_grad)


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_leaves_the_rest_alone_and_loads_as_it_was_saved(name, tmp_path):
    model = apply_method(name, bert(), budget=2 * PER_RANK).model
    before = values(model)
    losses = fit_tiny(model, tmp_path)
    assert losses[-1] < 0.8 * losses[0]
    assert changed(model, before) == trainable(model)
    loaded = reloaded(model, bert(), tmp_path)
    torch.testing.assert_close(logits(loaded), logits(model.eval()))


@pytest.mark.parametrize("name", NAMES)
def test_before_training_the_model_computes_what_it_did(name):
    model = tiny_gpt2(GPT2ForSequenceClassification)
    expected = logits(model)
    applied = apply_method(name, model, budget=3000)
    torch.testing.assert_close(logits(applied.model.eval()), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "rank", "scale"), [("lora", 4, 3), ("pissa", 4, 3), ("rslora", 4, 6), ("dora", 3, 3)]
)
def test_alpha_per_rank_is_the_same_and_rslora_divides_alpha_by_the_root(name, rank, scale):
    applied = apply_method(name, bert(), budget=4 * PER_RANK, ranks=RankSettings(scaling=3.0))
    layers = [module for module in applied.model.modules() if isinstance(module, LoraLayer)]
    assert len(layers) == MODULES
    assert {layer.lora_alpha["default"] for layer in layers} == {3 * rank}
    assert {layer.scaling["default"] for layer in layers} == {scale}


def test_pissa_trains_the_largest_singular_values():
    model = bert()
    weights = {n: m.weight.detach().clone() for n, m in model.named_modules() if "query" in n}
    applied = apply_method("pissa", model, budget=4 * PER_RANK)
    layers = dict(applied.model.get_base_model().named_modules())
    for name, weight in weights.items():
        u, s, v = torch.linalg.svd(weight)
        largest = u[:, :4] * s[:4] @ v[:4]
        update = layers[name].get_delta_weight("default")
        torch.testing.assert_close(update, largest, rtol=1e-4, atol=1e-5)


def test_dora_trains_the_norms_of_the_rows():
    applied = apply_method("dora", bert(), budget=4 * PER_RANK)
    names = {name for name in trainable(applied.model) if "magnitude" in name}
    assert len(names) == MODULES
    assert sum(values(applied.model)[name].numel() for name in names) == MODULES * 32


@pytest.mark.parametrize("rank", [1, 2, 16])
def test_a_rank_by_name_ignores_the_budget(rank):
    method = find_method(f"lora-r{rank}")
    assert method.name == f"lora-r{rank}"
    assert method.size(bert(), 12345, SETTING) == Size(rank, rank * PER_RANK)
    applied = apply_method(method.name, bert(), budget=12345)
    assert adapter_parameters(applied.model) == rank * PER_RANK


def test_modules_are_chosen_as_for_plans():
    applied = apply_method("lora", bert(), budget=100, ranks=RankSettings(("query", "value")))
    assert len(applied.ranks) == 6
    assert all(name.endswith(("query", "value")) for name in applied.ranks)
    with pytest.raises(RankError, match="No module of the blocks is named 'qeury'"):
        apply_method("lora", bert(), ranks=RankSettings(("qeury",)))


def test_a_language_model_has_no_new_head():
    applied = apply_method("lora", tiny_llama(LlamaForCausalLM), problem="instruction_tuning")
    assert all(".lora_" in name for name in trainable(applied.model))
