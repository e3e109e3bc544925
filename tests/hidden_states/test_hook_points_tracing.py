"""States are compared by their numbers: the same in any precision, and sums up to rounding."""

import pytest
import torch
from torch import nn

from gelora.hidden_states.hook_points import (
    NUM_TOKENS,
    TracedActivation,
    given_state,
    is_same,
    is_sum,
    returned_state,
    trace,
)
from tiny_models import tiny_bert


def seen(values):
    return TracedActivation("a", "output", values, is_flat=False, is_norms=False)


def parts(seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    stream, part, other = torch.randn(3, 4, 32, generator=generator).to(dtype)
    stream[:, 3] *= 1000  # as the few coordinates of trained models
    return stream, part, other


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [1, 0.22, -3])
def test_a_sum_is_known_at_any_scale_and_precision(scale, dtype, seed):
    stream, part, other = parts(seed, dtype)
    total = stream + scale * part
    assert is_sum(seen(total), seen(stream), seen(part))
    under_autocast = stream.float() + scale * part
    assert is_sum(seen(under_autocast), seen(stream.float()), seen(part))
    assert not is_sum(seen(total), seen(stream), seen(other))
    assert not is_sum(seen(total), seen(part), seen(other))
    assert not is_sum(seen(total + other), seen(stream), seen(part))


def test_what_adds_nothing_is_a_part_only_if_it_is_zero(seed):
    stream, part, _ = parts(seed)
    assert is_sum(seen(stream), seen(stream), seen(torch.zeros_like(part)))
    assert not is_sum(seen(stream), seen(stream), seen(part))
    assert not is_sum(seen(stream + part), seen(stream), seen(torch.zeros_like(part)))


def test_states_of_other_shapes_are_no_parts_and_not_the_same(seed):
    stream, part, _ = parts(seed)
    assert not is_sum(seen(stream + part), seen(stream), seen(part[:, :1]))
    assert not is_same(seen(stream), seen(stream[:1]))
    assert is_same(seen(part.bfloat16()), seen(part.bfloat16().float()))
    assert not is_same(seen(stream), seen(part))


def test_the_state_among_arguments_and_results():
    state, mask = torch.zeros(1, 2, 3), torch.ones(1, 2)
    assert given_state((state, mask), {}) is state
    assert given_state((None,), {"attention_mask": mask, "hidden_states": state}) is state
    assert given_state((), {"flag": True, "x": state}) is state
    assert given_state((), {"flag": True}) is None
    assert returned_state(state) is state
    assert returned_state((state, mask)) is state
    assert returned_state(()) is None
    assert returned_state({"x": state}) is None


class WritesInPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.linear = nn.Embedding(8, 4), nn.Linear(4, 4)

    def forward(self, input_ids):
        return self.linear(self.embedding(input_ids)).add_(1)


def test_a_few_real_tokens_are_run_and_states_are_kept_as_they_were():
    model, tokens = WritesInPlace(), torch.arange(16).reshape(2, 8) % 8
    mask = torch.ones_like(tokens)
    mask[0, :2] = 0
    activations = trace(model, {"input_ids": tokens, "attention_mask": mask, "labels": mask[:, 0]})
    places = [(activation.module, activation.side) for activation in activations]
    assert places == [
        ("embedding", "output"),
        ("linear", "input"),
        ("linear", "output"),
        ("", "output"),
    ]
    embedded, given, returned, last = (activation.values for activation in activations)
    assert len(embedded) == NUM_TOKENS
    assert torch.equal(embedded, model.embedding(tokens[0, 2 : 2 + NUM_TOKENS]))
    assert torch.equal(given, embedded)
    assert torch.equal(last, returned + 1)


def test_norms_are_known_by_their_class():
    batch = {"input_ids": torch.tensor([[5, 6]]), "attention_mask": torch.tensor([[1, 1]])}
    norms = {activation.module for activation in trace(tiny_bert(), batch) if activation.is_norms}
    assert len(norms) == 1 + 2 * 3
    assert all(path.endswith("LayerNorm") for path in norms)
