"""One rank for all modules: the same function, and nothing that says that ranks differed."""

import json
import shutil

import pytest
import torch
import transformers as hf
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from torch.testing import assert_close

import gelora
from gelora.adapters import PATTERN_ARGUMENTS
from gelora.artifacts import PLAN_FILE, PROFILE_FILE
from gelora.errors import RankError, ServingWarning
from gelora.exports import UNIFORM_RANKS, export_uniform, verify_same_update
from gelora.exports.saved import SavedAdapter, read_adapter, write_adapter
from gelora.exports.uniform import uniform_rank
from tiny_adapters import logits, peft_updates, save_tiny_adapter
from tiny_models import tiny_bert, tiny_deberta, tiny_gpt2, tiny_llama, tiny_qwen3

LABELS = {"task_type": "SEQ_CLS"}
KINDS = {
    "llama": (lambda: tiny_llama(hf.LlamaForCausalLM), {}),
    "qwen3": (lambda: tiny_qwen3(hf.Qwen3ForCausalLM), {}),
    "gpt2, which is transposed": (lambda: tiny_gpt2(hf.GPT2LMHeadModel), {}),
    "bert with a head": (lambda: tiny_bert(hf.BertForSequenceClassification), LABELS),
    "rsLoRA": (lambda: tiny_llama(hf.LlamaForCausalLM), {"use_rslora": True}),
    "gaussian": (lambda: tiny_llama(hf.LlamaForCausalLM), {"init_lora_weights": "gaussian"}),
}
# Forms that some servers refuse; the padded adapter is the same function nevertheless.
REFUSED = {
    "DoRA": (lambda: tiny_llama(hf.LlamaForCausalLM), {"use_dora": True}),
    "LoRA with biases": (
        lambda: tiny_bert(hf.BertForSequenceClassification),
        {**LABELS, "lora_bias": True},
    ),
    "deberta with a pooler": (
        lambda: tiny_deberta(hf.DebertaV2ForSequenceClassification),
        {**LABELS, "modules_to_save": ["classifier", "pooler"]},
    ),
}


@pytest.fixture
def adapter(tmp_path):
    folder = tmp_path / "adapter"
    save_tiny_adapter(folder, tiny_llama(hf.LlamaForCausalLM))
    return folder


def changed(folder, **settings):
    """Change the settings of a saved adapter; its tensors stay."""
    before = read_adapter(folder)
    write_adapter(SavedAdapter({**before.config, **settings}, before.tensors), folder)
    return folder


@pytest.mark.filterwarnings("ignore::gelora.errors.ServingWarning")
@pytest.mark.filterwarnings("ignore:Adapter 'default'. 12 LoRA")  # PEFT's, of biases it saves well
@pytest.mark.parametrize("kind", [*KINDS, *REFUSED])
def test_the_function_is_the_same(kind, tmp_path):
    make, lora = (KINDS | REFUSED)[kind]
    native = save_tiny_adapter(tmp_path / "adapter", make(), **lora)
    export_uniform(tmp_path / "adapter", tmp_path / "uniform")
    loaded = PeftModel.from_pretrained(make(), str(tmp_path / "uniform")).eval()
    assert {layer.shape[0] for layer in factors(tmp_path / "uniform", "A")} == {16}
    before, after = peft_updates(native), peft_updates(loaded)
    assert before.keys() == after.keys()
    for name, update in before.items():
        assert_close(after[name], update, rtol=0, atol=1e-6 * update.abs().max().item())
    assert_close(logits(loaded), logits(native), rtol=0, atol=1e-4)
    with native.disable_adapter():  # and the adapter does something
        assert (logits(loaded) - logits(native)).abs().max() > 0.1


@pytest.mark.parametrize("rank", UNIFORM_RANKS[1:])
def test_no_weight_changes_and_the_rest_is_zero(adapter, tmp_path, rank):
    export_uniform(adapter, tmp_path / "uniform", rank=rank)
    before = load_file(adapter / "adapter_model.safetensors")
    after = load_file(tmp_path / "uniform" / "adapter_model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        axis = 0 if ".lora_A." in name else 1
        kept, zeros = after[name].split([tensor.shape[axis], rank - tensor.shape[axis]], axis)
        assert torch.equal(kept, tensor)
        assert not zeros.any()


@pytest.mark.parametrize("rank", [1, 8, 9, 512])
def test_export_uniform_keeps_the_rank_of_an_adapter_of_one_rank(tmp_path, rank):
    folder = one_layer(tmp_path / "adapter", rank=rank)
    assert config(export_uniform(folder, tmp_path / "uniform"))["r"] == rank
    assert uniform_rank(folder) == rank


def test_export_uniform_pads_to_a_rank_that_is_named(tmp_path):
    folder = one_layer(tmp_path / "adapter", rank=1)
    assert config(export_uniform(folder, tmp_path / "uniform", rank=8))["r"] == 8


def test_uniform_rank_is_none_where_servers_need_an_export(adapter, tmp_path):
    assert uniform_rank(adapter) is None  # ranks of 14, 3 and 7
    folder = one_layer(tmp_path / "one", rank=8)
    for settings in (
        {"use_rslora": True},
        {"init_lora_weights": "gaussian"},
        {"alpha_pattern": {"q_proj": 16}},
    ):
        changed(folder, **settings)
        assert uniform_rank(folder) is None
        changed(folder, use_rslora=False, init_lora_weights=True, alpha_pattern={})
    assert uniform_rank(folder) == 8


def test_only_what_ranks_and_scales_need_changes_in_the_config(adapter, tmp_path):
    changed(adapter, peft_version="0.99.0", a_setting_to_come=[1])
    before, after = config(adapter), config(export_uniform(adapter, tmp_path / "uniform"))
    assert after | {"r": 16, "lora_alpha": 32, "rank_pattern": {}, "alpha_pattern": {}} == after
    decided = {*PATTERN_ARGUMENTS, "use_rslora", "init_lora_weights"}
    assert {name for name in before if before[name] != after[name]} <= decided
    assert isinstance(after["lora_alpha"], int)


def test_no_scaling_or_initialisation_is_left_to_misread(tmp_path):
    lora = {"use_rslora": True, "init_lora_weights": "gaussian"}
    save_tiny_adapter(tmp_path / "adapter", tiny_llama(hf.LlamaForCausalLM), **lora)
    found = config(export_uniform(tmp_path / "adapter", tmp_path / "uniform"))
    assert (found["use_rslora"], found["lora_alpha"], found["r"]) == (False, 32, 16)
    assert found["init_lora_weights"] is True


def test_what_lies_beside_the_adapter_comes_along_but_for_the_optimiser(adapter, tmp_path):
    for name in (PLAN_FILE, PROFILE_FILE, "chat_template.jinja", "optimizer.pt", "rng_state.pth"):
        (adapter / name).write_text(name)
    (adapter / "figures").mkdir()
    out = gelora.export_uniform(adapter, tmp_path / "uniform")
    assert sorted(path.name for path in out.iterdir()) == [
        *("README.md", "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja"),
        *(PROFILE_FILE, PLAN_FILE),
    ]


def test_training_goes_on_from_it(adapter, tmp_path):
    export_uniform(adapter, tmp_path / "uniform")
    model = PeftModel.from_pretrained(
        tiny_llama(hf.LlamaForCausalLM), str(tmp_path / "uniform"), is_trainable=True
    )
    model(input_ids=torch.tensor([[5, 6, 7]]), labels=torch.tensor([[5, 6, 7]])).loss.backward()
    assert all(p.grad is not None for n, p in model.named_parameters() if "lora_" in n)


@pytest.mark.parametrize("kind", ["DoRA", "deberta with a pooler"])
def test_what_servers_refuse_is_warned_of(kind, tmp_path):
    make, lora = REFUSED[kind]
    save_tiny_adapter(tmp_path / "adapter", make(), **lora)
    with pytest.warns(ServingWarning, match="--merged model"):
        export_uniform(tmp_path / "adapter", tmp_path / "uniform")


@pytest.mark.parametrize(
    ("rank", "got"), [(8, "largest, 14. Got 8"), (17, "Got 17"), (0, "Got 0"), (1024, "Got 1024")]
)
def test_a_rank_that_servers_or_the_adapter_do_not_take(adapter, tmp_path, rank, got):
    with pytest.raises(RankError, match=rf"one of 8, 16, .*512, and no less than .*{got}\."):
        export_uniform(adapter, tmp_path / "uniform", rank=rank)
    assert not (tmp_path / "uniform").exists()


def test_a_rank_above_all_of_them(tmp_path):
    with pytest.raises(RankError, match="largest, 513. Got 512"):
        export_uniform(one_layer(tmp_path / "adapter", rank=513), tmp_path / "uniform", rank=512)


def test_scales_that_differ_cannot_be_one(adapter, tmp_path):
    with pytest.raises(RankError, match=r"is 2 in model.layers.0\S+ and 9.33\S* in model.layers"):
        export_uniform(changed(adapter, alpha_pattern={}), tmp_path / "uniform")


def test_padding_would_change_what_pissa_does_to_the_base(tmp_path):
    native = save_tiny_adapter(
        tmp_path / "adapter", tiny_llama(hf.LlamaForCausalLM), init_lora_weights="pissa"
    )
    with pytest.raises(RankError, match="init_lora_weights='pissa'. PEFT then changes"):
        export_uniform(tmp_path / "adapter", tmp_path / "uniform")
    # Refused for a reason: with the setting dropped, or kept, the padded adapter is another.
    export_uniform(changed(tmp_path / "adapter", init_lora_weights=True), tmp_path / "uniform")
    for setting in (True, "pissa"):
        folder = str(changed(tmp_path / "uniform", init_lora_weights=setting))
        loaded = PeftModel.from_pretrained(tiny_llama(hf.LlamaForCausalLM), folder).eval()
        assert (logits(loaded) - logits(native)).abs().max() > 0.01


@pytest.mark.parametrize("form", ["target_parameters", "use_qalora", "monteclora_config"])
def test_other_forms_of_lora(adapter, tmp_path, form):
    with pytest.raises(RankError, match=rf"has {form}=\[1\], a form of LoRA that cannot be padded"):
        export_uniform(changed(adapter, **{form: [1]}), tmp_path / "uniform")


def test_matrices_of_other_layers(adapter, tmp_path):
    before = read_adapter(adapter)
    strange = {"base_model.model.conv.lora_A.weight": torch.zeros(4, 2, 3, 3)}
    write_adapter(SavedAdapter(before.config, {**before.tensors, **strange}), adapter)
    with pytest.raises(RankError, match=r"conv.lora_A.weight in .*\(4, 2, 3, 3\), and only"):
        export_uniform(adapter, tmp_path / "uniform")


def test_what_was_written_is_compared(adapter, tmp_path, monkeypatch):
    monkeypatch.setattr("gelora.exports.uniform.whole", lambda alpha: alpha / 2)
    with pytest.raises(RankError, match=r"The updates of model.layers\S+ in .* differ by"):
        export_uniform(adapter, tmp_path / "uniform")
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_one_adapter_can_be_told_from_another(adapter, tmp_path):
    other = shutil.copytree(adapter, tmp_path / "other")
    verify_same_update(adapter, other)
    before = read_adapter(adapter)
    broken = {name: tensor / 0 for name, tensor in before.tensors.items()}
    write_adapter(SavedAdapter(before.config, broken), other)
    with pytest.raises(RankError, match="differ by nan"):
        verify_same_update(adapter, other)
    name = "base_model.model.score.weight"
    write_adapter(SavedAdapter(before.config, {**before.tensors, name: torch.ones(2)}), other)
    with pytest.raises(RankError, match=f"{name} is not the same in"):
        verify_same_update(adapter, other)
    fewer = {name: tensor for name, tensor in before.tensors.items() if "layers.2" not in name}
    write_adapter(SavedAdapter(before.config, fewer), other)
    with pytest.raises(RankError, match=r"Only one of .* adapts model.layers.2.self_attn.k_proj"):
        verify_same_update(adapter, other)


def config(folder):
    return json.loads((folder / "adapter_config.json").read_text())


def factors(folder, letter):
    tensors = load_file(folder / "adapter_model.safetensors")
    return [tensor for name, tensor in tensors.items() if f".lora_{letter}.weight" in name]


def one_layer(folder, *, rank):
    model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    get_peft_model(model, LoraConfig(r=rank, target_modules=["0"])).save_pretrained(str(folder))
    return folder
