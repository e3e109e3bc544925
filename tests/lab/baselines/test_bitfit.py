"""BitFit trains all biases of the backbone beside the head, and counts them."""

import pytest
from transformers import (
    BertForSequenceClassification,
    DebertaConfig,
    DebertaForSequenceClassification,
    LlamaForSequenceClassification,
)

from deberta_base import deberta_base
from gelora.errors import ArchitectureError
from gelora.lab.baselines import Size, find_method
from gelora.lab.baselines.freezing import biases
from tiny_methods import SETTING, apply_method, changed, fit_tiny, trainable, values
from tiny_models import NUM_BLOCKS, VOCAB_SIZE, WIDTH, tiny_bert, tiny_llama

HEAD = {"classifier.weight", "classifier.bias"}


def test_the_biases_and_the_head_train_and_all_else_is_frozen(tmp_path):
    model = apply_method("bitfit", tiny_bert(BertForSequenceClassification)).model
    before = values(model)
    expected = {name for name in before if name.endswith(".bias")} | HEAD
    assert "bert.embeddings.LayerNorm.bias" in expected
    assert trainable(model) == expected
    losses = fit_tiny(model, tmp_path, max_steps=120)
    assert losses[-1] < 0.8 * losses[0]
    moved = changed(model, before)
    # Adding to all keys alike moves no attention, up to rounding.
    assert {name for name in expected if not name.endswith("key.bias")} <= moved <= expected


def test_the_count_is_the_closed_formula():
    width, inner = WIDTH, 64
    model = tiny_bert(BertForSequenceClassification, intermediate_size=inner)
    block = 4 * width + (inner + width) + 2 * width  # attention, feed-forward, two norms
    expected = Size(0, width + NUM_BLOCKS * block + width)  # the embeddings' norm, the pooler
    assert find_method("bitfit").size(model, 10**6, SETTING) == expected
    before = expected.parameters + model.classifier.weight.numel() + model.classifier.bias.numel()
    apply_method("bitfit", model)
    assert sum(each.numel() for each in model.parameters() if each.requires_grad) == before


def test_deberta_v3_base_has_the_share_that_adalora_reports():
    """0.1 M of 184 M parameters, in table 1 of arXiv 2303.10512."""
    block = 4 * 768 + (3072 + 768) + 2 * 768
    size = find_method("bitfit").size(deberta_base(), 0, SETTING)
    assert size == Size(0, 12 * block + 2 * 768) == Size(0, 102_912)


def test_biases_kept_beside_their_projection_count():
    config = DebertaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        type_vocab_size=0,
    )
    model = DebertaForSequenceClassification(config)
    found = biases(model, "classification")
    attention = "deberta.encoder.layer.0.attention.self"
    assert {f"{attention}.q_bias", f"{attention}.v_bias"} <= found.keys()


def test_a_model_without_biases_is_refused():
    model = tiny_llama(LlamaForSequenceClassification)
    with pytest.raises(ArchitectureError, match="LlamaForSequenceClassification has no biases"):
        find_method("bitfit").size(model, 0, SETTING)
    with pytest.raises(ArchitectureError, match="leave out bitfit"):
        apply_method("bitfit", model)
