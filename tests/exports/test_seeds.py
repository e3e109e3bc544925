"""A plan as other trainers take it: an adapter that does nothing yet, or its settings alone."""

import json

import pytest
import torch
import transformers as hf
import yaml
from peft import LoraConfig, PeftModel, get_peft_model

from gelora.adapters import lora_config, verify_ranks
from gelora.errors import OutputExistsError, RankError
from gelora.exports import axolotl_settings, export_axolotl, export_peft_config, export_untrained
from gelora.ranks import RankPlan
from tiny_adapters import logits, tiny_plan
from tiny_models import tiny_gpt2, tiny_llama


def planned(model, **lora):
    plan = tiny_plan(model)
    return plan, lora_config(plan, model, task_type="CAUSAL_LM", **lora)


def test_an_untrained_adapter_goes_on_in_another_trainer(tmp_path):
    model = tiny_llama(hf.LlamaForCausalLM)
    before = logits(model)
    plan, config = planned(model)
    out = export_untrained(get_peft_model(model, config), tmp_path / "untrained", plan)
    assert RankPlan.from_pretrained(out).content_hash() == plan.content_hash()
    loaded = PeftModel.from_pretrained(tiny_llama(hf.LlamaForCausalLM), str(out), is_trainable=True)
    verify_ranks(loaded, plan)
    assert torch.equal(logits(loaded), before)
    trainable = sum(p.numel() for p in loaded.parameters() if p.requires_grad)
    assert trainable == plan.trainable_parameters


def test_an_adapter_of_other_ranks_is_no_export_of_the_plan(tmp_path):
    model = tiny_llama(hf.LlamaForCausalLM)
    _, config = planned(model)
    wrapped = get_peft_model(model, config)
    other = tiny_plan(tiny_llama(hf.LlamaForCausalLM), budget=None)
    with pytest.raises(RankError, match="has rank 14 and scale 2, planned were rank 4"):
        export_untrained(wrapped, tmp_path / "untrained", other)
    assert not (tmp_path / "untrained").exists()


def test_settings_alone_make_the_same_adapter(tmp_path):
    model = tiny_llama(hf.LlamaForCausalLM)
    plan, config = planned(model, lora_dropout=0.1)
    out = export_peft_config(config, tmp_path / "peft")
    assert [path.name for path in out.iterdir()] == ["adapter_config.json"]
    verify_ranks(get_peft_model(model, LoraConfig.from_pretrained(str(out))), plan)


def from_axolotl(settings):
    """Do what axolotl 0.19 does with the keys."""
    assert settings["adapter"] == "lora"
    patterns = {name: settings.get(f"lora_{name}") for name in ("rank_pattern", "alpha_pattern")}
    for pattern in patterns.values():
        assert all(isinstance(value, int) and value > 0 for value in (pattern or {}).values())
    return LoraConfig(
        r=settings["lora_r"],
        lora_alpha=settings["lora_alpha"],
        target_modules=settings["lora_target_modules"],
        lora_dropout=settings.get("lora_dropout", 0.0),
        fan_in_fan_out=settings.get("lora_fan_in_fan_out"),
        modules_to_save=settings.get("lora_modules_to_save"),
        use_dora=settings.get("peft_use_dora", False),
        init_lora_weights=settings.get("peft_init_lora_weights", True),
        task_type="CAUSAL_LM",
        **{name: pattern for name, pattern in patterns.items() if pattern},
    )


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
def test_axolotl_gives_every_module_its_rank_and_scale(make, tmp_path):
    model_class = {tiny_llama: hf.LlamaForCausalLM, tiny_gpt2: hf.GPT2LMHeadModel}[make]
    model = make(model_class)
    model.name_or_path = model.config.name_or_path = "someone/model"
    plan, config = planned(model, lora_dropout=0.05, init_lora_weights="gaussian")
    wrapped = get_peft_model(model, config)
    path = export_axolotl(wrapped.peft_config["default"], tmp_path / "axolotl.yaml")
    settings = yaml.safe_load(path.read_text())
    assert settings["base_model"] == "someone/model"
    assert settings["lora_dropout"] == 0.05
    assert settings["peft_init_lora_weights"] == "gaussian"
    theirs = from_axolotl(settings)
    verify_ranks(get_peft_model(make(model_class), theirs), plan)
    assert theirs.fan_in_fan_out == (True if make is tiny_gpt2 else None)


def test_axolotl_takes_whole_alphas_only():
    _, config = planned(tiny_llama(hf.LlamaForCausalLM), use_rslora=True)
    with pytest.raises(RankError, match=r"that of all others is 7.48331: leave out --use_rslora"):
        axolotl_settings(config)


@pytest.mark.parametrize("export", [export_peft_config, export_axolotl])
def test_nothing_is_overwritten_unasked(export, tmp_path):
    _, config = planned(tiny_llama(hf.LlamaForCausalLM))
    path = export(config, tmp_path / "out")
    with pytest.raises(OutputExistsError, match="give another --export_dir, or --overwrite"):
        export(config, path)
    assert export(config, path, overwrite=True) == path
    assert json.dumps(path.name)
