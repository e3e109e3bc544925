"""The hand-over to PEFT: every module its rank and scale, on every architecture, also from disk."""

import json
import math
import re
from dataclasses import replace

import pytest
import torch
from peft import EvaConfig, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertForSequenceClassification, LlamaForCausalLM

from architectures.test_sweep import make
from example_profiles import profile_of
from gelora.adapters import (
    adapter_parameters,
    adapter_ranks,
    head_parameters,
    lora_config,
    verify_ranks,
    verify_saved_ranks,
)
from gelora.errors import ConfigError, ModelMismatchError, RankError
from gelora.hidden_states.architectures import find_architecture
from gelora.ranks import plan_ranks
from tiny_models import TINY_MODELS, tiny_bert, tiny_gpt2, tiny_llama, tiny_mixtral, tiny_t5


def scales(model):
    """What PEFT will multiply BA by, read from its own layers."""
    return {
        name: (layer.r["default"], layer.scaling["default"])
        for name, layer in model.named_modules()
        if hasattr(layer, "lora_A")
    }


@pytest.mark.parametrize("name", TINY_MODELS)
@pytest.mark.parametrize("target_modules", ["attention", "all-linear"])
def test_every_module_gets_its_rank_and_the_same_scale(name, target_modules):
    model = TINY_MODELS[name]()
    plan = plan_ranks(profile_of(model), target_modules=target_modules, scaling=1.5)
    assert set(plan.ranks) == {4, 1, 2}
    wrapped = get_peft_model(model, lora_config(model, plan))
    verify_ranks(wrapped, plan)
    found = scales(wrapped)
    assert len(found) == len(plan.modules)
    assert {scale for _, scale in found.values()} == {1.5}
    assert sorted(rank for rank, _ in found.values()) == sorted(plan.modules.values())
    assert adapter_parameters(wrapped) == plan.trainable_parameters
    assert head_parameters(wrapped) == 0


@pytest.mark.parametrize("name", TINY_MODELS)
def test_saved_and_loaded_ranks_are_the_planned_ones(name, tmp_path):
    plan = plan_ranks(profile_of(TINY_MODELS[name]()))
    model = TINY_MODELS[name]()
    get_peft_model(model, lora_config(model, plan)).save_pretrained(tmp_path)
    verify_saved_ranks(tmp_path, plan)
    verify_ranks(PeftModel.from_pretrained(TINY_MODELS[name](), tmp_path), plan)


@pytest.mark.parametrize("name", TINY_MODELS)
def test_halves_of_a_block_get_their_own_ranks(name, tmp_path):
    """From the profile's increments to what PEFT loads: attention's ranks and the MLP's differ."""
    model = TINY_MODELS[name]()
    profile = profile_of(model, granularity="sublayer")
    plan = plan_ranks(profile, target_modules="all-linear")
    wrapped = get_peft_model(model, lora_config(model, plan))
    verify_ranks(wrapped, plan)
    assert adapter_parameters(wrapped) == plan.trainable_parameters
    wanted = dict(zip(profile.sublayers, plan.ranks, strict=True))
    prefix = find_architecture(model).prefix
    found = {
        module.removeprefix("base_model.model.").removeprefix(prefix): rank
        for module, (rank, _) in scales(wrapped).items()
    }
    for module in profile.modules:
        half = "mlp" if module.role == "mlp" else "attention"
        assert found[module.name] == wanted[f"{profile.blocks[module.block]}/{half}"]
    wrapped.save_pretrained(tmp_path)
    verify_saved_ranks(tmp_path, plan)
    verify_ranks(PeftModel.from_pretrained(TINY_MODELS[name](), tmp_path), plan)


def test_a_plan_of_the_backbone_serves_a_model_with_a_head():
    plan = plan_ranks(profile_of(tiny_llama()))
    model = tiny_llama(LlamaForCausalLM)
    wrapped = get_peft_model(model, lora_config(model, plan, task_type="CAUSAL_LM"))
    verify_ranks(wrapped, plan)
    assert find_architecture(model).prefix == "model."


def test_head_and_adapter_parameters_are_counted_apart():
    model = tiny_bert(BertForSequenceClassification, num_labels=3)
    plan = plan_ranks(profile_of(model))
    wrapped = get_peft_model(model, lora_config(model, plan, task_type="SEQ_CLS"))
    assert adapter_parameters(wrapped) == plan.trainable_parameters
    assert head_parameters(wrapped) == 3 * 32 + 3


def test_config_is_plain_json_with_integer_ranks_and_alphas(tmp_path):
    model = tiny_bert()
    lora_config(model, plan_ranks(profile_of(model))).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (saved["r"], saved["lora_alpha"]) == (4, 8)
    numbers = [*saved["rank_pattern"].values(), *saved["alpha_pattern"].values()]
    assert all(type(number) is int for number in numbers)


def test_uniform_ranks_need_no_patterns():
    model = tiny_bert()
    config = lora_config(model, plan_ranks(profile_of(model), budget="r=4", max_rank=4))
    assert (config.r, config.rank_pattern, config.alpha_pattern) == (4, {}, {})


def test_keys_name_one_module_each():
    """Two stacks share their suffixes, and layer 1 must not hit layer 11."""
    for model in (tiny_t5(), tiny_bert(num_hidden_layers=12)):
        profile = profile_of(model)
        config = lora_config(model, plan_ranks(profile, min_rank=2))
        names = [name for name, _ in model.named_modules()]
        for key in config.rank_pattern:
            assert sum(bool(re.match(rf"(.*\.)?({key})$", name)) for name in names) == 1


@pytest.mark.parametrize("use_rslora", [False, True])
def test_scale_is_constant_with_rslora_too(use_rslora):
    model = tiny_bert()
    plan = plan_ranks(profile_of(model))
    wrapped = get_peft_model(model, lora_config(model, plan, use_rslora=use_rslora))
    verify_ranks(wrapped, plan)
    assert all(math.isclose(scale, 2.0) for _, scale in scales(wrapped).values())


def test_other_lora_arguments_pass_through():
    model = tiny_bert()
    config = lora_config(
        model, plan_ranks(profile_of(model)), use_dora=True, lora_dropout=0.1, bias="lora_only"
    )
    assert (config.use_dora, config.lora_dropout, config.bias) == (True, 0.1, "lora_only")
    verify_ranks(get_peft_model(model, config), plan_ranks(profile_of(tiny_bert())))


def test_lora_config_says_which_argument_comes_first():
    model = tiny_bert()
    with pytest.raises(ConfigError, match=r"takes the model first: lora_config\(model, plan\)"):
        lora_config(plan_ranks(profile_of(model)), model)


def test_lora_config_takes_weights_that_were_trained_further_if_it_is_told():
    model = tiny_bert()
    plan = plan_ranks(profile_of(model))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    with pytest.raises(ModelMismatchError, match="other weights"):
        lora_config(model, plan)
    config = lora_config(model, plan, check_model=False)
    verify_ranks(get_peft_model(model, config), plan)
    with pytest.raises(ModelMismatchError):
        lora_config(tiny_llama(), plan, check_model=False)


def test_a_plan_gives_the_config_and_the_patterns_of_peft():
    model = tiny_bert()
    plan = plan_ranks(profile_of(model))
    config = plan.to_lora_config(model, lora_dropout=0.1)
    assert config.to_dict() == lora_config(model, plan, lora_dropout=0.1).to_dict()
    hand_made = LoraConfig(
        r=max(plan.ranks),
        lora_alpha=max(plan.alphas.values()),
        target_modules=list(plan.modules),
        rank_pattern=plan.rank_pattern,
        alpha_pattern=plan.alpha_pattern,
    )
    verify_ranks(get_peft_model(model, hand_made), plan)


def test_conv1d_is_declared_as_stored_transposed():
    model = tiny_gpt2()
    assert lora_config(model, plan_ranks(profile_of(model))).fan_in_fan_out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"r": 8}, "plan decides r: plan again"),
        ({"target_modules": ["query"], "lora_alpha": 1}, "decides lora_alpha, target_modules"),
        ({"init_lora_weights": "eva"}, r"unless eva_config=EvaConfig\(rho=1.0\), and got rho=2.0"),
        ({"init_lora_weights": "orthogonal"}, "orthogonal' needs even ranks and .* has 1"),
    ],
)
def test_refused_arguments(arguments, message):
    model = tiny_bert()
    with pytest.raises(RankError, match=message):
        lora_config(model, plan_ranks(profile_of(model)), **arguments)


def test_lora_ga_needs_twice_the_rank():
    model = tiny_bert()
    plan = plan_ranks(profile_of(model), min_rank=17)
    with pytest.raises(RankError, match="twice the rank, 17, of .* side, 32"):
        lora_config(model, plan, init_lora_weights="lora_ga")


def test_plan_of_another_model_is_refused():
    with pytest.raises(ModelMismatchError):
        lora_config(tiny_llama(), plan_ranks(profile_of(tiny_bert())))


def test_verify_notices_another_rank_scale_and_module():
    model = tiny_bert()
    plan = plan_ranks(profile_of(model))
    wrapped = get_peft_model(model, lora_config(model, plan))
    layer = next(layer for layer in wrapped.modules() if hasattr(layer, "lora_A"))
    layer.scaling["default"] *= 2
    with pytest.raises(RankError, match="rank 4 and scale 4, planned were rank 4 and scale 2"):
        verify_ranks(wrapped, plan)
    layer.scaling["default"] /= 2
    layer.r["default"] = 3
    with pytest.raises(RankError, match="rank 3 and scale 2, planned were rank 4"):
        verify_ranks(wrapped, plan)
    fewer = plan_ranks(profile_of(tiny_bert()), target_modules=["query"])
    with pytest.raises(RankError, match="0 planned modules have no adapter and 9 adapters are not"):
        verify_ranks(wrapped, fewer)


def test_verify_notices_a_dropped_alpha_pattern(tmp_path):
    """What a reader without patterns does: alpha of the largest rank over each module's own."""
    model = tiny_bert()
    plan = plan_ranks(profile_of(model))
    get_peft_model(model, lora_config(model, plan)).save_pretrained(tmp_path)
    config = LoraConfig.from_pretrained(tmp_path)
    config.alpha_pattern = {}
    config.save_pretrained(tmp_path)
    with pytest.raises(RankError, match="rank 1 and scale 8, planned were rank 1 and scale 2"):
        verify_saved_ranks(tmp_path, plan)


def test_verify_notices_a_missing_tensor(tmp_path):
    model = tiny_bert()
    plan = plan_ranks(profile_of(model))
    get_peft_model(model, lora_config(model, plan)).save_pretrained(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file(dict(sorted(tensors.items())[2:]), path)
    with pytest.raises(RankError, match="1 planned modules have no adapter"):
        verify_saved_ranks(tmp_path, plan)


def test_eva_keeps_the_ranks_with_rho_1():
    model = tiny_bert()
    plan = plan_ranks(profile_of(model))
    eva = {"init_lora_weights": "eva", "eva_config": EvaConfig(rho=1.0)}
    config = lora_config(model, plan, **eva)
    verify_ranks(get_peft_model(model, config, low_cpu_mem_usage=True), plan)


def test_an_adapter_added_by_transformers_is_verified_too():
    model = tiny_bert()
    plan = plan_ranks(profile_of(model))
    model.add_adapter(lora_config(model, plan))
    verify_ranks(model, plan)


def test_quantised_linears_are_sized_by_their_attributes():
    model = tiny_bert()
    plan = plan_ranks(profile_of(model))
    for layer in model.encoder.layer:
        packed = layer.attention.self.query
        del packed.weight  # what packed formats keep elsewhere
    assert lora_config(model, plan).r == 4


def test_logits_survive_a_round_trip(tmp_path):
    model = tiny_bert(BertForSequenceClassification, num_labels=2)
    plan = plan_ranks(profile_of(model))
    config = lora_config(model, plan, task_type="SEQ_CLS", init_lora_weights=False)
    wrapped = get_peft_model(model, config).eval()
    tokens = torch.arange(4, 20).reshape(2, 8)
    before = wrapped(tokens).logits
    wrapped.save_pretrained(tmp_path)
    base = tiny_bert(BertForSequenceClassification, num_labels=2)
    after = PeftModel.from_pretrained(base, tmp_path).eval()(tokens).logits
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_adapter_ranks_reads_the_ranks_by_path_from_the_backbone():
    model = tiny_bert(BertForSequenceClassification)
    plan = plan_ranks(profile_of(model))
    assert adapter_ranks(get_peft_model(model, lora_config(model, plan))) == dict(plan.modules)


# PEFT looks for the keys of experts among modules, warns, and applies them.
@pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys")
def test_experts_get_the_rank_of_their_block():
    model = tiny_mixtral()
    plan = plan_ranks(profile_of(model))
    config = lora_config(model, plan, target_parameters=["mlp.experts.down_proj"])
    wrapped = get_peft_model(model, config)
    verify_ranks(wrapped, plan)
    ranks = adapter_ranks(wrapped)
    for block, rank in zip(plan.blocks, plan.ranks, strict=True):
        assert ranks[f"{block}.mlp.experts.down_proj"] == rank


def test_a_plan_of_the_text_part_holds_for_the_multimodal_model():
    whole = make("Gemma3ForConditionalGeneration")
    part = whole.model.language_model
    plan = plan_ranks(profile_of(part))
    of_whole = plan_ranks(profile_of(whole))
    for_part = lora_config(part, plan)
    with pytest.raises(ModelMismatchError, match="whole gemma3 model.*pass the whole model"):
        lora_config(part, of_whole)
    verify_ranks(get_peft_model(whole, lora_config(whole, plan)), plan)
    whole = make("Gemma3ForConditionalGeneration")
    wrapped = get_peft_model(whole, for_part)  # PEFT takes the names for endings
    with pytest.raises(RankError, match="put 6 adapters on modules whose names only end as"):
        verify_ranks(wrapped, plan)


def test_lora_config_refuses_a_model_that_is_wrapped_already():
    model = tiny_bert()
    plan = plan_ranks(profile_of(model))
    wrapped = get_peft_model(model, lora_config(model, plan))
    with pytest.raises(ModelMismatchError, match="hand over the model before it is wrapped"):
        lora_config(wrapped, plan)


def test_lora_config_refuses_a_module_whose_path_ends_as_a_planned_one():
    model = tiny_bert()
    plan = plan_ranks(profile_of(model), target_modules=["query"])
    name = min(plan.modules)
    inner: nn.Module = nn.Linear(4, 4)
    for part in reversed(name.split(".")):
        outer = nn.Module()
        outer.add_module(part, inner)
        inner = outer
    model.add_module("copy", inner)
    with pytest.raises(RankError, match=f"cannot tell {re.escape(name)} from copy.{name}, which"):
        lora_config(model, plan)


def test_lora_config_refuses_a_rank_above_the_side_of_the_matrix():
    model = tiny_bert()
    plan = plan_ranks(profile_of(model))
    name = min(plan.modules)
    edited = replace(plan, modules={**plan.modules, name: 33})
    with pytest.raises(RankError, match=f"Rank 33 of {name} is above its smaller side, 32"):
        lora_config(model, edited)
