"""An adapter read from its files alone: which module gets what, and what lies beside it."""

import json

import pytest
import transformers as hf

from gelora.errors import ArtifactError
from gelora.exports.saved import read_adapter
from tiny_adapters import peft_updates, save_tiny_adapter
from tiny_models import tiny_bert, tiny_llama


@pytest.mark.parametrize("lora", [{}, {"use_rslora": True}])
def test_updates_are_those_of_peft(tmp_path, lora):
    model = save_tiny_adapter(tmp_path, tiny_llama(hf.LlamaForCausalLM), **lora)
    found = {name: one.update() for name, one in read_adapter(tmp_path).factors().items()}
    expected = peft_updates(model)
    assert found.keys() == expected.keys()
    assert all(found[name].equal(expected[name]) for name in found)


def test_modules_beside_the_adapter(tmp_path):
    model = tiny_bert(hf.BertForSequenceClassification)
    save_tiny_adapter(tmp_path, model, task_type="SEQ_CLS")
    assert read_adapter(tmp_path).saved_modules() == ("classifier",)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_file_is_missing(tmp_path, name):
    save_tiny_adapter(tmp_path, tiny_llama(hf.LlamaForCausalLM))
    (tmp_path / name).unlink()
    with pytest.raises(ArtifactError, match=f"{tmp_path} holds no adapter: there is no {name} in"):
        read_adapter(tmp_path)


def test_tensors_as_a_pickle(tmp_path):
    wrapped = save_tiny_adapter(tmp_path / "safe", tiny_llama(hf.LlamaForCausalLM))
    wrapped.save_pretrained(str(tmp_path), save_embedding_layers=False, safe_serialization=False)
    with pytest.raises(ArtifactError, match=f"{tmp_path} holds its tensors as adapter_model.bin, "):
        read_adapter(tmp_path)


def test_an_adapter_of_another_kind(tmp_path):
    save_tiny_adapter(tmp_path, tiny_llama(hf.LlamaForCausalLM))
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "peft_type": "IA3"}))
    with pytest.raises(ArtifactError, match=f"{tmp_path} holds an adapter of type IA3, and only"):
        read_adapter(tmp_path)
