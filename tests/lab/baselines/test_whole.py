"""Full fine-tuning trains all there is, the linear probe the head alone."""

from transformers import (
    BertForSequenceClassification,
    DebertaV2ForSequenceClassification,
    GPT2LMHeadModel,
)

from deberta_base import deberta_base
from gelora.lab.baselines import Setting, Size, find_method
from tiny_methods import SETTING, apply_method, changed, fit_tiny, trainable, values
from tiny_models import tiny_bert, tiny_deberta, tiny_gpt2


def test_full_trains_everything(tmp_path):
    model = apply_method("full", tiny_bert(BertForSequenceClassification)).model
    before = values(model)
    assert trainable(model) == set(before)
    losses = fit_tiny(model, tmp_path, learning_rate=1e-3)
    assert losses[-1] < 0.8 * losses[0]
    still = before.keys() - changed(model, before)
    # One type of token is seen alone, and adding to all keys alike moves no attention.
    assert all(name.endswith(("key.bias", "type_embeddings.weight")) for name in still)


def test_a_tied_language_model_trains_whole_too():
    model = tiny_gpt2(GPT2LMHeadModel)
    size = find_method("full").size(model, 0, Setting(problem="instruction_tuning"))
    apply_method("full", model, problem="instruction_tuning")
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.lm_head.weight is model.transformer.wte.weight
    assert size == Size(0, model.num_parameters())


def test_full_counts_the_backbone_of_deberta_v3_base():
    embeddings = 128_100 * 768 + 2 * 768
    attention, norms = 4 * (768 + 1) * 768, 2 * 2 * 768
    block = attention + (768 + 1) * 3072 + (3072 + 1) * 768 + norms
    positions = 2 * 256 * 768 + 2 * 768
    size = find_method("full").size(deberta_base(), 1000, SETTING)
    assert size == Size(0, embeddings + 12 * block + positions)
    assert size.parameters == 183_831_552


def test_the_probe_trains_the_head_alone(tmp_path):
    model = tiny_deberta(DebertaV2ForSequenceClassification)
    before = values(model)
    assert find_method("linear-probe").size(model, 1000, SETTING) == Size(0, 0)
    apply_method("linear-probe", model)
    head = {name for name in before if name.startswith(("classifier.", "pooler."))}
    assert trainable(model) == head
    losses = fit_tiny(model, tmp_path, max_steps=120)
    assert losses[-1] < 0.8 * losses[0]
    assert changed(model, before) == head
