"""What is read between the halves of a block is its residual stream, in every architecture."""

import copy
from itertools import zip_longest

import pytest
import torch
from torch import nn

from gelora.errors import ArchitectureError
from gelora.hidden_states.activations import hidden_states
from gelora.hidden_states.architectures import find_architecture
from gelora.hidden_states.hook_points import layer_names
from tiny_models import (
    MORE_MODELS,
    TINY_MODELS,
    tiny_batch,
    tiny_gpt2,
    tiny_gpt_neox,
    tiny_opt,
    tiny_t5,
)

MODELS = {
    **TINY_MODELS,
    **MORE_MODELS,
    "neox_sequential": lambda: tiny_gpt_neox(use_parallel_residual=False),
    "opt_post_norm": lambda: tiny_opt(do_layer_norm_before=False),
}
PARALLEL = {"gpt_neox", "phi"}
# What ends each block: the module that writes its MLP half, and the norm behind the sum, if any.
BERT_END = ("output.dense", "output.LayerNorm")
ENDS = {
    **dict.fromkeys(("bert", "roberta", "deberta", "electra"), BERT_END),
    "modernbert": ("mlp.Wo", None),
    "distilbert": ("ffn.lin2", "output_layer_norm"),
    "gpt2": ("mlp.c_proj", None),
    "neox_sequential": ("mlp.dense_4h_to_h", None),
    **dict.fromkeys(("llama", "qwen3", "mistral", "phi3", "gemma"), ("mlp.down_proj", None)),
    **dict.fromkeys(("gemma2", "olmo2", "granite"), ("mlp.down_proj", None)),
    "mixtral": ("mlp.experts", None),
    "t5": ("layer.{last}.DenseReluDense.wo", None),
    "bart": ("fc2", "final_layer_norm"),
    "opt": ("fc2", None),
    "opt_post_norm": ("fc2", "final_layer_norm"),
    "vit": ("mlp.fc2", None),
}
# The norms that read a block's input, its middle, and the last block of a stack.
LLAMA_NORMS = ("input_layernorm", "post_attention_layernorm", "norm")
NORMS = {
    **dict.fromkeys(
        ("llama", "qwen3", "mistral", "phi3", "gemma", "granite", "mixtral"), LLAMA_NORMS
    ),
    "gemma2": ("input_layernorm", "pre_feedforward_layernorm", "norm"),
    "gpt2": ("ln_1", "ln_2", "ln_f"),
    "neox_sequential": ("input_layernorm", "post_attention_layernorm", "final_layer_norm"),
    "t5": ("layer.0.layer_norm", "layer.{last}.layer_norm", "{stack}.final_layer_norm"),
    "opt": ("self_attn_layer_norm", "final_layer_norm", "decoder.final_layer_norm"),
    "vit": ("layernorm_before", "layernorm_after", "layernorm"),
    # Its embeddings come out of a norm, so its first block has none.
    "modernbert": ("attn_norm", "mlp_norm", "final_norm"),
}
POST_NORM = {"bert", "roberta", "deberta", "distilbert", "bart"}


def by_layer(model, batch, granularity="sublayer", **options):
    states = hidden_states(model, [batch], granularity=granularity, **options)
    return dict(zip(layer_names(find_architecture(model), granularity), states, strict=True))


def filled(path, block):
    """The path for a block: T5's MLP is the third part of a decoder's block, the second else."""
    stack = block.split(".")[0]
    return path.format(last=2 if stack == "decoder" else 1, stack=stack)


def test_every_architecture_is_expected():
    assert ENDS.keys() == MODELS.keys() - PARALLEL
    assert NORMS.keys() | POST_NORM | {"electra", "olmo2", "opt_post_norm"} == ENDS.keys()
    assert len(MODELS) == 24


@pytest.mark.parametrize("name", ENDS)
def test_without_its_mlp_half_a_block_returns_what_is_read_between_its_halves(name):
    model, batch = MODELS[name](), tiny_batch(name)
    found = by_layer(model, batch)
    written, norm = ENDS[name]
    for block in find_architecture(model).blocks:
        halved = copy.deepcopy(model)
        for parameter in halved.get_submodule(filled(f"{block}.{written}", block)).parameters():
            nn.init.zeros_(parameter)
        if norm:
            halved.set_submodule(f"{block}.{norm}", nn.Identity())
        expected = by_layer(halved, batch, granularity="block")[block]
        torch.testing.assert_close(found[f"{block}/attention"], expected, rtol=1e-5, atol=1e-5)
        assert not torch.allclose(found[f"{block}/mlp"], expected, atol=1e-2)


@pytest.mark.parametrize("name", ENDS)
def test_block_layers_are_the_same_at_both_granularities(name):
    model, batch = MODELS[name](), tiny_batch(name)
    found, expected = by_layer(model, batch), by_layer(model, batch, granularity="block")
    for layer, states in expected.items():
        twin = f"{layer}/mlp" if f"{layer}/mlp" in found else layer
        assert torch.equal(found[twin], states)
    assert len(found) == len(expected) + len(find_architecture(model).blocks)


@pytest.mark.parametrize("name", sorted(PARALLEL))
def test_parallel_halves_have_nothing_between_them(name):
    expected = (
        r"In block layers\.0 no state was found between attention and MLP, .* measure whole "
        r"blocks, with granularity='block' or --granularity block\."
    )
    with pytest.raises(ArchitectureError, match=expected):
        hidden_states(MODELS[name](), [tiny_batch(name)], granularity="sublayer")


@pytest.mark.parametrize("name", NORMS)
def test_normalized_states_are_what_the_next_norm_returns(name):
    model, batch = MODELS[name](), tiny_batch(name)
    raw = by_layer(model, batch, pooling="first")
    found = by_layer(model, batch, pooling="first", states="normalized")
    reads_block, reads_middle, reads_last = NORMS[name]
    readers = []
    for stack in find_architecture(model).stacks:
        readers.append(f"{stack.blocks[0]}.{reads_block}")
        for block, following in zip_longest(stack.blocks, stack.blocks[1:]):
            last = f"{following}.{reads_block}" if following else reads_last
            readers += [filled(f"{block}.{reads_middle}", block), filled(last, block)]
    assert raw.keys() == found.keys()
    for layer, reader in zip(raw, readers, strict=True):
        expected = model.get_submodule(reader)(raw[layer]).detach()
        torch.testing.assert_close(found[layer], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(POST_NORM))
def test_states_that_come_out_of_a_norm_are_normalized_already(name):
    model, batch = MODELS[name](), tiny_batch(name)
    raw, found = by_layer(model, batch), by_layer(model, batch, states="normalized")
    assert all(torch.equal(found[layer], raw[layer]) for layer in raw)


@pytest.mark.parametrize("name", ["electra", "olmo2", "opt_post_norm"])
def test_states_that_no_norm_reads(name):
    expected = r"No norm reads the state of embeddings, .* with states='raw' or --states raw\."
    with pytest.raises(ArchitectureError, match=expected):
        hidden_states(MODELS[name](), [tiny_batch(name)], states="normalized")


def test_layer_names():
    architecture = find_architecture(tiny_gpt2())
    assert layer_names(architecture) == ("embeddings", "h.0", "h.1", "h.2")
    expected = ("embeddings", "h.0/attention", "h.0/mlp", "h.1/attention")
    assert layer_names(architecture, "sublayer")[:4] == expected
    names = layer_names(find_architecture(tiny_t5()))
    assert names[:2] == ("encoder.embeddings", "encoder.block.0")
    assert names[4:6] == ("decoder.embeddings", "decoder.block.0")
