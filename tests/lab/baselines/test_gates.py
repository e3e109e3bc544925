"""LoRA with numbers between A and B, and the plain LoRA that is left of it: the same function."""

import pytest
import torch
from peft import PeftModel
from transformers import (
    BertForSequenceClassification,
    DebertaV2ForSequenceClassification,
    GPT2ForSequenceClassification,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    T5ForSequenceClassification,
)

from gelora.adapters import adapter_parameters, adapter_ranks
from gelora.exports import export_uniform
from gelora.lab.baselines import Setting, Size
from gelora.lab.baselines.gates import Gates, gated_layers, gated_lora, pruned, whole_ranks
from gelora.settings import RankSettings
from tiny_adapters import logits, peft_updates
from tiny_methods import SETTING, reloaded, values
from tiny_models import TINY_MODELS, tiny_bert, tiny_llama

FAMILIES = {
    "bert": BertForSequenceClassification,
    "deberta": DebertaV2ForSequenceClassification,
    "gpt2": GPT2ForSequenceClassification,
    "llama": LlamaForSequenceClassification,
}
COST = 32 + 32
MODULES = 3 * 4


def bert():
    return tiny_bert(BertForSequenceClassification)


def moved(model, *, rank=3, setting=SETTING):
    """Return a model whose update is not zero; half of its gates are closed, one module's all."""
    torch.manual_seed(0)
    wrapped = gated_lora(model, rank, setting, lambda number: Gates(torch.randn(number, 1)))
    layers = gated_layers(wrapped)
    with torch.no_grad():
        for one in layers:
            one.b.normal_(std=0.3)
            one.gates.values[torch.rand(rank) < 0.5] = 0
        layers[1].gates.values.zero_()
    return wrapped.eval()


def num_open(model):
    return {one.name: int((one.gates.values != 0).sum()) for one in gated_layers(model)}


def test_the_update_is_b_times_the_gates_times_a():
    model = moved(
        bert(), setting=Setting(problem="classification", ranks=RankSettings(scaling=3.0))
    )
    updates = peft_updates(model)
    for one in gated_layers(model):
        expected = 3 * one.b @ torch.diag(one.gates.values.flatten()) @ one.a
        torch.testing.assert_close(updates[one.name], expected.detach())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_plain_adapter_is_the_gated_one_without_what_is_closed(family, tmp_path):
    model = moved(TINY_MODELS[family](FAMILIES[family]))
    expected, ranks = logits(model), num_open(model)
    plain = pruned(model)
    torch.testing.assert_close(logits(plain), expected)
    loaded = reloaded(plain, TINY_MODELS[family](FAMILIES[family]), tmp_path)
    torch.testing.assert_close(logits(loaded), expected)
    layers = {name.rpartition(".lora_A")[0] for name in values(loaded) if ".lora_A" in name}
    assert layers == {f"base_model.model.{name}" for name, rank in ranks.items() if rank}
    assert sorted(adapter_ranks(loaded).values()) == sorted(r for r in ranks.values() if r)


def test_servers_get_the_plain_adapter_padded_to_one_rank(tmp_path):
    plain = pruned(moved(bert()))
    expected = logits(plain)
    plain.save_pretrained(str(tmp_path / "adapter"))
    with pytest.warns(match="llama.cpp"):  # of the head
        export_uniform(tmp_path / "adapter", tmp_path / "padded", rank=8)
    padded = PeftModel.from_pretrained(bert(), tmp_path / "padded").eval()
    assert set(adapter_ranks(padded).values()) == {8}
    torch.testing.assert_close(logits(padded), expected)


def test_a_module_whose_gates_are_all_closed_is_as_it_was():
    model = moved(bert())
    closed = gated_layers(model)[1].name
    before = model.get_base_model().get_submodule(closed).get_base_layer().weight
    pruned(model)
    assert model.get_base_model().get_submodule(closed).weight is before
    assert closed not in model.peft_config["default"].target_modules


def test_pruning_keeps_scale_gradients_and_dtype():
    model = pruned(
        moved(bert(), setting=Setting(problem="classification", ranks=RankSettings(scaling=0.5)))
    )
    ranks = adapter_ranks(model)
    assert adapter_parameters(model) == COST * sum(ranks.values())
    for name, rank in ranks.items():
        layer = model.get_base_model().bert.get_submodule(name)
        assert layer.scaling["default"] == 0.5
        assert layer.lora_alpha["default"] == 0.5 * rank
        for half in (layer.lora_A["default"], layer.lora_B["default"]):
            assert type(half) is torch.nn.Linear
            assert half.weight.requires_grad
            assert half.weight.shape == (half.out_features, half.in_features)


def test_the_size_is_the_whole_ranks_that_are_nearest_to_the_budget():
    assert whole_ranks(bert(), 20 * COST, SETTING) == Size(20, 20 * COST)
    assert whole_ranks(bert(), 20 * COST + COST // 2, SETTING) == Size(20, 20 * COST)
    assert whole_ranks(bert(), 20 * COST + COST // 2 + 1, SETTING) == Size(21, 21 * COST)
    assert whole_ranks(bert(), 1, SETTING) == Size(1, COST)
    assert whole_ranks(bert(), 10**9, SETTING) == Size(32 * MODULES, 32 * MODULES * COST)


def test_where_ranks_differ_in_cost_the_size_is_of_the_mean():
    setting = Setting(problem="instruction_tuning")  # query and output 64, key and value 48
    assert whole_ranks(tiny_llama(LlamaForCausalLM), 560, setting) == Size(10, 560)


def test_an_encoder_with_a_decoder_is_pruned_too():
    model = moved(TINY_MODELS["t5"](T5ForSequenceClassification))
    ranks = num_open(model)
    plain = pruned(model)
    assert adapter_parameters(plain) == COST * sum(ranks.values())
