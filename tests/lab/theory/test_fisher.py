"""Fisher information equals what brute force makes of every sample's own gradient."""

import pytest
import torch
import transformers as hf
from peft import LoraConfig, get_peft_model

from gelora.hidden_states.architectures import find_architecture, find_backbone
from gelora.hidden_states.loading import load_model
from gelora.lab.theory import fisher
from gelora.lab.theory.fisher import block_fishers
from tiny_models import save_tiny, tiny_bert, tiny_llama, tiny_tokenizer
from tiny_samples import (
    HEADS,
    classifier,
    likelihood_by_loss,
    samples_for,
    with_adapter,
    writer,
)

NUM_SAMPLES = 6


def gradients(name, model, samples, chosen):
    """Return each sample's gradient by the chosen parameters, as rows, by backpropagation."""
    rows = []
    for parameter in chosen:
        parameter.requires_grad_()
    for sample in samples:
        value = likelihood_by_loss(name, model, sample)
        parts = torch.autograd.grad(value, chosen, allow_unused=True)
        rows.append(
            torch.cat(
                [
                    (torch.zeros_like(p) if part is None else part).flatten()
                    for p, part in zip(chosen, parts, strict=True)
                ]
            )
        )
    return torch.stack(rows)


def parameters_of(model, block, kind):
    """Return a block's parameters by their names: attention's matrices, or LoRA's factors."""
    named = find_backbone(model).get_submodule(block).named_parameters()
    if kind == "lora":
        return [parameter for path, parameter in named if ".lora_A." in path or ".lora_B." in path]
    named = [(path.removesuffix(".weight").removesuffix(".base_layer"), p) for path, p in named]
    roles = {
        module.name.removeprefix(f"{block}.")
        for module in find_architecture(model).modules
        if module.role != "mlp"
    }
    return [parameter for path, parameter in named if path in roles]


def assert_is_brute_force(found, name, model, samples, kind):
    blocks = find_architecture(model).blocks
    assert tuple(one.block for one in found) == blocks
    for one in found:
        chosen = parameters_of(model, one.block, kind)
        rows = gradients(name, model, samples, chosen)
        whole = torch.linalg.eigvalsh(rows.T @ rows / len(samples)).flip(0)  # F, written out
        assert one.num_samples == len(samples)
        assert one.num_parameters == one.spectrum.size == len(whole)
        eigenvalues = torch.tensor(one.spectrum.singular_values, dtype=torch.float64)
        assert len(eigenvalues) == min(len(samples), len(whole))
        scale = whole[0].item()
        assert scale > 0
        torch.testing.assert_close(
            eigenvalues, whole[: len(eigenvalues)], rtol=0, atol=1e-6 * scale
        )
        assert whole[len(eigenvalues) :].abs().max() < 1e-12 * scale
        assert one.spectrum.is_whole


@pytest.mark.parametrize("name", HEADS)
def test_of_weights_is_that_of_brute_force(name, seed):
    model, samples = HEADS[name](), samples_for(name, NUM_SAMPLES, seed=seed)
    found = block_fishers(model, samples, of="weights", stage="before")
    assert {(one.of, one.stage) for one in found} == {("weights", "before")}
    assert_is_brute_force(found, name, model, samples, "weights")


@pytest.mark.parametrize("lora", [{}, {"use_dora": True}], ids=["lora", "dora"])
@pytest.mark.parametrize("name", ["classifier", "transposed_writer"])
def test_with_an_adapter_is_that_of_brute_force(name, lora, seed):
    transposed = {"fan_in_fan_out": True} if "transposed" in name else {}
    model = with_adapter(HEADS[name](), **lora, **transposed)
    samples = samples_for(name, NUM_SAMPLES, seed=seed)
    for kind in ("weights", "lora"):
        found = block_fishers(model, samples, of=kind, stage="after")
        assert_is_brute_force(found, name, model, samples, kind)


def test_as_training_begins_all_rank_is_from_b():
    model = with_adapter(classifier(), is_trained=False)
    samples = samples_for("classifier", NUM_SAMPLES)
    found = block_fishers(model, samples, of="lora", stage="before")
    assert_is_brute_force(found, "classifier", model, samples, "lora")
    for one in found:
        module = find_backbone(model).get_submodule(one.block)
        a, b = (
            [parameter for path, parameter in module.named_parameters() if side in path]
            for side in ("lora_A", "lora_B")
        )
        assert not gradients("classifier", model, samples, a).any()
        alone = gradients("classifier", model, samples, b)
        largest = torch.linalg.matrix_norm(alone, ord=2) ** 2 / NUM_SAMPLES
        assert one.spectrum.largest == pytest.approx(largest.item())


def spectra(model, samples, **settings):
    found = block_fishers(model, samples, of="weights", stage="before", **settings)
    return [torch.tensor(one.spectrum.singular_values, dtype=torch.float64) for one in found]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12 * other.max().item())


def test_rank_is_at_most_the_number_of_samples_and_of_parameters(seed):
    model = classifier()
    for num_samples in (1, 3):
        samples = samples_for("classifier", num_samples, seed=seed)
        for one in block_fishers(model, samples, of="weights", stage="before"):
            assert one.spectrum.numerical_rank(1e-9) == (num_samples, True)
    samples = samples_for("classifier", 12, seed=seed)
    wrapped = get_peft_model(model, LoraConfig(r=1, target_modules=["value"])).double()
    (*_, last) = block_fishers(wrapped, samples, of="lora", stage="before")
    assert len(last.spectrum.singular_values) == 12 < last.num_parameters == 16
    assert last.spectrum.numerical_rank(1e-9).value <= 8  # of B alone


def test_more_samples_than_parameters(seed):
    config = {"hidden_size": 2, "num_attention_heads": 1, "intermediate_size": 2}
    model = tiny_bert(hf.BertForSequenceClassification, num_labels=3, **config).double()
    samples = samples_for("classifier", 9, seed=seed)
    for one in block_fishers(model, samples, of="weights", stage="before", target_modules="value"):
        assert one.num_parameters == len(one.spectrum.singular_values) == 4


def test_neither_the_order_nor_repetitions_of_samples_matter(seed):
    model, samples = classifier(), samples_for("classifier", NUM_SAMPLES, seed=seed)
    expected = spectra(model, samples)
    assert_same(spectra(model, samples[::-1]), expected)
    twice = spectra(model, samples + samples)
    assert_same([one[:NUM_SAMPLES] for one in twice], expected)
    assert all((one >= 0).all() for one in twice)  # so are those that are zero but for rounding


def test_padding_does_not_matter(seed):
    model, samples = classifier(), samples_for("classifier", NUM_SAMPLES, seed=seed)
    padded = [
        {
            name: values if name == "labels" else torch.nn.functional.pad(values, (0, 3))
            for name, values in sample.items()
        }
        for sample in samples
    ]
    assert_same(spectra(model, padded), spectra(model, samples))


def test_neither_parts_of_gradients_nor_rounds_of_modules_matter(monkeypatch):
    model, samples = writer(), samples_for("writer", NUM_SAMPLES)
    expected = spectra(model, iter(samples))
    monkeypatch.setattr(fisher, "MAX_TILE", 3 * NUM_SAMPLES * 8)  # three rows
    assert_same(spectra(model, samples), expected)
    for numbers in (0, 2000):
        monkeypatch.setattr(fisher, "MAX_NUMBERS", numbers)
        assert_same(spectra(model, samples), expected)


def test_rounds_hold_what_there_is_room_for(monkeypatch):
    matrices = fisher._weights(writer(), "attention")
    monkeypatch.setattr(fisher, "MAX_NUMBERS", 10 * 32)  # key and value are 8 by 4
    rounds = fisher._in_rounds(matrices, 10)
    sides = [[one.in_features + one.out_features for one in few] for few in rounds]
    assert sides == 3 * [[16, 12], [12, 16]]


def test_bfloat16_is_near_enough():
    samples = samples_for("classifier", NUM_SAMPLES)
    expected = spectra(classifier(), samples)
    for one, other in zip(spectra(classifier().bfloat16(), samples), expected, strict=True):
        assert one[0] == pytest.approx(other[0].item(), rel=0.05)


def test_quantised_weights_are_measured_as_what_they_stand_for(tmp_path):
    folder = str(save_tiny(tiny_llama(hf.LlamaForCausalLM), tiny_tokenizer(), tmp_path))
    samples = samples_for("writer", NUM_SAMPLES)
    model = load_model(folder, task="instruction_tuning", bits=4)
    found = spectra(model, samples)
    for one, other in zip(found, spectra(model.dequantize().float(), samples), strict=True):
        assert one[0] == pytest.approx(other[0].item(), rel=0.05)


def test_a_module_that_only_some_samples_use():
    model = writer()
    module = model.model.layers[1].self_attn.o_proj
    samples = samples_for("writer", 3)
    whole = block_fishers(model, samples, of="weights", stage="before", target_modules="o_proj")
    calls = []

    def cut_off(_module, _inputs, output):
        calls.append(output)
        return output.detach() if len(calls) == 2 else output

    module.register_forward_hook(cut_off)
    some = block_fishers(model, samples, of="weights", stage="before", target_modules="o_proj")
    assert whole[1].spectrum.numerical_rank(1e-9).value == 3
    assert some[1].spectrum.numerical_rank(1e-9).value == 2


def test_the_model_leaves_as_it_came():
    model = with_adapter(classifier()).train()
    model.get_submodule("base_model.model.bert.encoder.layer.1").eval()
    state = {name: values.clone() for name, values in model.state_dict().items()}
    flags = {name: values.requires_grad for name, values in model.named_parameters()}
    modes = {name: module.training for name, module in model.named_modules()}
    for kind in ("weights", "lora"):
        block_fishers(model, samples_for("classifier", 2), of=kind, stage="before")
    assert all(values.equal(state[name]) for name, values in model.state_dict().items())
    assert flags == {name: values.requires_grad for name, values in model.named_parameters()}
    assert modes == {name: module.training for name, module in model.named_modules()}
    assert not any(module._forward_hooks for module in model.modules())
    assert all(values.grad is None for values in model.parameters())


def test_neither_dropout_nor_frozen_weights_matter():
    samples = samples_for("classifier", 3)
    expected = spectra(classifier(), samples)
    assert_same(spectra(classifier().train(), samples), expected)
    assert_same(spectra(classifier().requires_grad_(False), samples), expected)
