"""Measuring works on models however they are wrapped or placed, and leaves them as they came."""

import weakref

import accelerate
import pytest
import torch
import transformers as hf
from peft import LoraConfig, get_peft_model

from gelora.hidden_states.activations import hidden_states, pooled_states
from gelora.hidden_states.architectures import find_architecture, find_backbone
from tiny_models import (
    NUM_BLOCKS,
    TINY_MODELS,
    VOCAB_SIZE,
    tiny_bert,
    tiny_gpt2,
    tiny_llama,
    tiny_t5,
)

pytestmark = pytest.mark.filterwarnings(
    # peft 0.21 calls what transformers 5.23 is about to rename.
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)

TEXT_MODELS = [name for name in TINY_MODELS if name != "vit"]


def batches(num_batches=2):
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(4, VOCAB_SIZE, (num_batches, 3, 6), generator=generator)
    mask = torch.ones(3, 6, dtype=torch.long)
    mask[1, 4:] = 0
    return [{"input_ids": ids, "attention_mask": mask} for ids in tokens]


def everything_about(model):
    """All that measuring could change: modes, hooks, parameters, buffers, plain attributes."""
    return {
        "modes": {name: module.training for name, module in model.named_modules()},
        "hooks": {
            name: (list(module._forward_hooks), list(module._forward_pre_hooks))
            for name, module in model.named_modules()
        },
        "parameters": {
            name: (id(p), p.requires_grad, p.grad, p.dtype, p.device, p.is_inference(), p._version)
            for name, p in model.named_parameters()
        },
        "buffers": {name: (b.dtype, b.is_inference()) for name, b in model.named_buffers()},
        "attributes": {name: sorted(vars(module)) for name, module in model.named_modules()},
        "use_cache": model.config.use_cache if hasattr(model.config, "use_cache") else None,
    }


FINEST = {"granularity": "sublayer", "states": "normalized"}


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, {}) for name in TEXT_MODELS), *((name, FINEST) for name in ("bert", "llama", "t5"))],
)
def test_model_leaves_as_it_came(name, options):
    model = TINY_MODELS[name]().train()
    model.get_submodule(find_architecture(model).blocks[1]).eval()  # neither all of one mode
    model.requires_grad_(False)
    next(model.parameters()).requires_grad_(True)
    before = everything_about(model)
    hidden_states(model, batches(), **options)
    assert everything_about(model) == before


def test_model_is_as_it_came_between_batches():
    model = tiny_bert().train()
    before = everything_about(model)
    unfinished = pooled_states(model, batches(), **{**FINEST, "pooling": "last"})
    for _ in range(2):
        assert len(next(unfinished).layers) == 2 * NUM_BLOCKS + 1
        assert everything_about(model) == before
        assert torch.is_grad_enabled()


def test_model_leaves_as_it_came_after_an_error():
    model = tiny_bert().train()
    before = everything_about(model)

    def two_batches_then_none():
        yield from batches()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hidden_states(model, two_batches_then_none())
    with pytest.raises(IndexError):
        hidden_states(model, [{"input_ids": torch.tensor([[VOCAB_SIZE]])}])
    with pytest.raises(IndexError):
        hidden_states(model, [{"input_ids": torch.tensor([[VOCAB_SIZE]])}], **FINEST)
    assert everything_about(model) == before


def test_training_goes_on_after_measuring():
    model = tiny_llama(hf.LlamaForCausalLM)
    hidden_states(model, batches())
    model(**batches()[0], labels=batches()[0]["input_ids"]).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_what_a_model_caches_while_measuring_serves_training():
    model, cache = tiny_bert(), {}

    def scale(_module, _args, output):
        return output * cache.setdefault("scale", torch.ones_like(output))

    model.embeddings.register_forward_hook(scale)
    hidden_states(model, batches())
    model(**batches()[0]).last_hidden_state.sum().backward()
    assert model.embeddings.word_embeddings.weight.grad is not None


def test_dropout_is_off_while_measuring():
    model = tiny_bert(hidden_dropout_prob=0.5).train()
    torch.testing.assert_close(hidden_states(model, batches()), hidden_states(model, batches()))
    assert model.training


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_an_untrained_adapter_changes_no_state_and_a_trained_one_does(name):
    model = TINY_MODELS[name]()
    plain = hidden_states(model, batches())
    targets = [module.name for module in find_architecture(model).modules]
    config = LoraConfig(target_modules=targets, fan_in_fan_out=name == "gpt2", lora_dropout=0.5)
    wrapped = get_peft_model(model, config).train()
    torch.testing.assert_close(hidden_states(wrapped, batches()), plain)
    for parameter_name, parameter in wrapped.named_parameters():
        if "lora_B" in parameter_name:
            torch.nn.init.ones_(parameter)
    trained = hidden_states(wrapped, batches())
    torch.testing.assert_close(trained[0], plain[0])
    assert not torch.allclose(trained[1], plain[1], atol=1e-3)
    with wrapped.disable_adapter():
        torch.testing.assert_close(hidden_states(wrapped, batches()), plain)
    assert wrapped.training


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_under_autocast(name):
    model = TINY_MODELS[name]()
    plain = hidden_states(model, batches())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = hidden_states(model, batches())
    for layer, expected in zip(states, plain, strict=True):
        assert layer.dtype == torch.float32
        assert (layer - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_in_half_precision(name):
    model = TINY_MODELS[name]().to(torch.bfloat16)
    for layer in hidden_states(model, batches()):
        assert layer.dtype == torch.float32
        assert layer.isfinite().all()


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_dispatched(name):
    model = TINY_MODELS[name]()
    plain = hidden_states(model, batches())
    accelerate.dispatch_model(model, {"": "cpu"}, force_hooks=True)
    torch.testing.assert_close(hidden_states(model, batches()), plain)


# DeBERTa reads its relative embeddings past accelerate's hooks, so it cannot be offloaded at all.
@pytest.mark.parametrize("name", [name for name in TEXT_MODELS if name != "deberta"])
def test_offloaded(name):
    model = TINY_MODELS[name]()
    plain = hidden_states(model, batches())
    accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    assert all(parameter.is_meta for parameter in model.parameters())
    torch.testing.assert_close(hidden_states(model, batches()), plain)
    assert all(parameter.is_meta for parameter in model.parameters())


@pytest.mark.parametrize("model", [tiny_bert(), tiny_gpt2(hf.GPT2LMHeadModel), tiny_t5()])
def test_no_list_of_token_states_ever_exists(model):
    """When a block begins, of all earlier blocks' outputs at most its own input is alive."""
    backbone = find_backbone(model)
    outputs, most_alive = [], 0

    def count(_module, _args):
        nonlocal most_alive
        most_alive = max(most_alive, sum(output() is not None for output in outputs))

    def remember(_module, _args, output):
        states = output if isinstance(output, torch.Tensor) else output[0]
        outputs.append(weakref.ref(states))

    handles = []
    for path in find_architecture(model).blocks:
        block = backbone.get_submodule(path)
        handles += [block.register_forward_pre_hook(count), block.register_forward_hook(remember)]
    states = hidden_states(model, batches())
    for handle in handles:
        handle.remove()
    # One: the input of the block that begins; in a decoder, the encoder's last output too.
    assert most_alive <= 2
    assert len(outputs) == 2 * len(find_architecture(model).blocks) >= 2 * NUM_BLOCKS
    assert all(output() is None for output in outputs)
    assert len(states) > NUM_BLOCKS


@pytest.mark.gpu
def test_on_a_gpu():
    model = tiny_llama()
    plain = hidden_states(model, batches())
    states = hidden_states(model.cuda(), batches())
    assert all(layer.device.type == "cpu" for layer in states)
    torch.testing.assert_close(states, plain, rtol=1e-3, atol=1e-3)
