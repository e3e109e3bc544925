"""What a method trained is saved and loaded into a fresh model, which then says the same."""

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    BertForSequenceClassification,
    DebertaV2ForSequenceClassification,
    GPT2LMHeadModel,
)

from gelora.errors import ArtifactError, ModelMismatchError
from gelora.lab.baselines import Size, find_method, load_trained, save_trained
from tiny_adapters import logits
from tiny_methods import SETTING, apply_method, fit_tiny, trainable
from tiny_models import tiny_bert, tiny_deberta, tiny_gpt2

NAMES = ("full", "linear-probe", "bitfit", "houlsby", "pfeiffer")
BUDGET = 3000


def bert():
    return tiny_bert(BertForSequenceClassification)


def saved(folder, name="bitfit", model=None, *, problem="classification"):
    """Apply a method, move all that trains, and save."""
    model = bert() if model is None else model
    setting = type(SETTING)(problem=problem)
    size = find_method(name).size(model, BUDGET, setting)
    apply_method(name, model, budget=BUDGET, problem=problem)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    save_trained(model, folder, method=name, size=size)
    return model


@pytest.mark.parametrize("name", NAMES)
def test_a_trained_model_is_loaded_with_the_same_logits(name, tmp_path):
    model = tiny_deberta(DebertaV2ForSequenceClassification)
    size = find_method(name).size(model, BUDGET, SETTING)
    apply_method(name, model, budget=BUDGET)
    fit_tiny(model, tmp_path, max_steps=4)
    save_trained(model, tmp_path / "trained", method=name, size=size)
    fresh = tiny_deberta(DebertaV2ForSequenceClassification)
    if name != "linear-probe":
        assert not torch.equal(logits(fresh), logits(model.eval()))
    load_trained(fresh, tmp_path / "trained")
    assert torch.equal(logits(fresh), logits(model.eval()))
    assert trainable(fresh) == trainable(model)


@pytest.mark.parametrize("name", ["full", "bitfit", "houlsby"])
def test_a_language_model_is_loaded_with_its_weights_still_tied(name, tmp_path):
    model = saved(tmp_path, name, tiny_gpt2(GPT2LMHeadModel), problem="instruction_tuning")
    fresh = tiny_gpt2(GPT2LMHeadModel)
    load_trained(fresh, tmp_path)
    assert torch.equal(logits(fresh), logits(model))
    assert trainable(fresh) == trainable(model)
    assert fresh.lm_head.weight is fresh.transformer.wte.weight


def test_the_files_hold_what_trained_and_name_the_method(tmp_path):
    model = saved(tmp_path, "houlsby")
    record = json.loads((tmp_path / "trained_parameters.json").read_text())
    size = find_method("houlsby").size(bert(), BUDGET, SETTING)
    assert record["method"] == "houlsby"
    assert Size(**record["size"]) == size
    numbers = size.parameters + model.classifier.weight.numel() + model.classifier.bias.numel()
    weights = tmp_path / "trained_parameters.safetensors"
    assert 4 * numbers < weights.stat().st_size < 4 * numbers + 8000
    assert weights.stat().st_mode & 0o777 == 0o644


def test_a_peft_model_saves_itself(tmp_path):
    model = get_peft_model(bert(), LoraConfig(target_modules=["query"]))
    with pytest.raises(ArtifactError, match="lora trained a PeftModel"):
        save_trained(model, tmp_path, method="lora", size=Size(8, 1))
    assert not any(tmp_path.iterdir())


def test_another_model_is_refused(tmp_path):
    saved(tmp_path)
    other = bert()
    with torch.no_grad():
        other.bert.embeddings.word_embeddings.weight.add_(0.1)
    with pytest.raises(ModelMismatchError, match=f"{tmp_path} was saved from another model"):
        load_trained(other, tmp_path)


def test_another_head_is_refused(tmp_path):
    saved(tmp_path)
    with pytest.raises(ArtifactError, match=r"classifier\.\w+ of shape \(2.* has shape \(3"):
        load_trained(tiny_bert(BertForSequenceClassification, num_labels=3), tmp_path)


def test_a_model_without_the_places_is_refused(tmp_path):
    saved(tmp_path)
    with pytest.raises(ArtifactError, match=r"holds .* which in this model is not there"):
        load_trained(tiny_gpt2(GPT2LMHeadModel), tmp_path)


def test_what_was_cut_short_is_refused(tmp_path):
    saved(tmp_path)
    weights = tmp_path / "trained_parameters.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ArtifactError, match=r"safetensors cannot be read \(.*\): train and save"):
        load_trained(bert(), tmp_path)
    weights.unlink()
    with pytest.raises(ArtifactError, match=r"safetensors cannot be read"):
        load_trained(bert(), tmp_path)
    (tmp_path / "trained_parameters.json").unlink()
    with pytest.raises(ArtifactError, match=r"There is no file .*trained_parameters\.json"):
        load_trained(bert(), tmp_path)


def test_a_record_without_a_method_is_refused(tmp_path):
    saved(tmp_path)
    path = tmp_path / "trained_parameters.json"
    record = json.loads(path.read_text())
    del record["method"]
    path.write_text(json.dumps(record))
    with pytest.raises(ArtifactError, match="trained parameters lacks or mistypes .*'method'"):
        load_trained(bert(), tmp_path)
