"""The bound in use: spectra of updates that are never formed, beside ranks and bounds."""

import json
import re
from dataclasses import replace

import pytest
import torch
import transformers as hf
from peft import get_peft_model
from safetensors.torch import load_file, save_file

from example_profiles import profile_of
from gelora.errors import ArtifactError, RankError
from gelora.exports.saved import CONFIG_NAME, WEIGHTS_NAME, read_adapter
from gelora.lab.theory.record import ModuleUpdate
from gelora.lab.theory.spectra import Spectrum
from gelora.lab.theory.updates import module_updates
from gelora.lab.theory.usage import bound_in_use
from gelora.ranks import plan_ranks
from tiny_adapters import save_tiny_adapter, tiny_lora, tiny_plan
from tiny_models import tiny_bert, tiny_gpt2, tiny_llama, tiny_t5

MODELS = {
    "bert": lambda: tiny_bert(hf.BertForSequenceClassification),
    "gpt2": lambda: tiny_gpt2(hf.GPT2LMHeadModel),
    "t5": lambda: tiny_t5(hf.T5ForConditionalGeneration),
}


@pytest.mark.parametrize("lora", [{}, {"use_rslora": True}])
@pytest.mark.parametrize("name", MODELS)
def test_spectra_are_those_of_the_whole_updates(name, lora, tmp_path):
    model = MODELS[name]()
    plan = tiny_plan(model)
    save_tiny_adapter(tmp_path, model, task_type=None, **lora)
    whole = {
        path: torch.linalg.svdvals(one.scale * (one.b.double() @ one.a.double()))
        for path, one in read_adapter(tmp_path).factors().items()
    }
    updates = module_updates(tmp_path, plan)
    assert [update.module for update in updates] == list(plan.modules)
    for update in updates:
        (path,) = [path for path in whole if f".{path}".endswith(f".{update.module}")]
        found = torch.tensor(update.spectrum.singular_values, dtype=torch.float64)
        assert len(found) == update.rank == plan.modules[update.module]
        torch.testing.assert_close(found, whole[path][: update.rank])
        assert whole[path][update.rank :].max() < 1e-12
        assert update.spectrum.size == len(whole[path])
        assert update.spectrum.is_whole
        assert update.module.startswith(f"{update.block}.")


def test_spectra_do_not_depend_on_how_the_update_is_factored(tmp_path, seed):
    model = tiny_llama(hf.LlamaForCausalLM)
    save_tiny_adapter(tmp_path, model)
    before = module_updates(tmp_path, tiny_plan(model))
    generator = torch.Generator().manual_seed(seed)
    tensors = load_file(tmp_path / WEIGHTS_NAME)
    for name in [name for name in tensors if "lora_A" in name]:
        rank = len(tensors[name])
        between = torch.randn(rank, rank, generator=generator) + 4 * torch.eye(rank)
        other = name.replace("lora_A", "lora_B")
        tensors[other] = tensors[other] @ torch.linalg.inv(between)
        tensors[name] = between @ tensors[name]
    save_file(tensors, tmp_path / WEIGHTS_NAME, metadata={"format": "pt"})
    for one, other in zip(before, module_updates(tmp_path, tiny_plan(model)), strict=True):
        expected = torch.tensor(one.spectrum.singular_values)
        found = torch.tensor(other.spectrum.singular_values)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * one.spectrum.largest)


def test_untrained_adapters_use_no_rank(tmp_path):
    model = tiny_llama(hf.LlamaForCausalLM)
    get_peft_model(model, tiny_lora(model)).save_pretrained(
        str(tmp_path), save_embedding_layers=False
    )
    plan = tiny_plan(model)
    for use in bound_in_use(module_updates(tmp_path, plan), plan):
        assert use.numerical_rank == use.stable_rank == use.effective_rank == use.share_used == 0


def test_what_was_used_of_what_was_given():
    """Singular values are chosen: two of four are there, of them one small."""
    plan = plan_ranks(profile_of(tiny_llama()))
    assert plan.ranks == (4, 1, 2)
    assert plan.bounds == (3, 0, 1)
    module = "layers.0.self_attn.q_proj"
    spectrum = Spectrum((3.0, 0.03, 1e-9, 0.0), size=32)
    updates = [ModuleUpdate(module, "layers.0", 4, spectrum)]
    (use,) = bound_in_use(updates, plan)
    assert (use.module, use.block, use.bound, use.planned_rank) == (module, "layers.0", 3, 4)
    assert (use.numerical_rank, use.share_used) == (2, 0.5)
    assert use.stable_rank == pytest.approx(1 + 0.01**2)
    assert use.effective_rank == spectrum.effective_rank
    (coarse,) = bound_in_use(updates, plan, tolerance=0.1)
    assert (coarse.numerical_rank, coarse.share_used) == (1, 0.25)


@pytest.mark.parametrize(("target_modules", "bound"), [("attention", 0), ("all-linear", 1)])
def test_with_halves_the_bound_is_of_those_that_have_adapters(target_modules, bound):
    """Halves grow by 3, 0, 1 and 0, 3, 0: in the second block the attention's by 1, then 0."""
    profile = profile_of(tiny_llama(), granularity="sublayer")
    plan = plan_ranks(profile, target_modules=target_modules)
    assert plan.bounds == (3, 0, 1, 0, 3, 0)
    plan = replace(plan, bounds=(3, 0, 0, 1, 3, 0))
    module = "layers.1.self_attn.q_proj"
    rank = plan.modules[module]
    update = ModuleUpdate(module, "layers.1", rank, Spectrum((1.0,), size=32))
    (use,) = bound_in_use([update], plan)
    assert use.bound == bound


def test_an_update_of_another_plan():
    plan = plan_ranks(profile_of(tiny_llama()))
    update = ModuleUpdate("layers.0.self_attn.q_proj", "layers.0", 7, Spectrum((), size=32))
    with pytest.raises(RankError, match="q_proj is of rank 7, and the plan says 4: it is of"):
        bound_in_use([update], plan)


def test_an_adapter_of_another_plan(tmp_path):
    model = tiny_llama(hf.LlamaForCausalLM)
    save_tiny_adapter(tmp_path, model)
    with pytest.raises(RankError, match="has rank 14 .* planned were rank 4"):
        module_updates(tmp_path, tiny_plan(model, budget=None))


def test_an_adapter_that_holds_more_than_its_update(tmp_path):
    model = tiny_llama(hf.LlamaForCausalLM)
    save_tiny_adapter(tmp_path, model)
    config = json.loads((tmp_path / CONFIG_NAME).read_text())
    (tmp_path / CONFIG_NAME).write_text(json.dumps({**config, "init_lora_weights": "pissa"}))
    message = f"{tmp_path} has init_lora_weights='pissa', which moves a part of the base weights"
    with pytest.raises(RankError, match=re.escape(message)):
        module_updates(tmp_path, tiny_plan(model))


def test_no_adapter(tmp_path):
    with pytest.raises(ArtifactError, match=f"{tmp_path} holds no adapter"):
        module_updates(tmp_path, tiny_plan(tiny_llama()))
