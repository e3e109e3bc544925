"""A plan as other trainers take it: an adapter that does nothing yet, or its settings alone."""

import pytest
import torch
import transformers as hf
from peft import LoraConfig, PeftModel, get_peft_model

from gelora.adapters import verify_ranks
from gelora.errors import OutputExistsError, RankError
from gelora.exports import export_peft_config, export_untrained
from gelora.ranks import RankPlan
from tiny_adapters import logits, tiny_lora, tiny_plan
from tiny_models import tiny_llama


def test_an_untrained_adapter_goes_on_in_another_trainer(tmp_path):
    model = tiny_llama(hf.LlamaForCausalLM)
    before = logits(model)
    plan = tiny_plan(model)
    out = export_untrained(get_peft_model(model, tiny_lora(model)), tmp_path / "untrained", plan)
    assert RankPlan.from_pretrained(out).content_hash() == plan.content_hash()
    loaded = PeftModel.from_pretrained(tiny_llama(hf.LlamaForCausalLM), str(out), is_trainable=True)
    verify_ranks(loaded, plan)
    assert torch.equal(logits(loaded), before)
    trainable = sum(p.numel() for p in loaded.parameters() if p.requires_grad)
    assert trainable == plan.trainable_parameters


def test_an_adapter_of_other_ranks_is_no_export_of_the_plan(tmp_path):
    model = tiny_llama(hf.LlamaForCausalLM)
    wrapped = get_peft_model(model, tiny_lora(model))
    other = tiny_plan(tiny_llama(hf.LlamaForCausalLM), budget=None)
    with pytest.raises(RankError, match="has rank 14 and scale 2, planned were rank 4"):
        export_untrained(wrapped, tmp_path / "untrained", other)
    assert not (tmp_path / "untrained").exists()


def test_settings_alone_make_the_same_adapter(tmp_path):
    model = tiny_llama(hf.LlamaForCausalLM)
    out = export_peft_config(tiny_lora(model, lora_dropout=0.1), tmp_path / "peft")
    assert [path.name for path in out.iterdir()] == ["adapter_config.json"]
    verify_ranks(get_peft_model(model, LoraConfig.from_pretrained(str(out))), tiny_plan(model))


def test_nothing_is_overwritten_unasked(tmp_path):
    config = tiny_lora(tiny_llama(hf.LlamaForCausalLM))
    path = export_peft_config(config, tmp_path / "peft")
    with pytest.raises(OutputExistsError, match=f"{path} is not empty: name another folder"):
        export_peft_config(config, path)
    assert export_peft_config(config, path, overwrite=True) == path
