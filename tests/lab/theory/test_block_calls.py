from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from gelora.errors import ArchitectureError, DataError
from gelora.lab.theory.block_maps import BlockCall, block_calls, block_maps
from tiny_models import NUM_BLOCKS, tiny_batch, tiny_bert, tiny_mixtral, tiny_t5


class Blocks(nn.Module):
    """Blocks that are run in the order given, on states that it is given."""

    def __init__(self, *blocks, order=None):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.order = range(len(blocks)) if order is None else order

    def forward(self, states):
        for index in self.order:
            states = self.blocks[index](states)
        return states


class Square(torch.autograd.Function):
    """Has a gradient of a kind that torch.func does not know."""

    @staticmethod
    def forward(ctx, states):
        return states**2


class Block(nn.Module):
    def __init__(self, after=nn.Identity):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.after = after()

    def forward(self, states):
        return self.after(self.linear(states))


class Forgetful(Block):
    def forward(self, _states):
        return None


class Undifferentiable(Block):
    def forward(self, states):
        return Square.apply(self.linear(states))


def sample(num_tokens=3):
    return {"states": torch.randn(1, num_tokens, 4)}


def both(call):
    return block_maps(call, modules=[f"{call.block}.linear"], pooling="mean")


def test_every_block_is_given_what_the_one_before_it_returns():
    model = tiny_bert()
    batch = {name: values[1:2] for name, values in tiny_batch("bert").items()}
    calls = block_calls(model, batch)
    assert [call.block for call in calls] == [f"encoder.layer.{i}" for i in range(NUM_BLOCKS)]
    with torch.no_grad():
        for call, following in pairwise(calls):
            assert torch.equal(call.module(*call.args, **call.kwargs), following.args[0])


def test_both_stacks_of_an_encoder_decoder_are_seen():
    batch = {name: values[:1, :5] for name, values in tiny_batch("t5").items()}
    calls = block_calls(tiny_t5(), batch)
    assert [call.block.split(".")[0] for call in calls] == ["encoder"] * 3 + ["decoder"] * 3


def test_what_was_given_is_kept_though_it_is_written_to_later():
    class InPlace(Block):
        def forward(self, states):
            return states.add_(1.0)

    given = sample()
    kept = given["states"].clone()
    (call,) = block_calls(Blocks(InPlace()), given)
    assert torch.equal(call.args[0], kept)


def test_the_model_leaves_as_it_came():
    model = tiny_bert(hidden_dropout_prob=0.5).train()
    model.encoder.layer[1].eval()
    model.encoder.layer[0].output.dense.weight.requires_grad_(False)

    def state():
        return (
            [module.training for module in model.modules()],
            [len(module._forward_pre_hooks) for module in model.modules()],
            [(p.requires_grad, p.grad, p.dtype) for p in model.parameters()],
        )

    before, weights = state(), {name: p.clone() for name, p in model.named_parameters()}
    batch = {name: values[1:2] for name, values in tiny_batch("bert").items()}
    call = block_calls(model, batch)[0]
    names = [f"{call.block}.attention.self.query"]
    for linear_map in block_maps(call, modules=names, pooling="mean").values():
        linear_map.outer(torch.eye(linear_map.num_rows, dtype=torch.float64))
    assert state() == before
    assert all(torch.equal(p, weights[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize(
    ("order", "message"),
    [((0, 1, 1), r"blocks\.1 ran more than once"), ((0,), r"1 of 2 blocks did not run.*blocks\.1")],
)
def test_blocks_run_once_each_and_hooks_go_whatever_happens(order, message):
    model = Blocks(Block(), Block(), order=order)
    with pytest.raises(ArchitectureError, match=message):
        block_calls(model, sample())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_sample_is_one_text_without_padding():
    batch = tiny_batch("bert")
    with pytest.raises(DataError, match="one sequence. Got 4 rows of input_ids"):
        block_calls(tiny_bert(), batch)
    short = {name: values[:1] for name, values in batch.items()}
    with pytest.raises(DataError, match="no padding. Got 4 of 9 tokens"):
        block_calls(tiny_bert(), short)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.zeros(4, 4, dtype=torch.int8), r"blocks\.0\.linear\.weight is of torch.int8"),
        (torch.zeros(4, 4, device="meta"), r"blocks\.0\.linear\.weight is on the meta device"),
    ],
    ids=["quantised", "meta"],
)
def test_weights_that_have_no_derivative_are_refused(weight, message):
    (call,) = block_calls(Blocks(Block()), sample())
    call.module.linear.weight = nn.Parameter(weight, requires_grad=False)
    with pytest.raises(ArchitectureError, match=message):
        both(call)


def test_a_block_that_torch_cannot_differentiate_says_how_to_load_it():
    (call,) = block_calls(Blocks(Undifferentiable()), sample())
    message = r"Block blocks\.0 cannot be differentiated: .*attn_implementation='eager'"
    with pytest.raises(ArchitectureError, match=message):
        both(call)
    model = tiny_mixtral()  # whose fast experts know no float64
    batch = {name: values[1:2] for name, values in tiny_batch("mixtral").items()}
    with pytest.raises(ArchitectureError, match="experts_implementation='eager'"):
        block_maps(block_calls(model, batch)[0], modules=[], pooling="last")


def test_a_lack_of_memory_is_no_lack_of_a_derivative():
    class Large(Block):
        def forward(self, _states):
            raise torch.OutOfMemoryError("Tried to allocate 20 GiB.")

    call = BlockCall("large", Large(), (torch.randn(2, 4),), {})
    with pytest.raises(torch.OutOfMemoryError, match="20 GiB"):
        both(call)


def test_a_block_takes_states_and_returns_states():
    (call,) = block_calls(Blocks(Forgetful()), sample())
    with pytest.raises(ArchitectureError, match=r"Block blocks\.0 returned no token states"):
        both(call)
    with pytest.raises(ArchitectureError, match=r"Block blocks\.0 was given no token states"):
        both(replace(call, args=()))


def test_without_modules_to_adapt_there_are_no_parameters():
    (call,) = block_calls(Blocks(Block()), sample())
    assert block_maps(call, modules=[], pooling="mean")["parameters"].num_columns == 0


@pytest.mark.parametrize("pooling", ["mean", "last", "first"])
def test_of_a_linear_block_both_are_known(pooling):
    states = sample(5)
    (call,) = block_calls(Blocks(Block()), states)
    maps = block_maps(call, modules=["blocks.0.linear"], pooling=pooling)
    identity = torch.eye(4, dtype=torch.float64)
    weight = call.module.linear.weight.detach().double()
    assert torch.allclose(maps["input"].forward(identity), weight.T, atol=1e-12)
    token = {"mean": slice(None), "last": slice(-1, None), "first": slice(1)}[pooling]
    pooled = states["states"][0, token].double().mean(dim=0)
    by_weights = maps["parameters"].adjoint(identity).view(4, 4, 4)
    assert torch.allclose(by_weights, torch.einsum("ij,k->ijk", identity, pooled), atol=1e-12)


def test_a_call_is_all_that_the_maps_need():
    linear = Block()
    call = BlockCall("alone", linear, (torch.randn(2, 4),), {})
    found = block_maps(call, modules=["alone.linear"], pooling="mean")["input"]
    assert (found.num_rows, found.num_columns) == (4, 4)
