"""What is read between the halves of a block is its residual stream, in every architecture."""

import copy
from itertools import zip_longest

import pytest
import torch
import transformers as hf
from peft import LoraConfig, get_peft_model
from torch import nn

from gelora.activations import hidden_states
from gelora.architectures import find_architecture, find_backbone
from gelora.errors import ArchitectureError
from gelora.module_tree import projections
from gelora.reading import level_names, reading_points
from tiny_models import (
    MORE_MODELS,
    NUM_BLOCKS,
    TINY_MODELS,
    VOCAB_SIZE,
    WIDTH,
    tiny_bert,
    tiny_gpt2,
    tiny_gpt_neox,
    tiny_llama,
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


def batch_for(name, side="right"):
    generator = torch.Generator().manual_seed(0)
    if name == "vit":
        return {"pixel_values": torch.randn(3, 3, 16, 16, generator=generator)}
    rows = [torch.randint(4, VOCAB_SIZE, (n,), generator=generator) for n in (5, 9, 5, 3)]
    pad = {"batch_first": True, "padding_side": side}
    return {
        "input_ids": nn.utils.rnn.pad_sequence(rows, **pad),
        "attention_mask": nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], **pad),
    }


def by_level(model, batch, granularity="sublayer", **options):
    states = hidden_states(model, [batch], granularity=granularity, **options)
    return dict(zip(level_names(find_architecture(model), granularity), states, strict=True))


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
    model, batch = MODELS[name](), batch_for(name)
    found = by_level(model, batch)
    written, norm = ENDS[name]
    for block in find_architecture(model).blocks:
        halved = copy.deepcopy(model)
        for parameter in halved.get_submodule(filled(f"{block}.{written}", block)).parameters():
            nn.init.zeros_(parameter)
        if norm:
            halved.set_submodule(f"{block}.{norm}", nn.Identity())
        expected = by_level(halved, batch, granularity="block")[block]
        torch.testing.assert_close(found[f"{block}/attention"], expected, rtol=1e-5, atol=1e-5)
        assert not torch.allclose(found[f"{block}/mlp"], expected, atol=1e-2)


@pytest.mark.parametrize("name", ENDS)
def test_block_levels_are_the_same_at_both_granularities(name):
    model, batch = MODELS[name](), batch_for(name)
    found, expected = by_level(model, batch), by_level(model, batch, granularity="block")
    for level, states in expected.items():
        twin = f"{level}/mlp" if f"{level}/mlp" in found else level
        assert torch.equal(found[twin], states)
    assert len(found) == len(expected) + len(find_architecture(model).blocks)


@pytest.mark.parametrize("name", PARALLEL)
def test_parallel_halves_have_nothing_between_them(name):
    expected = (
        r"In block layers\.0 no state was found between attention and MLP, .* measure whole "
        r"blocks, with granularity='block' or --granularity block\."
    )
    with pytest.raises(ArchitectureError, match=expected):
        hidden_states(MODELS[name](), [batch_for(name)], granularity="sublayer")


@pytest.mark.parametrize("name", NORMS)
def test_normalized_states_are_what_the_next_norm_returns(name):
    model, batch = MODELS[name](), batch_for(name)
    raw = by_level(model, batch, pooling="first")
    found = by_level(model, batch, pooling="first", states="normalized")
    reads_block, reads_middle, reads_last = NORMS[name]
    readers = []
    for stack in find_architecture(model).stacks:
        readers.append(f"{stack.blocks[0]}.{reads_block}")
        for block, following in zip_longest(stack.blocks, stack.blocks[1:]):
            last = f"{following}.{reads_block}" if following else reads_last
            readers += [filled(f"{block}.{reads_middle}", block), filled(last, block)]
    assert raw.keys() == found.keys()
    for level, reader in zip(raw, readers, strict=True):
        expected = model.get_submodule(reader)(raw[level]).detach()
        torch.testing.assert_close(found[level], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", POST_NORM)
def test_states_that_come_out_of_a_norm_are_normalized_already(name):
    model, batch = MODELS[name](), batch_for(name)
    raw, found = by_level(model, batch), by_level(model, batch, states="normalized")
    assert all(torch.equal(found[level], raw[level]) for level in raw)


@pytest.mark.parametrize("name", ["electra", "olmo2", "opt_post_norm"])
def test_states_that_no_norm_reads(name):
    expected = r"No norm reads the state of embeddings, .* with states='raw' or --states raw\."
    with pytest.raises(ArchitectureError, match=expected):
        hidden_states(MODELS[name](), [batch_for(name)], states="normalized")


def points(model, batch, **options):
    backbone, architecture = find_backbone(model), find_architecture(model)
    return reading_points(backbone, architecture, batch, **options)


BOTH = {"granularity": "sublayer", "states": "normalized"}


@pytest.mark.parametrize("name", [*NORMS, *POST_NORM])
def test_places_do_not_depend_on_precision_padding_or_tokens(name):
    model, batch = MODELS[name](), batch_for(name)
    expected = points(model, batch, **BOTH)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert points(model, batch, **BOTH) == expected
    if name != "vit":
        assert points(model, batch_for(name, "left"), **BOTH) == expected
        one_token = {key: values[:1, :1] for key, values in batch.items()}
        assert points(model, one_token, **BOTH) == expected
        assert points(model.bfloat16(), batch, **BOTH) == expected
        assert points(model.half(), batch, **BOTH) == expected


class Packed(nn.Module):
    """A stand-in for quantised linears: sides as attributes, and a weight of another shape."""

    def __init__(self, linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = nn.Parameter(linear.weight.detach().flatten(), requires_grad=False)

    def forward(self, states):
        return states @ self.weight.view(self.out_features, self.in_features).T


def test_quantised_projections():
    model, batch = tiny_llama(), batch_for("llama")
    expected = by_level(model, batch, states="normalized")
    for module in find_architecture(model).modules:
        model.set_submodule(module.name, Packed(model.get_submodule(module.name)))
    found = by_level(model, batch, states="normalized")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "t5", "bart"])
def test_adapters_trained_and_untrained(name):
    model, batch = MODELS[name](), batch_for(name)
    places, plain = points(model, batch, **BOTH), by_level(model, batch)
    targets = [module.name for module in find_architecture(model).modules]
    wrapped = get_peft_model(
        model, LoraConfig(target_modules=targets, fan_in_fan_out=name == "gpt2")
    )
    assert points(wrapped, batch, **BOTH) == places
    torch.testing.assert_close(by_level(wrapped, batch), plain)
    for parameter_name, parameter in wrapped.named_parameters():
        if "lora_B" in parameter_name:
            nn.init.ones_(parameter)
    assert points(wrapped, batch, **BOTH) == places
    trained = by_level(wrapped, batch)
    middle = next(level for level in trained if level.endswith("/attention"))
    assert not torch.allclose(trained[middle], plain[middle], atol=1e-3)


def test_an_mlp_that_writes_nothing_is_read_all_the_same():
    model = tiny_gpt2()
    for parameter in model.h[1].mlp.c_proj.parameters():
        nn.init.zeros_(parameter)
    found = by_level(model, batch_for("gpt2"))
    assert torch.equal(found["h.1/attention"], found["h.1/mlp"])


def test_level_names():
    architecture = find_architecture(tiny_gpt2())
    assert level_names(architecture) == ("embeddings", "h.0", "h.1", "h.2")
    expected = ("embeddings", "h.0/attention", "h.0/mlp", "h.1/attention")
    assert level_names(architecture, "sublayer")[:4] == expected
    names = level_names(find_architecture(tiny_t5()))
    assert names[:2] == ("encoder.embeddings", "encoder.block.0")
    assert names[4:6] == ("decoder.embeddings", "decoder.block.0")


def test_blocks_that_are_shared_or_do_not_run():
    config = hf.AlbertConfig(
        vocab_size=VOCAB_SIZE, embedding_size=16, hidden_size=WIDTH, num_hidden_layers=NUM_BLOCKS,
        num_attention_heads=4, intermediate_size=64,
    )  # fmt: skip
    with pytest.raises(ArchitectureError, match="Block embeddings ran more than once in a forward"):
        points(hf.AlbertModel(config), batch_for("albert"), **BOTH)
    model = tiny_bert()
    output = hf.modeling_outputs.BaseModelOutputWithPastAndCrossAttentions
    model.encoder.forward = lambda states, *_, **__: output(last_hidden_state=states)
    with pytest.raises(ArchitectureError, match="4 of 4 blocks did not run .* first embeddings"):
        points(model, batch_for("bert"), **BOTH)


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix, self.up = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, states):
        states = states + self.mix(states)
        return states + self.up(states)


def test_a_block_without_attention_has_no_halves():
    model = nn.Sequential(nn.Embedding(VOCAB_SIZE, WIDTH), nn.ModuleList([Mixer()]))
    model.forward = lambda input_ids: model[1][0](model[0](input_ids))
    assert not any(found.inside_attention for found in projections(model))
    with pytest.raises(ArchitectureError, match=r"In block 1\.0 no state was found between"):
        points(model, batch_for("mixer"), granularity="sublayer", states="raw")
