import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers.models.llama import modeling_llama

from gelora.hidden_states.architectures import find_architecture, find_backbone
from gelora.hidden_states.hook_points import returned_state
from gelora.hidden_states.pooling import pool, token_runs
from gelora.lab.theory.block_maps import BlockCall, _shares, block_calls, block_maps
from tiny_models import MORE_MODELS, TINY_MODELS, WIDTH, tiny_batch, tiny_bert, tiny_llama

MODELS = {**TINY_MODELS, **MORE_MODELS}
EAGER = {"mixtral": {"experts_implementation": "eager"}}  # its default knows no float64


def tiny_sample(name, row=1):
    return {key: values[row : row + 1] for key, values in tiny_batch(name).items()}


def built(name):
    model = MODELS[name](**EAGER.get(name, {}))
    names = [module.name for module in find_architecture(model).modules]
    return model, names


def maps_of(name, *, block=-1, pooling="mean", dtype=torch.float32):
    model, names = built(name)
    call = block_calls(model.to(dtype), tiny_sample(name))[block]
    return block_maps(call, modules=names, pooling=pooling)


def whole(linear_map):
    return linear_map.adjoint(torch.eye(linear_map.num_rows, dtype=torch.float64))


@pytest.mark.parametrize("name", MODELS)
def test_what_goes_forward_and_back_is_one_matrix(name, seed):
    generator = torch.Generator().manual_seed(seed)
    for linear_map in maps_of(name, pooling="last").values():
        v, u = (
            torch.randn(3, side, dtype=torch.float64, generator=generator)
            for side in (linear_map.num_columns, linear_map.num_rows)
        )
        forward, adjoint = linear_map.forward(v), linear_map.adjoint(u)
        assert forward.dtype == adjoint.dtype == torch.float64
        assert torch.allclose(u @ forward.T, adjoint @ v.T, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("pooling", ["mean", "last", "first"])
@pytest.mark.parametrize("name", ["bert", "gpt2", "deberta", "opt"])  # whose code keeps float64
def test_by_input_it_is_how_the_models_own_pass_answers_a_small_change(name, pooling, seed):
    model, _ = built(name)
    model = model.double()
    linear_map = maps_of(name, block=1, pooling=pooling, dtype=torch.float64)["input"]
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(WIDTH, dtype=torch.float64, generator=generator)
    block = find_backbone(model).get_submodule(find_architecture(model).blocks[1])
    token = {"mean": slice(None), "last": -1, "first": 0}[pooling]
    seen = []

    def answer(step):
        def move(_module, args, kwargs):
            states = (args[0] if args else kwargs["hidden_states"]).clone()
            states.view(-1, WIDTH)[token] += step * direction
            return ((states, *args[1:]), kwargs) if args else (args, {"hidden_states": states})

        def read(_module, _args, output):
            tokens = returned_state(output).reshape(-1, WIDTH)
            seen.append(tokens.mean(dim=0) if pooling == "mean" else tokens[token])

        handles = [
            block.register_forward_pre_hook(move, with_kwargs=True),
            block.register_forward_hook(read),
        ]
        with torch.no_grad():
            model(**tiny_sample(name))
        for handle in handles:
            handle.remove()
        return seen[-1]

    step = 1e-5
    difference = (answer(step) - answer(-step)) / (2 * step)
    assert torch.allclose(linear_map.forward(direction[None])[0], difference, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["bert", "roberta", "gpt2", "t5", "opt"])
def test_by_parameters_it_is_the_gradient_of_every_output(name):
    model, names = built(name)
    model = model.double().requires_grad_(False)
    call = block_calls(model, tiny_sample(name))[1]
    inside = [module for module in names if module.startswith(f"{call.block}.")]
    backbone = find_backbone(model)
    weights = [backbone.get_submodule(module).weight.requires_grad_() for module in inside]
    pooled = returned_state(call.module(*call.args, **call.kwargs)).reshape(-1, WIDTH).mean(dim=0)
    rows = [
        torch.cat([part.flatten() for part in torch.autograd.grad(one, weights, retain_graph=True)])
        for one in pooled
    ]
    found = whole(block_maps(call, modules=inside, pooling="mean")["parameters"])
    # Its own code may round to float32 within: the map does not.
    assert torch.allclose(found, torch.stack(rows), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_where_memory_is_short_fewer_directions_pass_at_once(name, monkeypatch):
    expected = {by: whole(one) for by, one in maps_of(name).items()}
    monkeypatch.setattr("gelora.lab.theory.block_maps.MAX_NUMBERS", 1)
    for by, one in maps_of(name).items():
        assert torch.allclose(whole(one), expected[by], rtol=1e-10, atol=1e-12)
        few = torch.eye(one.num_columns, dtype=torch.float64)[:3]
        assert torch.allclose(one.forward(few), expected[by].T[:3], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt2", "t5"])
def test_of_a_single_token_there_is_one_pooling_and_one_matrix(name):
    model, names = built(name)
    sample = {key: values[:, :1] for key, values in tiny_sample(name).items()}
    call = block_calls(model, sample)[0]
    first, *others = (
        [whole(one) for one in block_maps(call, modules=names, pooling=pooling).values()]
        for pooling in ("mean", "last", "first")
    )
    for other in others:
        for one, two in zip(first, other, strict=True):
            assert torch.equal(one, two)


@pytest.mark.parametrize("pooling", ["mean", "last", "first"])
def test_pooling_is_that_of_measuring_and_undoes_the_least_move(pooling):
    shares = _shares(5, pooling)
    states = torch.randn(1, 5, 3)
    mask = torch.ones(1, 5)
    pooled = (shares @ states[0].double()).float()
    assert torch.allclose(pooled, pool(states, token_runs(mask), pooling)[0])
    inverse = torch.linalg.pinv(shares[None])[:, 0]
    assert torch.allclose(inverse, shares / (shares @ shares))


def test_rounding_inside_a_models_code_does_not_reach_the_maps(monkeypatch):
    rounded = {by: whole(one) for by, one in maps_of("llama").items()}

    def in_full(self, states):
        variance = states.pow(2).mean(-1, keepdim=True)
        return self.weight * states * torch.rsqrt(variance + self.variance_epsilon)

    model, names = built("llama")
    call = block_calls(model, tiny_sample("llama"))[-1]
    monkeypatch.setattr(modeling_llama.LlamaRMSNorm, "forward", in_full)
    for by, one in block_maps(call, modules=names, pooling="mean").items():
        assert torch.allclose(whole(one), rounded[by], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("pooling", "lost"), [("mean", 1), ("last", 2), ("first", 2)])
def test_a_norm_at_the_end_takes_directions_from_every_derivative(pooling, lost):
    # A layer norm fixes the mean of what it returns, less bias and over scale, which pooling
    # keeps; and the spread, which the mean over several tokens does not.
    model, names = built("bert")
    torch.nn.init.uniform_(model.encoder.layer[1].output.LayerNorm.weight, 0.5, 2.0)
    call = block_calls(model, tiny_sample("bert"))[1]
    scale = model.encoder.layer[1].output.LayerNorm.weight.detach().double()
    for linear_map in block_maps(call, modules=names, pooling=pooling).values():
        matrix = whole(linear_map)
        values = torch.linalg.svdvals(matrix)
        assert (1 / scale @ matrix).abs().max() < 1e-10 * values[0]
        # The spread is fixed but for the epsilon in the norm's root.
        assert int((values > 1e-6 * values[0]).sum()) in (WIDTH - lost, WIDTH - 1)
        assert (values[-lost:] < 1e-3 * values[0]).all()


def test_an_active_adapter_takes_part_as_if_it_were_merged(seed):
    torch.manual_seed(seed)
    config = LoraConfig(
        r=4, target_modules=["query", "value"], init_lora_weights=False, use_dora=True
    )
    wrapped = get_peft_model(tiny_bert(), config)
    names = [module.name for module in find_architecture(wrapped).modules]

    def both():
        call = block_calls(wrapped, tiny_sample("bert"))[1]
        return block_maps(call, modules=names, pooling="mean")

    active = {by: whole(one) for by, one in both().items()}
    with wrapped.disable_adapter():
        bare = whole(both()["input"])
    wrapped.merge_adapter()
    assert torch.allclose(whole(both()["input"]), active["input"], atol=1e-5)
    assert not torch.allclose(bare, active["input"], atol=1e-3)


def test_weights_in_half_precision_are_read_as_the_numbers_that_they_are():
    model = tiny_llama().bfloat16()
    names = [module.name for module in find_architecture(model).modules]
    call = block_calls(model, tiny_sample("llama"))[1]
    found = block_maps(call, modules=names, pooling="last")
    twin = BlockCall(call.block, call.module.double(), call.args, call.kwargs)
    assert torch.equal(
        whole(found["input"]), whole(block_maps(twin, modules=names, pooling="last")["input"])
    )
