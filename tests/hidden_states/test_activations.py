"""Pooled states are those that Transformers gives, and do not depend on padding or batches."""

import pytest
import torch
import transformers as hf
from torch import nn

from gelora.errors import ArchitectureError, ConfigError, DataError
from gelora.hidden_states.activations import hidden_states, pooled_states
from gelora.hidden_states.architectures import find_architecture, find_backbone
from tiny_models import (
    NUM_BLOCKS,
    TINY_MODELS,
    VOCAB_SIZE,
    WIDTH,
    tiny_bart,
    tiny_bert,
    tiny_llama,
    tiny_t5,
    tiny_vit,
)

TEXT_MODELS = [name for name in TINY_MODELS if name != "vit"]
# Their positions are counted over the padding too, so padding on the left moves them.
COUNT_PADDING = {"bert", "electra", "distilbert", "gpt2", "bart"}
LENGTHS = (5, 9, 3, 7)


def sequences(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(4, VOCAB_SIZE, (length,), generator=generator) for length in LENGTHS]


def padded(rows, side="right"):
    tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_side=side)
    ones = [torch.ones_like(row) for row in rows]
    mask = nn.utils.rnn.pad_sequence(ones, batch_first=True, padding_side=side)
    return {"input_ids": tokens, "attention_mask": mask}


def pooled_by_hand(states, mask, pooling):
    rows = [row[keep.bool()].double() for row, keep in zip(states, mask, strict=True)]
    choose = {
        "mean": lambda row: row.mean(0),
        "last": lambda row: row[-1],
        "first": lambda row: row[0],
    }
    return torch.stack([choose[pooling](row) for row in rows]).float()


def final_norm(backbone, stack):
    """The norm that Transformers applies to the last of `hidden_states`, and we do not."""
    root = backbone.get_submodule(stack) if stack else backbone
    names = ("norm", "final_norm", "ln_f", "final_layer_norm", "layernorm")
    return next((getattr(root, name) for name in names if hasattr(root, name)), nn.Identity())


def reference(model, batch, pooling):
    """Every layer from `output_hidden_states=True`; the last of a stack is after its norm."""
    with torch.no_grad():
        output = model(**batch, output_hidden_states=True)
    mask = batch["attention_mask"]
    if model.config.is_encoder_decoder:
        layers = (*output.encoder_hidden_states, *output.decoder_hidden_states)
    else:
        layers = output.hidden_states
    return [pooled_by_hand(layer, mask, pooling) for layer in layers]


def with_decoder_inputs(model, rows, side):
    """The decoder reads the same tokens behind the start token, less the last."""
    batch = padded(rows, side)
    if not model.config.is_encoder_decoder:
        return batch
    start = torch.tensor([model.config.decoder_start_token_id])
    shifted = padded([torch.cat([start, row[:-1]]) for row in rows], side)
    return {**batch, **{f"decoder_{name}": values for name, values in shifted.items()}}


@pytest.mark.parametrize("pooling", ["mean", "last", "first"])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", TEXT_MODELS)
def test_states_are_those_of_transformers(name, side, pooling):
    model = TINY_MODELS[name]()
    expected = reference(model, with_decoder_inputs(model, sequences(), side), pooling)
    found = hidden_states(model, [padded(sequences(), side)], pooling=pooling)
    assert len(found) == len(expected)
    block = 0
    for stack in find_architecture(model).stacks:
        last = block + len(stack.blocks)
        for layer in range(block, last):
            torch.testing.assert_close(found[layer], expected[layer], rtol=1e-4, atol=1e-5)
        if pooling != "mean":  # a norm does not commute with a mean over tokens
            normed = final_norm(model, stack.name)(found[last]).detach()
            torch.testing.assert_close(normed, expected[last], rtol=1e-4, atol=1e-5)
        block = last + 1


@pytest.mark.parametrize("name", ["llama", "modernbert", "gpt2", "t5", "bert"])
def test_the_last_block_is_taken_before_the_final_norm(name):
    model = TINY_MODELS[name]()
    outputs = {}
    last = find_architecture(model).stacks[0].blocks[-1]
    block = model.get_submodule(last)
    handle = block.register_forward_hook(lambda _m, _i, output: outputs.update(raw=output))
    batch = padded(sequences())
    states = hidden_states(model, [batch], pooling="mean")
    handle.remove()
    raw = outputs["raw"] if isinstance(outputs["raw"], torch.Tensor) else outputs["raw"][0]
    by_hand = pooled_by_hand(raw, batch["attention_mask"], "mean")
    torch.testing.assert_close(states[NUM_BLOCKS], by_hand)


@pytest.mark.parametrize("pooling", ["mean", "last", "first"])
@pytest.mark.parametrize("name", TEXT_MODELS)
def test_batches_and_padding_do_not_matter(name, pooling, seed):
    model, rows = TINY_MODELS[name](), sequences(seed)
    together = hidden_states(model, [padded(rows)], pooling=pooling)
    alone = hidden_states(model, [padded([row]) for row in rows], pooling=pooling)
    wider = [padded([*rows, torch.full((12,), 5)])]
    beside = [layer[:-1] for layer in hidden_states(model, wider, pooling=pooling)]
    left = hidden_states(model, [padded(rows, "left")], pooling=pooling)
    others = [alone, beside] if name in COUNT_PADDING else [alone, beside, left]
    for layer, expected in enumerate(together):
        assert expected.shape == (len(rows), WIDTH)
        assert expected.dtype == torch.float32
        for other in others:
            torch.testing.assert_close(other[layer], expected, rtol=1e-3, atol=1e-4)


def test_images_are_pooled_over_all_patches():
    model = tiny_vit()
    pixels = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(pixels, output_hidden_states=True).hidden_states
    found = hidden_states(model, [{"pixel_values": pixels[:2]}, {"pixel_values": pixels[2:]}])
    for ours, theirs in zip(found[:-1], expected[:-1], strict=True):
        torch.testing.assert_close(ours, theirs.mean(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("headed", "head"),
    [
        (tiny_bert(hf.BertForSequenceClassification), "classifier"),
        (tiny_llama(hf.LlamaForCausalLM), "lm_head"),
        (tiny_t5(hf.T5ForConditionalGeneration), "lm_head"),
        (tiny_bart(hf.BartForSequenceClassification), "classification_head"),
    ],
)
def test_the_head_does_not_run_and_labels_do_not_matter(headed, head):
    def refuse(*_):
        raise AssertionError

    batch = padded(sequences())
    plain = hidden_states(find_backbone(headed), [batch])
    handle = headed.get_submodule(head).register_forward_pre_hook(refuse)
    found = hidden_states(headed, [{**batch, "labels": torch.zeros(4)}])
    handle.remove()
    torch.testing.assert_close(found, plain, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "t5", "bart"])
def test_no_keys_and_values_are_kept(name):
    model, outputs = TINY_MODELS[name](), []
    model.register_forward_hook(lambda _module, _args, output: outputs.append(output))
    hidden_states(model, [padded(sequences())])
    assert outputs[0].past_key_values is None


class NotOfTransformers(nn.Module):
    """Takes what it names and nothing else."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCAB_SIZE, WIDTH)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(WIDTH, WIDTH)) for _ in range(2)])

    def forward(self, input_ids):
        states = self.embedding(input_ids)
        for block in self.blocks:
            states = block(states)
        return states


def test_columns_that_the_backbone_does_not_take_are_left_out_and_the_mask_still_pools():
    model, rows = NotOfTransformers(), sequences()
    found = hidden_states(model, [{**padded(rows), "labels": torch.zeros(4)}])
    embedded = torch.stack([model.embedding(row).mean(dim=0) for row in rows]).detach()
    torch.testing.assert_close(found[0], embedded)
    torch.testing.assert_close(found[2], model.blocks[1](model.blocks[0](embedded)).detach())


def test_t5_with_a_head_has_the_states_of_t5_without():
    headed = tiny_t5(hf.T5ForConditionalGeneration)
    plain = tiny_t5()
    plain.load_state_dict(headed.state_dict(), strict=False)
    batch = padded(sequences())
    torch.testing.assert_close(hidden_states(headed, [batch]), hidden_states(plain, [batch]))


def test_decoder_inputs_that_are_given_are_used():
    model, batch = tiny_t5(), padded(sequences())
    tokens = torch.full((4, 2), 9)
    found = hidden_states(model, [{**batch, "decoder_input_ids": tokens}], pooling="last")
    embedded = model.shared.weight[9].detach()
    torch.testing.assert_close(found[NUM_BLOCKS + 1], embedded.expand(4, WIDTH))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"pooling": "max"}, "pooling must be one of mean, last, first. Got 'max'"),
        ({"granularity": "head"}, "granularity must be one of block, sublayer. Got 'head'"),
        ({"states": "scaled"}, "states must be one of raw, normalized. Got 'scaled'"),
    ],
)
def test_unknown_choices_are_refused_before_the_model_runs(option, message):
    with pytest.raises(ConfigError, match=message):
        pooled_states(nn.Identity(), [], **option)


def test_a_sequence_without_tokens():
    batch = padded(sequences())
    batch["attention_mask"][2] = 0
    with pytest.raises(DataError, match="1 of 4 sequences of a batch have no real .* in row 2"):
        hidden_states(tiny_bert(), [batch])


@pytest.mark.parametrize("options", [{}, {"granularity": "sublayer", "states": "normalized"}])
def test_states_come_batch_by_batch(options):
    model, rows = tiny_llama(), sequences()
    together = hidden_states(model, [padded(rows)], **options)
    parts = list(pooled_states(model, (padded([row]) for row in rows), **options))
    assert len(parts) == len(rows)
    for layer, expected in enumerate(together):
        joined = torch.cat([part.layers[layer] for part in parts])
        torch.testing.assert_close(joined, expected, rtol=1e-3, atol=1e-4)


def test_no_batches():
    with pytest.raises(DataError, match="There are no batches to measure"):
        hidden_states(tiny_bert(), [])


def test_no_decoder_start_token():
    model = tiny_t5(decoder_start_token_id=None)
    with pytest.raises(ArchitectureError, match="T5Model has no decoder_start_token_id"):
        hidden_states(model, [padded(sequences())])


def test_shared_blocks():
    config = hf.AlbertConfig(
        vocab_size=VOCAB_SIZE, embedding_size=16, hidden_size=WIDTH, num_hidden_layers=3,
        num_attention_heads=4, intermediate_size=64,
    )  # fmt: skip
    with pytest.raises(ArchitectureError, match="ran more than once in a forward pass"):
        hidden_states(hf.AlbertModel(config), [padded(sequences())])


def test_blocks_that_do_not_run():
    model = tiny_bert()
    output = hf.modeling_outputs.BaseModelOutputWithPastAndCrossAttentions
    model.encoder.forward = lambda states, *_, **__: output(last_hidden_state=states)
    with pytest.raises(ArchitectureError, match="4 of 4 blocks did not run .* first embeddings"):
        hidden_states(model, [padded(sequences())])


def test_states_without_a_batch_axis():
    model = tiny_bert()
    model.encoder.layer[0].forward = lambda states, *_, **__: states.flatten(0, 1)
    with pytest.raises(ArchitectureError, match=r"shape \(36, 32\) for a mask of shape \(4, 9\)"):
        hidden_states(model, [padded(sequences())])
