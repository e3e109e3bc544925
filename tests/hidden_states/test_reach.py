"""Modules that no gradient reaches, or that share a weight, get no adapter and are named."""

import pytest
import torch
import transformers as hf

import gelora
from gelora.errors import RankError
from gelora.hidden_states.architectures import find_architecture, find_backbone
from gelora.hidden_states.reach import unreached_modules
from tiny_models import (
    _USUAL,
    TINY_MODELS,
    tiny_batch,
    tiny_mixtral,
    tiny_texts,
    tiny_tokenizer,
)


def jamba():
    config = hf.JambaConfig(
        **{**_USUAL, "num_hidden_layers": 4, "num_key_value_heads": 2},
        attn_layer_period=2,
        attn_layer_offset=1,
        expert_layer_period=2,
        num_experts=2,
        num_experts_per_tok=1,
        use_mamba_kernels=False,
        mamba_d_state=4,
    )
    torch.manual_seed(0)
    return hf.JambaForCausalLM(config).eval()


def zamba2():
    config = hf.Zamba2Config(
        **{**_USUAL, "num_hidden_layers": 6, "num_key_value_heads": 4},
        layers_block_type=["mamba", "hybrid", "mamba", "mamba", "hybrid", "mamba"],
        num_mem_blocks=1,
        mamba_d_state=4,
        mamba_headdim=8,
        n_mamba_heads=8,
        mamba_ngroups=1,
        chunk_size=8,
        use_shared_attention_adapter=True,
        adapter_rank=4,
        hybrid_layer_ids=[1, 4],
    )
    torch.manual_seed(0)
    return hf.Zamba2ForCausalLM(config).eval()


def measured(model, **options):
    return gelora.measure_dimensions(model, tiny_tokenizer(), tiny_texts(80), **options)


def unreached(model, batch):
    architecture = find_architecture(model)
    return unreached_modules(find_backbone(model), architecture.modules, architecture.blocks, batch)


@pytest.mark.parametrize("name", sorted(TINY_MODELS))
def test_unreached_modules_are_none_in_usual_models(name):
    model = TINY_MODELS[name]().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert unreached(model, tiny_batch(name)) == frozenset()
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_unreached_modules_counts_an_expert_without_tokens_as_reached():
    assert unreached(tiny_mixtral(), tiny_batch("mixtral")) == frozenset()


@pytest.mark.filterwarnings("ignore::gelora.errors.GeloraWarning")
def test_measure_dimensions_leaves_out_what_is_bypassed_and_names_it(caplog):
    caplog.set_level("INFO")
    profile = measured(jamba(), target_modules="all-linear")
    assert not [module for module in profile.modules if "dt_proj" in module.name]
    (part,) = [part for part in profile.left_out if "dt_proj" in part.name]
    assert (part.reason, part.weights > 0) == ("not reached by a gradient", True)
    assert "No gradient reaches mamba.dt_proj" in caplog.text
    again = type(profile).from_dict(profile.to_dict())
    assert again == profile
    with pytest.raises(RankError, match="'dt_proj' are not reached by a gradient"):
        gelora.plan_ranks(profile, target_modules=["dt_proj"])


def test_modules_that_share_a_weight_get_no_adapter_and_are_named():
    model = zamba2()
    architecture = find_architecture(model)
    assert not [module for module in architecture.modules if "shared_transformer" in module.name]
    shared = {part.name for part in architecture.left_out if part.reason == "shared between blocks"}
    assert "shared_transformer.self_attn.q_proj" in shared
    with pytest.raises(RankError, match="'q_proj' are shared between blocks"):
        measured(model, target_modules=["q_proj"])


@pytest.mark.filterwarnings("ignore::gelora.errors.GeloraWarning")
def test_experts_that_are_no_linear_are_named_in_the_plan():
    from gelora.ranks.advice import plan_advice

    profile = measured(tiny_mixtral(), target_modules="all-linear")
    everything = gelora.plan_ranks(profile, target_modules="all-linear")
    (told,) = [line for line in plan_advice(everything, profile) if "get no adapter" in line]
    assert "mlp.experts.gate_up_proj (not a Linear)" in told
