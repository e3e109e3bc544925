"""What PEFT makes of a model is seen without weights, and so is what a training step keeps."""

import pytest
import torch
import transformers as hf
from peft import LoraConfig, get_peft_model

import gelora
from architectures.test_sweep import make
from gelora.errors import RankError
from gelora.hidden_states.architectures import find_architecture
from gelora.hidden_states.outline import check_wrap, outline_of, step_bytes
from gelora.ranks.targets import select_modules
from tiny_models import TINY_MODELS, tiny_bert, tiny_gpt2, tiny_llama, tiny_texts, tiny_tokenizer


def targets_of(model):
    found = find_architecture(model)
    chosen = select_modules(found.modules, "attention")
    return [f"{found.prefix}{module.name}" for module in chosen]


@pytest.mark.parametrize("name", sorted(TINY_MODELS))
def test_peft_adapts_what_is_planned(name):
    model = TINY_MODELS[name]()
    outline = outline_of(model)
    assert {one.device.type for one in outline.parameters()} == {"meta"}
    assert dict(outline.named_modules()).keys() == dict(model.named_modules()).keys()
    check_wrap(outline, targets_of(model))


def test_what_peft_refuses_or_rewrites_is_refused():
    mamba = make("MambaForCausalLM")
    names = [name for name, _ in mamba.named_modules() if name.endswith("out_proj")]
    with pytest.raises(RankError, match=r"PEFT does not adapt .* MambaForCausalLM .*name others"):
        check_wrap(outline_of(mamba), names)
    experts = make("DeepseekV3ForCausalLM")
    paths = [name for name, _ in experts.named_modules()]
    names = [name for name in paths if name.endswith("layers.0.mlp.up_proj")]
    with pytest.raises(RankError, match="PEFT does not adapt .* DeepseekV3.*gate_proj"):
        check_wrap(outline_of(experts), names)
    names += [name for name in paths if name.endswith("layers.0.mlp.gate_proj")]
    with pytest.raises(RankError, match=r"Of the 2 modules .* PEFT leaves out"):
        check_wrap(outline_of(experts), names)


def test_measuring_stops_before_the_first_text_where_peft_would_refuse(monkeypatch):
    monkeypatch.setattr(
        "gelora.hidden_states.module_tree._MAMBA_KINDS", frozenset()
    )  # as a kind unknown
    monkeypatch.setattr("gelora.hidden_states.measure.Reader", None)  # which would read the texts
    with pytest.raises(RankError, match="PEFT does not adapt"):
        gelora.measure_dimensions(
            make("MambaForCausalLM"),
            tiny_tokenizer(),
            tiny_texts(60),
            target_modules="all-linear",
        )


@pytest.mark.parametrize(
    "make_model",
    [lambda: tiny_bert(hf.BertForSequenceClassification), tiny_llama, tiny_gpt2],
)
def test_a_step_keeps_as_many_bytes_as_one_that_is_run(make_model):
    model = make_model()
    names = targets_of(model)
    expected = step_bytes(outline_of(model), names, batch=8, tokens=24)
    is_conv1d = make_model is tiny_gpt2
    assert step_bytes(outline_of(model), [], batch=8, tokens=24) < expected
    wrapped = get_peft_model(
        model, LoraConfig(r=1, target_modules=names, fan_in_fan_out=is_conv1d)
    ).train()
    weights = {one.untyped_storage().data_ptr() for one in wrapped.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        wrapped(input_ids=torch.randint(1, 60, (8, 24)))
    found = sum(storage.nbytes() for storage in kept.values())
    assert abs(expected - found) < 0.1 * found


def test_a_model_that_reads_values_on_its_way_keeps_an_unknown_number():
    model = make("Qwen3MoeForCausalLM")
    assert step_bytes(outline_of(model), targets_of(model), batch=2, tokens=8) is None
