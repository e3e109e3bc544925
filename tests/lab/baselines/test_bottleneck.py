"""Bottleneck adapters stand where their papers put them, begin near nothing, and alone train."""

import copy

import pytest
import torch
from transformers import (
    BertForSequenceClassification,
    GPT2ForSequenceClassification,
    LlamaForSequenceClassification,
    RobertaForSequenceClassification,
)

from deberta_base import deberta_base
from gelora.errors import ArchitectureError
from gelora.hidden_states.architectures import find_architecture, model_fingerprint
from gelora.lab.baselines import Size, find_method
from gelora.lab.baselines.bottleneck import KINDS, Bottleneck, insert, places
from tiny_methods import SETTING, apply_method, changed, fit_tiny, trainable, values
from tiny_models import (
    MORE_MODELS,
    NUM_BLOCKS,
    TINY_MODELS,
    WIDTH,
    tiny_batch,
    tiny_bert,
    tiny_gpt2,
    tiny_llama,
    tiny_mixtral,
    tiny_roberta,
    tiny_t5,
)

MODELS = {
    name: build for name, build in {**TINY_MODELS, **MORE_MODELS}.items() if name != "mixtral"
}
CLASSIFIERS = {
    "bert": (tiny_bert, BertForSequenceClassification),
    "roberta": (tiny_roberta, RobertaForSequenceClassification),
    "gpt2": (tiny_gpt2, GPT2ForSequenceClassification),
    "llama": (tiny_llama, LlamaForSequenceClassification),
}
# The width that meets the budgets of 0.3, 0.6 and 1.2 million of arXiv 2303.10512, and of SQuAD.
BUDGETS = {
    ("houlsby", 4): 12 * 2 * (2 * 768 * 4 + 4 + 768),
    ("houlsby", 8): 313_536,
    ("houlsby", 16): 12 * 2 * (2 * 768 * 16 + 16 + 768),
    ("pfeiffer", 16): 304_320,
    ("pfeiffer", 32): 12 * (2 * 768 * 32 + 32 + 768),
    ("pfeiffer", 64): 12 * (2 * 768 * 64 + 64 + 768),
}


def forward(name, model):
    batch = tiny_batch(name)
    if model.config.is_encoder_decoder:
        batch["decoder_input_ids"] = batch["input_ids"]
    return model(**batch)[0]


@pytest.mark.parametrize(("name", "size"), BUDGETS)
def test_budgets_of_deberta_v3_base_are_the_papers(name, size):
    expected = Size(size, BUDGETS[name, size])
    method, model = find_method(name), deberta_base()
    step = (12 if name == "pfeiffer" else 24) * (2 * 768 + 1)
    for distance in (-0.49, 0, 0.5):  # of two equally near, the smaller
        assert method.size(model, expected.parameters + int(distance * step), SETTING) == expected
    applied = method.apply(model, expected, SETTING).model
    trained = {
        name: each.numel() for name, each in applied.named_parameters() if each.requires_grad
    }
    head = {name for name in trained if name.startswith(("pooler.", "classifier."))}
    assert all(name.split(".")[-3] == "bottleneck" for name in trained.keys() - head)
    assert sum(trained[name] for name in trained.keys() - head) == expected.parameters
    assert sum(trained[name] for name in head) == (768 + 1) * 768 + (768 + 1) * 2


def test_no_bottleneck_is_wider_than_the_states():
    model = tiny_bert(BertForSequenceClassification)
    assert find_method("pfeiffer").size(model, 10**9, SETTING).value == WIDTH
    assert find_method("houlsby").size(model, 0, SETTING).value == 1


@pytest.mark.parametrize("name", MODELS)
def test_every_adapter_is_reached_and_begins_as_all_but_nothing(name):
    model = MODELS[name]()
    before, fingerprint = forward(name, model), model_fingerprint(model)
    architecture = find_architecture(model)
    names = insert(model, "houlsby", 4)
    assert len(names) == 4 * len(places(model, after_attention=True))
    assert len(names) >= 4 * 2 * NUM_BLOCKS
    after = forward(name, model)
    assert not torch.equal(before, after)
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-3)
    after.pow(2).sum().backward()
    parameters = dict(model.named_parameters())
    assert all(parameters[each].grad.abs().max() > 0 for each in names)
    assert find_architecture(model) == architecture  # and no path has changed
    assert model_fingerprint(model) == fingerprint


def test_the_places_are_before_the_residual_sum():
    """A large bias behind a projection moves the norm's input by itself, once for each place."""
    model = tiny_bert(BertForSequenceClassification)
    expected = copy.deepcopy(model)
    insert(model, "pfeiffer", 4)
    with torch.no_grad():
        for index in range(NUM_BLOCKS):
            layer = f"bert.encoder.layer.{index}.output.dense"
            model.get_submodule(f"{layer}.bottleneck").up.bias.fill_(0.5)
            model.get_submodule(f"{layer}.bottleneck").up.weight.zero_()
            expected.get_submodule(layer).bias.add_(0.5)
        torch.testing.assert_close(
            model(**tiny_batch("bert")).logits, expected(**tiny_batch("bert")).logits
        )


def test_a_decoder_that_looks_at_an_encoder_has_an_adapter_more():
    ends = [place.name.rpartition(".")[2] for place in places(tiny_t5(), after_attention=True)]
    assert ends == ["o", "wo"] * NUM_BLOCKS + ["o", "o", "wo"] * NUM_BLOCKS
    assert len(places(tiny_t5(), after_attention=False)) == 2 * NUM_BLOCKS


@pytest.mark.parametrize("after_attention", [True, False])
def test_experts_without_a_projection_are_refused(after_attention):
    with pytest.raises(ArchitectureError, match=r"layers\.0 .* among self_attn\.q_proj, .*o_proj:"):
        places(tiny_mixtral(), after_attention=after_attention)


@pytest.mark.parametrize("family", CLASSIFIERS)
@pytest.mark.parametrize("name", KINDS)
def test_the_adapters_and_the_head_train_and_all_else_is_frozen(name, family, tmp_path):
    build, model_class = CLASSIFIERS[family]
    model = build(model_class)
    head = model.num_parameters() - model.base_model.num_parameters()
    method = find_method(name)
    size = method.size(model, 3000, SETTING)
    assert 2700 < size.parameters < 3300
    apply_method(name, model, budget=3000)
    before = values(model)
    assert sum(before[each].numel() for each in trainable(model)) == size.parameters + head
    assert all(
        ("bottleneck" in each) == (each in trainable(model)) for each in before if "layer" in each
    )
    losses = fit_tiny(model, tmp_path)
    assert losses[-1] < 0.8 * losses[0]
    assert changed(model, before) == trainable(model)


def test_the_two_authors_have_their_own_nonlinearity():
    states = torch.tensor([[-1.0, 2.0]])
    for name, expected in {"houlsby": torch.nn.GELU(), "pfeiffer": torch.nn.ReLU()}.items():
        adapter = Bottleneck(2, 2, KINDS[name].nonlinearity())
        with torch.no_grad():
            adapter.down.weight.copy_(torch.eye(2))
            adapter.up.weight.copy_(torch.eye(2))
            torch.testing.assert_close(adapter(states), states + expected(states))


def test_states_in_half_precision_stay_so():
    adapter = Bottleneck(8, 2, torch.nn.GELU())
    assert adapter(torch.ones(3, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert adapter.up.weight.dtype == torch.float32
