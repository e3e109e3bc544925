"""Moments are those of the inputs and gradients of real tokens, and the model stays as it was."""

import pytest
import torch
import transformers as hf
from torch.testing import assert_close

from gelora.cutting.moments import measure_moments
from gelora.errors import DataError, RankError
from gelora.likelihood import row_losses
from tiny_adapters import save_tiny_adapter
from tiny_models import tiny_batch, tiny_llama


@pytest.fixture
def model(tmp_path):
    return save_tiny_adapter(tmp_path, tiny_llama(hf.LlamaForCausalLM))


def labelled(batch):
    return {**batch, "labels": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)}


def rows(batch):
    """Return the batch's rows one at a time, without their padding."""
    for i, mask in enumerate(batch["attention_mask"].bool()):
        yield {name: values[i : i + 1, mask] for name, values in batch.items()}


def lora_of(model):
    return {n: m for n, m in model.get_base_model().named_modules() if hasattr(m, "lora_A")}


def by_hand(model, batch):
    """Return both moments from inputs and output gradients of each adapted module, row by row."""
    layers = lora_of(model)
    inputs, outputs = {n: [] for n in layers}, {n: [] for n in layers}
    for name, layer in layers.items():
        layer.register_forward_pre_hook(lambda _, args, n=name: inputs[n].append(args[0]))
        layer.register_forward_hook(lambda _, args, out, n=name: outputs[n].append(out))
    tokens = 0
    sums = {n: [0.0, 0.0] for n in layers}
    for row in rows(batch):
        for name in layers:
            inputs[name].clear()
            outputs[name].clear()
        losses = row_losses(model, row).losses
        gradients = torch.autograd.grad(losses.sum(), [outputs[n][0] for n in layers])
        tokens += row["input_ids"].shape[1]
        for name, gradient in zip(layers, gradients, strict=True):
            a = layers[name].lora_A["default"].weight
            b = layers[name].lora_B["default"].weight
            z, w = inputs[name][0][0] @ a.T, gradient[0] @ b
            sums[name][0] += z.T @ z
            sums[name][1] += w.T @ w
    return {n: [(s / tokens).detach() for s in pair] for n, pair in sums.items()}


def test_moments_are_those_of_real_tokens(model):
    batch = labelled(tiny_batch("llama"))
    measured = measure_moments(model, [batch], gradients=True)
    for name, (inputs, gradients) in by_hand(model, batch).items():
        assert_close(measured[name].inputs.float(), inputs, rtol=1e-4, atol=1e-6)
        assert_close(measured[name].gradients.float(), gradients, rtol=1e-3, atol=1e-7)


def test_inputs_alone_need_no_labels_and_no_gradients(model):
    batch = tiny_batch("llama")
    inputs = measure_moments(model, [batch], gradients=False)
    both = measure_moments(model, [labelled(batch)], gradients=True)
    for name, moments in inputs.items():
        assert moments.gradients is None
        assert_close(moments.inputs, both[name].inputs)


def test_the_model_leaves_as_it_came(model):
    model.train()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    measure_moments(model, [labelled(tiny_batch("llama"))], gradients=True)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    hooks = [layer.lora_A["default"]._forward_hooks for layer in lora_of(model).values()]
    assert not any(hooks)


def test_no_batch_is_refused(model):
    with pytest.raises(DataError, match="There is no batch"):
        measure_moments(model, [], gradients=False)


def test_a_merged_adapter_is_refused(model):
    model.merge_adapter()
    with pytest.raises(RankError, match="takes no part"):
        measure_moments(model, [tiny_batch("llama")], gradients=False)
