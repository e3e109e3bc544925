"""The plan as axolotl takes it: every module has its rank and scale there, too."""

import pytest
import transformers as hf
import yaml
from peft import LoraConfig, get_peft_model

from gelora.adapters import verify_ranks
from gelora.errors import OutputExistsError, RankError
from gelora.exports import axolotl_settings, export_axolotl
from tiny_adapters import tiny_lora, tiny_plan
from tiny_models import tiny_gpt2, tiny_llama

MODELS = {"llama": (tiny_llama, hf.LlamaForCausalLM), "gpt2": (tiny_gpt2, hf.GPT2LMHeadModel)}


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


@pytest.mark.parametrize("name", MODELS)
def test_axolotl_gives_every_module_its_rank_and_scale(name, tmp_path):
    make, model_class = MODELS[name]
    model = make(model_class)
    model.name_or_path = model.config.name_or_path = "someone/model"
    config = tiny_lora(model, lora_dropout=0.05, init_lora_weights="gaussian")
    wrapped = get_peft_model(model, config)
    path = export_axolotl(wrapped.peft_config["default"], tmp_path / "axolotl.yaml")
    settings = yaml.safe_load(path.read_text())
    assert settings["base_model"] == "someone/model"
    assert settings["lora_dropout"] == 0.05
    assert settings["peft_init_lora_weights"] == "gaussian"
    theirs = from_axolotl(settings)
    verify_ranks(get_peft_model(make(model_class), theirs), tiny_plan(model))
    assert theirs.fan_in_fan_out == (True if name == "gpt2" else None)


def test_axolotl_takes_whole_alphas_only():
    config = tiny_lora(tiny_llama(hf.LlamaForCausalLM), use_rslora=True)
    with pytest.raises(RankError, match=r"that of all others is 7.48331: leave out --use_rslora"):
        axolotl_settings(config)


def test_nothing_is_overwritten_unasked(tmp_path):
    config = tiny_lora(tiny_llama(hf.LlamaForCausalLM))
    path = export_axolotl(config, tmp_path / "axolotl.yaml")
    with pytest.raises(OutputExistsError, match=f"{path} exists: name another folder, or"):
        export_axolotl(config, path)
    assert export_axolotl(config, path, overwrite=True) == path
