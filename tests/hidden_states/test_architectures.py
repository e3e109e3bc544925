"""Blocks and roles are found in every architecture, and what is not found is listed."""

import pytest
import torch
import transformers as hf
from torch import nn

from gelora.errors import ArchitectureError
from gelora.hidden_states.architectures import (
    adapted_modules,
    find_architecture,
    find_backbone,
    require_attention,
)
from tiny_models import (
    NUM_BLOCKS,
    TINY_MODELS,
    tiny_bart,
    tiny_bert,
    tiny_gpt2,
    tiny_llama,
    tiny_t5,
)

BERT_ATTENTION = {
    "query": ["attention.self.query"],
    "key": ["attention.self.key"],
    "value": ["attention.self.value"],
    "output": ["attention.output.dense"],
}
LLAMA_ATTENTION = {
    "query": ["self_attn.q_proj"],
    "key": ["self_attn.k_proj"],
    "value": ["self_attn.v_proj"],
    "output": ["self_attn.o_proj"],
}
# Path of the blocks, attention modules by role, the other modules: all as they stand in block 0.
EXPECTED = {
    "bert": ("encoder.layer", BERT_ATTENTION, ["intermediate.dense", "output.dense"]),
    "roberta": ("encoder.layer", BERT_ATTENTION, ["intermediate.dense", "output.dense"]),
    "deberta": (
        "encoder.layer",
        {
            "query": ["attention.self.query_proj"],
            "key": ["attention.self.key_proj"],
            "value": ["attention.self.value_proj"],
            "output": ["attention.output.dense"],
        },
        ["intermediate.dense", "output.dense"],
    ),
    "electra": ("encoder.layer", BERT_ATTENTION, ["intermediate.dense", "output.dense"]),
    "modernbert": (
        "layers",
        {"query_key_value": ["attn.Wqkv"], "output": ["attn.Wo"]},
        ["mlp.Wi", "mlp.Wo"],
    ),
    "distilbert": (
        "transformer.layer",
        {
            "query": ["attention.q_lin"],
            "key": ["attention.k_lin"],
            "value": ["attention.v_lin"],
            "output": ["attention.out_lin"],
        },
        ["ffn.lin1", "ffn.lin2"],
    ),
    "gpt2": (
        "h",
        {"query_key_value": ["attn.c_attn"], "output": ["attn.c_proj"]},
        ["mlp.c_fc", "mlp.c_proj"],
    ),
    "gpt_neox": (
        "layers",
        {"query_key_value": ["attention.query_key_value"], "output": ["attention.dense"]},
        ["mlp.dense_4h_to_h", "mlp.dense_h_to_4h"],
    ),
    **{
        name: ("layers", LLAMA_ATTENTION, ["mlp.down_proj", "mlp.gate_proj", "mlp.up_proj"])
        for name in ("llama", "qwen3", "mistral", "gemma")
    },
    "phi3": (
        "layers",
        {"query_key_value": ["self_attn.qkv_proj"], "output": ["self_attn.o_proj"]},
        ["mlp.down_proj", "mlp.gate_up_proj"],
    ),
    "t5": (
        "encoder.block",
        {
            role: [f"layer.0.SelfAttention.{role[0]}"]
            for role in ("query", "key", "value", "output")
        },
        ["layer.1.DenseReluDense.wi", "layer.1.DenseReluDense.wo"],
    ),
    "bart": (
        "encoder.layers",
        {
            "query": ["self_attn.q_proj"],
            "key": ["self_attn.k_proj"],
            "value": ["self_attn.v_proj"],
            "output": ["self_attn.out_proj"],
        },
        ["fc1", "fc2"],
    ),
    "vit": (
        "layers",
        {
            "query": ["attention.q_proj"],
            "key": ["attention.k_proj"],
            "value": ["attention.v_proj"],
            "output": ["attention.o_proj"],
        },
        ["mlp.fc1", "mlp.fc2"],
    ),
}
CAUSAL = {"gpt2", "gpt_neox", "llama", "qwen3", "mistral", "phi3", "gemma"}
TWO_STACKS = {"t5", "bart"}


def modules_by_role(architecture, block):
    path = architecture.blocks[block]
    found = {}
    for module in architecture.modules:
        if module.block == block:
            found.setdefault(module.role, []).append(module.name.removeprefix(f"{path}."))
    return {role: sorted(names) for role, names in found.items()}


def test_every_architecture_is_expected():
    assert EXPECTED.keys() == TINY_MODELS.keys()
    assert len(TINY_MODELS) == 16


@pytest.mark.parametrize("name", TINY_MODELS)
def test_blocks_and_roles(name):
    path, attention, others = EXPECTED[name]
    architecture = find_architecture(TINY_MODELS[name]())
    require_attention(architecture)
    assert architecture.stacks[0].blocks == tuple(f"{path}.{i}" for i in range(NUM_BLOCKS))
    assert len(architecture.stacks) == (2 if name in TWO_STACKS else 1)
    assert architecture.is_causal == (name in CAUSAL)
    for block in range(NUM_BLOCKS):
        assert modules_by_role(architecture, block) == {**attention, "mlp": others}


@pytest.mark.parametrize("name", TINY_MODELS)
def test_sides_are_those_of_the_weights(name):
    model = TINY_MODELS[name]()
    for module in find_architecture(model).modules:
        sides = tuple(model.get_submodule(module.name).weight.shape)
        expected = module.in_features, module.out_features
        assert sides == (expected if name == "gpt2" else expected[::-1])


@pytest.mark.parametrize(
    ("model", "self_attention", "cross_attention"),
    [
        (tiny_t5(), "layer.0.SelfAttention.q", "layer.1.EncDecAttention.q"),
        (tiny_bart(), "self_attn.q_proj", "encoder_attn.q_proj"),
    ],
)
def test_decoder_is_a_stack_with_cross_attention(model, self_attention, cross_attention):
    architecture = find_architecture(model)
    encoder, decoder = architecture.stacks
    assert (encoder.name, decoder.name) == ("encoder", "decoder")
    assert all(path.startswith("decoder.") for path in decoder.blocks)
    roles = modules_by_role(architecture, NUM_BLOCKS)
    assert set(roles["query"]) == {self_attention, cross_attention}
    assert [len(roles[role]) for role in ("key", "value", "output")] == [2, 2, 2]


def test_unshared_position_projections_of_deberta_are_no_query_or_key():
    architecture = find_architecture(TINY_MODELS["deberta"](share_att_key=False))
    roles = modules_by_role(architecture, 0)
    assert roles["query"] == ["attention.self.query_proj"]
    assert "attention.self.pos_key_proj" in roles["mlp"]


def test_a_bert_that_decodes_is_causal():
    assert find_architecture(tiny_bert(is_decoder=True)).is_causal


def test_causal_models_whose_attention_does_not_say_so():
    config = hf.BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=4)
    assert find_architecture(hf.BloomModel(config)).is_causal


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        (tiny_bert(), ""),
        (tiny_bert(hf.BertForSequenceClassification), "bert."),
        (tiny_gpt2(hf.GPT2LMHeadModel), "transformer."),
        (tiny_llama(hf.LlamaForCausalLM), "model."),
        (tiny_t5(hf.T5ForConditionalGeneration), ""),
        (tiny_bart(hf.BartForSequenceClassification), "model."),
    ],
)
def test_paths_are_relative_to_the_backbone(model, prefix):
    architecture = find_architecture(model)
    assert architecture.prefix == prefix
    modules, backbone = dict(model.named_modules()), find_backbone(model)
    for module in architecture.modules:
        assert modules[prefix + module.name] is backbone.get_submodule(module.name)


class QuantisedLinear(nn.Module):
    """A stand-in for the linears of quantisation libraries: packed weight, sides as attributes."""

    def __init__(self, linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.register_buffer(
            "weight", torch.zeros(linear.weight.numel() // 2, 1, dtype=torch.uint8)
        )


def test_quantised_linears_are_known_by_their_sides():
    model = tiny_llama()
    plain = find_architecture(model)
    for module in plain.modules:
        model.set_submodule(module.name, QuantisedLinear(model.get_submodule(module.name)))
    assert find_architecture(model) == plain


class Residual(nn.Module):
    """A block with one attention-like part and one projection."""

    def __init__(self, part):
        super().__init__()
        self.mixer = part
        self.up = nn.Linear(4, 4)


class Unknown(nn.Module):
    def __init__(self, blocks, **others):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        for name, module in others.items():
            self.add_module(name, module)


class StrangeAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.alpha, self.o_proj = nn.Linear(4, 4), nn.Linear(4, 4)


def test_blocks_of_several_classes_are_one_stack():
    mixed = Unknown([Residual(StrangeAttention()), tiny_llama().layers[0]])
    assert find_architecture(mixed).blocks == ("blocks.0", "blocks.1")


def test_lists_without_attention_are_no_blocks_beside_one_with_it():
    features = nn.ModuleList([nn.Sequential(nn.Linear(4, 4))])
    model = Unknown([Residual(StrangeAttention())], features=features)
    assert find_architecture(model).blocks == ("blocks.0",)
    only_mixing = Unknown([Residual(nn.Linear(4, 4)) for _ in range(2)])
    assert find_architecture(only_mixing).blocks == ("blocks.0", "blocks.1")


def test_unknown_names_in_attention_are_adapted_with_it():
    architecture = find_architecture(Unknown([Residual(StrangeAttention())]))
    require_attention(architecture)
    roles = {module.name: module.role for module in architecture.modules}
    assert roles == {
        "blocks.0.mixer.alpha": "mixer",
        "blocks.0.mixer.o_proj": "output",
        "blocks.0.up": "mlp",
    }


def test_blocks_that_mix_no_tokens_are_listed():
    architecture = find_architecture(Unknown([Residual(nn.Linear(4, 4)) for _ in range(2)]))
    with pytest.raises(ArchitectureError, match=r"blocks\.0 has mixer, up: adapt 'all-linear'"):
        require_attention(architecture)


@pytest.mark.parametrize("targets", ["attention", ("attention",), ["attention"]])
def test_adapted_modules_needs_blocks_that_mix_tokens_however_they_are_asked_for(targets):
    architecture = find_architecture(Unknown([Residual(nn.Linear(4, 4)) for _ in range(2)]))
    with pytest.raises(ArchitectureError, match="No module of the blocks is known to mix tokens"):
        adapted_modules(architecture, targets)
    assert len(adapted_modules(architecture, ("all-linear",))) == len(architecture.modules)


def test_no_blocks_lists_what_was_seen():
    convolutions = Unknown([nn.Conv1d(4, 4, 1), nn.Conv1d(4, 4, 1)])
    with pytest.raises(ArchitectureError, match=r"in Unknown: .* are: blocks \(2 of Conv1d\)\."):
        find_architecture(convolutions)
    with pytest.raises(ArchitectureError, match=r"in Linear: .* its lists are: none\."):
        find_architecture(nn.Linear(2, 2))


def test_several_lists_of_blocks_that_are_no_encoder_and_decoder():
    towers = Unknown([Residual(StrangeAttention())], vision=tiny_llama())
    expected = r"Unknown has 2 lists of blocks .* \(blocks, vision\.layers\), and which of them"
    with pytest.raises(ArchitectureError, match=expected):
        find_architecture(towers)
