"""The head trains with what a method names, and nothing else does."""

import pytest
import torch
from transformers import (
    BertForSequenceClassification,
    DebertaV2ForSequenceClassification,
    GPT2LMHeadModel,
    LlamaForCausalLM,
)

from gelora.errors import ConfigError
from gelora.lab.baselines.freezing import backbone_parameters, train_with_head
from gelora.training.train import train_in_float32
from tiny_methods import apply_method, trainable
from tiny_models import tiny_bert, tiny_deberta, tiny_gpt2, tiny_llama


def test_debertas_pooler_is_head_and_berts_is_backbone():
    deberta = tiny_deberta(DebertaV2ForSequenceClassification)
    names = dict(deberta.named_parameters()).keys()
    assert names - backbone_parameters(deberta, "classification").keys() == {
        "pooler.dense.weight",
        "pooler.dense.bias",
        "classifier.weight",
        "classifier.bias",
    }
    bert = tiny_bert(BertForSequenceClassification)
    assert "bert.pooler.dense.weight" in backbone_parameters(bert, "classification")


@pytest.mark.parametrize("tied", [True, False])
def test_a_language_models_own_head_is_backbone(tied):
    model = tiny_llama(LlamaForCausalLM, tie_word_embeddings=tied)
    backbone = backbone_parameters(model, "instruction_tuning")
    assert backbone.keys() == dict(model.named_parameters()).keys()
    assert ("lm_head.weight" in backbone) == (not tied)


def test_what_trained_before_is_frozen():
    model = tiny_bert(BertForSequenceClassification).requires_grad_(True)
    names = {"bert.encoder.layer.0.output.dense.bias"}
    train_with_head(model, "classification", names)
    assert trainable(model) == names | {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize("method", ["full", "bitfit", "houlsby", "linear-probe"])
def test_half_precision_is_seen_to_by_the_same_function_as_an_adapters(method):
    model = tiny_bert(BertForSequenceClassification).bfloat16()
    apply_method(method, model, budget=3000)
    with pytest.raises(ConfigError, match="model is in bfloat16.* add --bf16 true"):
        train_in_float32(model, has_autocast=False)
    train_in_float32(model, has_autocast=True)
    for parameter in model.parameters():
        expected = torch.float32 if parameter.requires_grad else torch.bfloat16
        assert parameter.dtype == expected


def test_without_a_new_head_a_probe_has_nothing_to_train():
    model = tiny_gpt2(GPT2LMHeadModel)
    with pytest.raises(ConfigError, match="In GPT2LMHeadModel .* to train for instruction_tuning"):
        train_with_head(model, "instruction_tuning", ())


def test_quantised_weights_are_not_trained():
    model = tiny_bert(BertForSequenceClassification)
    weight = torch.nn.Parameter(torch.zeros(4, dtype=torch.uint8), requires_grad=False)
    model.bert.pooler.dense.weight = weight
    names = backbone_parameters(model, "classification")
    with pytest.raises(ConfigError, match=r"bert\.pooler\.dense\.weight .* in uint8: load"):
        train_with_head(model, "classification", names)
    train_with_head(model, "classification", ["bert.pooler.dense.bias"])
