"""The places found are those of the architecture, however a model is wrapped, stored or padded."""

import pytest
import torch
import transformers as hf
from peft import LoraConfig, get_peft_model
from torch import nn

from gelora.errors import ArchitectureError
from gelora.hidden_states.activations import hidden_states
from gelora.hidden_states.architectures import find_architecture, find_backbone
from gelora.hidden_states.hook_points import hook_points
from tiny_models import (
    MORE_MODELS,
    NUM_BLOCKS,
    TINY_MODELS,
    VOCAB_SIZE,
    WIDTH,
    tiny_batch,
    tiny_bert,
    tiny_gpt2,
    tiny_llama,
)

pytestmark = pytest.mark.filterwarnings(
    # peft 0.21 calls what transformers 5.23 is about to rename.
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)

MODELS = {**TINY_MODELS, **MORE_MODELS}
# Those left out have no middle, or a state that no norm reads.
NAMES = MODELS.keys() - {"gpt_neox", "phi", "electra", "olmo2"}


def points(model, batch, **options):
    backbone, architecture = find_backbone(model), find_architecture(model)
    return hook_points(backbone, architecture, batch, **options)


BOTH = {"granularity": "sublayer", "states": "normalized"}
SUBLAYER = {"granularity": "sublayer", "states": "raw"}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_places_do_not_depend_on_precision_padding_or_tokens(name):
    model, batch = MODELS[name](), tiny_batch(name)
    expected = points(model, batch, **BOTH)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert points(model, batch, **BOTH) == expected
    if name != "vit":
        assert points(model, tiny_batch(name, padding_side="left"), **BOTH) == expected
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
    model, batch = tiny_llama(), tiny_batch("llama")
    expected = hidden_states(model, [batch], **BOTH)
    for module in find_architecture(model).modules:
        model.set_submodule(module.name, Packed(model.get_submodule(module.name)))
    found = hidden_states(model, [batch], **BOTH)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "t5", "bart"])
def test_adapters_trained_and_untrained(name):
    model, batch = MODELS[name](), tiny_batch(name)
    places, plain = points(model, batch, **BOTH), hidden_states(model, [batch], **SUBLAYER)
    targets = [module.name for module in find_architecture(model).modules]
    wrapped = get_peft_model(
        model, LoraConfig(target_modules=targets, fan_in_fan_out=name == "gpt2")
    )
    assert points(wrapped, batch, **BOTH) == places
    torch.testing.assert_close(hidden_states(wrapped, [batch], **SUBLAYER), plain)
    for parameter_name, parameter in wrapped.named_parameters():
        if "lora_B" in parameter_name:
            nn.init.ones_(parameter)
    assert points(wrapped, batch, **BOTH) == places
    trained = hidden_states(wrapped, [batch], **SUBLAYER)
    assert not torch.allclose(trained[1], plain[1], atol=1e-3)


def test_an_mlp_that_writes_nothing_is_read_all_the_same():
    model = tiny_gpt2()
    for parameter in model.h[1].mlp.c_proj.parameters():
        nn.init.zeros_(parameter)
    found = hidden_states(model, [tiny_batch("gpt2")], **SUBLAYER)
    assert torch.equal(found[3], found[4])
    assert not torch.equal(found[1], found[2])


def test_blocks_that_are_shared_or_do_not_run():
    config = hf.AlbertConfig(
        vocab_size=VOCAB_SIZE, embedding_size=16, hidden_size=WIDTH, num_hidden_layers=NUM_BLOCKS,
        num_attention_heads=4, intermediate_size=64,
    )  # fmt: skip
    with pytest.raises(ArchitectureError, match="Block embeddings ran more than once in a forward"):
        points(hf.AlbertModel(config), tiny_batch("albert"), **BOTH)
    model = tiny_bert()
    output = hf.modeling_outputs.BaseModelOutputWithPastAndCrossAttentions
    model.encoder.forward = lambda states, *_, **__: output(last_hidden_state=states)
    with pytest.raises(ArchitectureError, match="4 of 4 blocks did not run .* first embeddings"):
        points(model, tiny_batch("bert"), **BOTH)


class Mixer(nn.Module):
    """Adds to its states twice, or both parts at once, without a norm."""

    def __init__(self, name, *, is_parallel=False):
        super().__init__()
        self.add_module(name, nn.Sequential(nn.Linear(WIDTH, WIDTH)))
        self.up, self.name, self.is_parallel = nn.Linear(WIDTH, WIDTH), name, is_parallel
        self.join = Join()

    def forward(self, states):
        mixed = self.get_submodule(self.name)(states)
        if self.is_parallel:
            return states + self.join(self.up(states), mixed)
        return states + mixed + self.up(states + mixed)


class Join(nn.Module):
    def forward(self, one, other):
        return one + other


class Mixers(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.embedding, self.blocks = nn.Embedding(VOCAB_SIZE, WIDTH), nn.ModuleList([block])

    def forward(self, input_ids):
        return self.blocks[0](self.embedding(input_ids))


def test_only_what_is_named_attention_ends_the_first_half():
    _, middle, _ = points(Mixers(Mixer("attention")), tiny_batch("mixer"), **SUBLAYER)
    found = middle.layer, middle.module, middle.side
    assert found == ("blocks.0/attention", "blocks.0.up", "input")
    with pytest.raises(ArchitectureError, match=r"In block blocks\.0 no state was found between"):
        points(Mixers(Mixer("mix")), tiny_batch("mixer"), **SUBLAYER)


def test_a_module_that_returns_both_halves_makes_the_blocks_input_no_middle():
    block = Mixer("attention", is_parallel=True)
    with pytest.raises(ArchitectureError, match=r"In block blocks\.0 no state was found between"):
        points(Mixers(block), tiny_batch("mixer"), **SUBLAYER)
