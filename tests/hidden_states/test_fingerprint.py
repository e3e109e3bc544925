"""A model is told from another, and from itself neither by adapters nor by its dtype."""

import copy

import pytest
import torch
import transformers as hf
from peft import LoraConfig, get_peft_model

from gelora.errors import ModelMismatchError
from gelora.hidden_states.architectures import (
    check_fingerprint,
    find_architecture,
    find_backbone,
    model_fingerprint,
)
from tiny_models import TINY_MODELS, tiny_bert, tiny_gpt2, tiny_llama, tiny_roberta, tiny_vit

pytestmark = pytest.mark.filterwarnings(
    # peft 0.21 calls what transformers 5.23 is about to rename.
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)


@pytest.mark.parametrize("name", TINY_MODELS)
def test_adapters_change_neither_names_nor_fingerprint(name):
    model = TINY_MODELS[name]()
    plain, fingerprint = find_architecture(model), model_fingerprint(model)
    targets = [module.name for module in plain.modules]
    config = LoraConfig(target_modules=targets, fan_in_fan_out=name == "gpt2")
    wrapped = get_peft_model(model, config)
    assert find_architecture(wrapped) == plain
    assert model_fingerprint(wrapped) == fingerprint
    assert find_backbone(wrapped) is model


def test_saved_modules_and_adapted_embeddings_change_nothing():
    model = tiny_bert(hf.BertForSequenceClassification)
    plain, fingerprint = find_architecture(model), model_fingerprint(model)
    saved = ["classifier", "encoder.layer.0.output.dense"]
    config = LoraConfig(target_modules=["query", "word_embeddings"], modules_to_save=saved)
    wrapped = get_peft_model(model, config)
    assert find_architecture(wrapped) == plain
    check_fingerprint(wrapped, fingerprint)


def test_an_adapted_embedding_inside_a_block_is_no_projection():
    model = TINY_MODELS["t5"]()
    plain = find_architecture(model)
    wrapped = get_peft_model(model, LoraConfig(target_modules=["q", "relative_attention_bias"]))
    assert find_architecture(wrapped) == plain


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "vit"])
def test_dtype_is_free(name, dtype):
    model = TINY_MODELS[name]()
    fingerprint = model_fingerprint(model)
    check_fingerprint(model.to(dtype), fingerprint)


def test_head_is_free():
    classifier = tiny_bert(hf.BertForSequenceClassification, num_labels=3)
    assert model_fingerprint(classifier) == model_fingerprint(classifier.bert)


def test_weights_are_strided_over_the_first_rows_and_the_last_module():
    model = tiny_bert()
    fingerprint = model_fingerprint(model)
    embedding = model.embeddings.word_embeddings.weight
    last = model.encoder.layer[2].output.dense.weight
    assert fingerprint["embedding_weights"] == embedding.flatten()[:: 64 * 32 // 32].tolist()
    assert fingerprint["block_weights"] == last.flatten()[:: 32 * 64 // 32].tolist()
    assert len(model_fingerprint(tiny_vit())["embedding_weights"]) == 32


def test_weights_that_cannot_be_read_are_left_out():
    model = tiny_llama()
    fingerprint = model_fingerprint(model)
    on_meta = copy.deepcopy(model).to("meta")
    unread = {"embedding_weights": None, "block_weights": None}
    assert model_fingerprint(on_meta) == fingerprint | unread
    check_fingerprint(on_meta, fingerprint)
    check_fingerprint(model, model_fingerprint(on_meta))


def test_a_token_added_at_the_end_of_a_large_vocabulary_changes_nothing():
    model = tiny_llama(vocab_size=1200)
    fingerprint = model_fingerprint(model)
    model.resize_token_embeddings(1201)
    assert model_fingerprint(model) == fingerprint


def test_another_type_or_depth_is_another_model():
    fingerprint = model_fingerprint(tiny_bert())
    expected = "made for a bert model of 3 blocks, and this is a gpt2 model of 3 blocks: measure"
    with pytest.raises(ModelMismatchError, match=expected):
        check_fingerprint(tiny_gpt2(), fingerprint)
    expected = "made for a bert model of 3 blocks, and this is a bert model of 2 blocks: measure"
    with pytest.raises(ModelMismatchError, match=expected):
        check_fingerprint(tiny_bert(num_hidden_layers=2), fingerprint)


def test_other_shapes_are_another_model():
    expected = "this is a bert model of 3 blocks with other modules or shapes: measure this model"
    with pytest.raises(ModelMismatchError, match=expected):
        check_fingerprint(tiny_bert(intermediate_size=48), model_fingerprint(tiny_bert()))


def test_same_shapes_of_another_type_are_another_model():
    expected = "made for a roberta model of 3 blocks, and this is a bert model of 3 blocks: measure"
    with pytest.raises(ModelMismatchError, match=expected):
        check_fingerprint(tiny_bert(), model_fingerprint(tiny_roberta()))


def test_other_embeddings_are_another_model():
    model = tiny_llama()
    fingerprint = model_fingerprint(model)
    with torch.no_grad():
        model.embed_tokens.weight[4] += 0.5  # sample 2 is entry 128, row 4
    was = fingerprint["embedding_weights"][2]
    expected = f"sample 2 of its input embedding was {was:g} and is {was + 0.5:g} here; measure"
    with pytest.raises(ModelMismatchError, match=expected):
        check_fingerprint(model, fingerprint)


@pytest.mark.parametrize("name", TINY_MODELS)
def test_blocks_of_other_weights_are_another_model(name):
    model = TINY_MODELS[name]()
    fingerprint = model_fingerprint(model)
    last = find_architecture(model).modules[-1].name
    with torch.no_grad():
        model.get_submodule(last).weight.mul_(1.5)
    with pytest.raises(ModelMismatchError, match="other weights: sample 0 of its last block was"):
        check_fingerprint(model, fingerprint)


def test_a_file_without_fingerprint_fits_no_model():
    with pytest.raises(ModelMismatchError, match="made for a None model, and this is a bert model"):
        check_fingerprint(tiny_bert(), {})
