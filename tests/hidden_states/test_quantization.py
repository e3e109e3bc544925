"""Weights in 4 and 8 bits by the real bitsandbytes: which are quantised, and what stays."""

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaForCausalLM

from gelora.errors import MissingExtraError
from gelora.hidden_states import measure_dimensions, quantization
from gelora.hidden_states.architectures import model_fingerprint
from gelora.hidden_states.loading import load_model, load_tokenizer
from tiny_models import save_tiny, tiny_deberta, tiny_llama, tiny_texts, tiny_tokenizer


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    models = {"deberta": tiny_deberta(), "llama": tiny_llama(LlamaForCausalLM)}
    return {
        name: str(save_tiny(model, tiny_tokenizer(), tmp_path_factory.mktemp(name)))
        for name, model in models.items()
    }


def kinds(model):
    """Return the modules' names by the kind of their weights: quantised, or as they were."""
    linear = [
        (name, "bnb" if type(module).__module__.startswith("bitsandbytes") else "plain")
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    return {kind: {name for name, each in linear if each == kind} for kind in ("bnb", "plain")}


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(
    ("name", "task", "head"),
    [
        ("deberta", "classification", {"pooler.dense", "classifier"}),
        ("deberta", "question_answering", {"qa_outputs"}),
        ("llama", "instruction_tuning", {"lm_head"}),
        ("llama", None, set()),
    ],
)
def test_all_but_the_head_is_quantised(folders, name, task, head, bits):
    model = load_model(folders[name], task=task, bits=bits)
    found = kinds(model)
    assert found["plain"] == head
    assert len(found["bnb"]) == (3 * 6 if name == "deberta" else 3 * 7)
    plain = load_model(folders[name], task=task)
    assert model_fingerprint(model)["architecture"] == model_fingerprint(plain)["architecture"]


def test_four_bits_are_those_of_qlora(folders):
    config = load_model(folders["llama"], task=None, bits=4, dtype="bfloat16").config
    settings = config.quantization_config
    assert settings.bnb_4bit_quant_type == "nf4"
    assert settings.bnb_4bit_use_double_quant
    assert settings.bnb_4bit_compute_dtype == torch.bfloat16
    config = load_model(folders["llama"], task=None, bits=4).config
    assert config.quantization_config.bnb_4bit_compute_dtype == torch.float32  # the checkpoint's


@pytest.mark.filterwarnings("ignore::gelora.errors.GeloraWarning")
def test_dimensions_of_quantised_weights_can_be_measured(folders):
    tokenizer, texts = load_tokenizer(folders["llama"]), tiny_texts(200)
    plain, quantised = (
        measure_dimensions(load_model(folders["llama"], task=None, bits=bits), tokenizer, texts)
        for bits in (None, 4)
    )
    assert quantised.dimensions != plain.dimensions
    np.testing.assert_allclose(quantised.dimensions, plain.dimensions, rtol=0.3)


# On a CPU with AVX-512 BF16; others do not repack.
def test_gradients_pass_weights_of_4_bits_after_an_evaluation(folders):
    model = load_model(folders["llama"], task="instruction_tuning", bits=4)
    wrapped = get_peft_model(model, LoraConfig(target_modules=["q_proj"]))
    inputs = {"input_ids": torch.tensor([[1, 5, 6, 2]]), "labels": torch.tensor([[1, 5, 6, 2]])}
    with torch.no_grad():
        wrapped.eval()(**inputs)
    wrapped.train()(**inputs).loss.backward()
    gradients = [p.grad for name, p in wrapped.named_parameters() if "lora_B" in name]
    assert len(gradients) == 3
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)


def test_without_bitsandbytes_it_says_what_to_install(folders, monkeypatch):
    monkeypatch.setattr(quantization, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match=r"in 4 bits .* pip install 'gelora\[quantization\]'"
    ):
        load_model(folders["llama"], task=None, bits=4)
