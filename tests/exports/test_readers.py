"""What each server makes of the files, beside what PEFT does: natively, and of one rank."""

import json
import re
from functools import partial

import pytest
import transformers as hf
from peft import PeftModel
from peft.utils.hotswap import hotswap_adapter
from torch.testing import assert_close

import emulated_readers as readers
from gelora.errors import ServingWarning
from gelora.exports import export_uniform
from gelora.exports.readers import reader_notes
from gelora.exports.saved import read_adapter
from tiny_adapters import logits, peft_updates, save_tiny_adapter
from tiny_models import tiny_bert, tiny_deberta, tiny_gpt2, tiny_llama

SERVERS = {
    "old vLLM": readers.old_vllm,
    "old vLLM with room": partial(readers.old_vllm, max_lora_rank=64),
    "new vLLM": readers.new_vllm,
    "new vLLM with room": partial(readers.new_vllm, max_lora_rank=64),
    "SGLang": readers.sglang,
    "llama.cpp": readers.llama_cpp,
    "LoRAX": readers.lorax,
}
LORA = {"plain": {}, "rsLoRA": {"use_rslora": True}}
causal_model = partial(tiny_llama, hf.LlamaForCausalLM)


@pytest.fixture(scope="module", params=LORA)
def folders(request, tmp_path_factory):
    """Save an adapter of ranks 14, 3 and 7, export it, and return both folders and PEFT's view."""
    folder = tmp_path_factory.mktemp("adapters")
    lora = LORA[request.param]
    model = save_tiny_adapter(folder / "native", causal_model(), **lora)
    export_uniform(folder / "native", folder / "uniform")
    return folder / "native", folder / "uniform", model


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, update in expected.items():
        assert_close(found[name], update, rtol=0, atol=1e-6 * update.abs().max().item())


def largest_error(found, expected):
    """Return the largest share of an update that a server gets wrong."""
    return max(
        ((found[name] - update).norm() / update.norm()).item() for name, update in expected.items()
    )


@pytest.mark.parametrize("server", SERVERS)
def test_every_server_reads_the_uniform_adapter_right(server, folders):
    _, uniform, model = folders
    assert_same(SERVERS[server](uniform), peft_updates(model))


@pytest.mark.parametrize("server", ["old vLLM", "new vLLM", "old vLLM with room"])
def test_vllm_reads_ranks_per_module_right(server, folders):
    native, _, model = folders
    assert_same(SERVERS[server](native), peft_updates(model))


def test_vllm_of_old_is_right_only_because_the_scale_is_constant(folders, tmp_path):
    native, _, _ = folders
    config = json.loads((native / "adapter_config.json").read_text())
    tensors = (native / "adapter_model.safetensors").read_bytes()
    (tmp_path / "adapter_model.safetensors").write_bytes(tensors)
    config["alpha_pattern"] = {}  # as LoraConfig(rank_pattern=...) alone has it
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    expected = peft_updates(loaded(tmp_path))
    assert largest_error(readers.old_vllm(tmp_path), expected) > 0.3
    assert_same(readers.new_vllm(tmp_path), expected)


def test_sglang_refuses_ranks_per_module(folders):
    with pytest.raises(readers.ServerError, match=r"\(42, 32\) does not match \(9, 32\)"):
        readers.sglang(folders[0])


def test_llama_cpp_is_silently_wrong_on_ranks_per_module(folders):
    native, _, model = folders
    assert largest_error(readers.llama_cpp(native), peft_updates(model)) > 0.6


def test_lorax_cannot_stack_ranks_per_module(folders):
    with pytest.raises(RuntimeError, match="stack expects each tensor to be equal size"):
        readers.lorax(folders[0])


def test_lorax_is_silently_wrong_where_small_ranks_happen_to_stack(tmp_path):
    model = save_tiny_adapter(tmp_path, causal_model(), budget=None)
    assert largest_error(readers.lorax(tmp_path), peft_updates(model)) == pytest.approx(0.5)


@pytest.fixture
def two(tmp_path):
    """Save two adapters of other ranks, natively and with rank 16: four folders."""
    for name, budget in (("first", "r=8"), ("second", None)):
        save_tiny_adapter(tmp_path / name, causal_model(), budget=budget)
        export_uniform(tmp_path / name, tmp_path / f"{name} uniform", rank=16)
    return tmp_path


def loaded(folder):
    return PeftModel.from_pretrained(causal_model(), str(folder)).eval()


def test_peft_swaps_uniform_adapters_only(two):
    served, expected = loaded(two / "first uniform"), loaded(two / "second")
    hotswap_adapter(served, str(two / "second uniform"), adapter_name="default")
    assert_same(peft_updates(served), peft_updates(expected))
    assert_close(logits(served), logits(expected), rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="alpha_pattern"):
        hotswap_adapter(loaded(two / "first"), str(two / "second"), adapter_name="default")


def test_peft_adds_uniform_adapters_only(two):
    for kind in (" uniform", ""):
        model = loaded(two / f"first{kind}")
        model.load_adapter(str(two / f"second{kind}"), adapter_name="other")
        add = partial(model.add_weighted_adapter, ["default", "other"], [0.5, 0.5], "sum", "linear")
        if kind:
            add()
        else:
            with pytest.raises(ValueError, match="must have the same r"):
                add()


@pytest.mark.parametrize(
    ("make", "lora", "refuse", "said"),
    [
        (
            causal_model,
            {"use_dora": True},
            [readers.old_vllm, readers.new_vllm, readers.sglang, readers.llama_cpp],
            ["vLLM, SGLang and llama.cpp take no DoRA adapter"],
        ),
        (
            partial(tiny_deberta, hf.DebertaV2ForSequenceClassification),
            {"task_type": "SEQ_CLS", "modules_to_save": ["classifier", "pooler"]},
            [readers.old_vllm, readers.new_vllm, readers.llama_cpp],
            ["vLLM takes no adapter that saves pooler", "llama.cpp's converter takes no .*classif"],
        ),
        (
            partial(tiny_bert, hf.BertForSequenceClassification),
            {"task_type": "SEQ_CLS"},
            [readers.llama_cpp],
            ["llama.cpp's converter takes no adapter that saves modules whole, as classifier"],
        ),
        (
            partial(tiny_gpt2, hf.GPT2LMHeadModel),
            {"lora_bias": True},
            [readers.new_vllm, readers.llama_cpp],
            ["vLLM and llama.cpp take no adapter with lora_bias"],
        ),
        (
            partial(tiny_gpt2, hf.GPT2LMHeadModel),
            {"bias": "lora_only"},
            [readers.old_vllm, readers.new_vllm, readers.llama_cpp],
            [
                "vLLM takes no adapter with bias='lora_only'",
                "llama.cpp's converter takes no .*attn",
            ],
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Adapter 'default'. . LoRA")  # PEFT's, of biases it saves well
def test_notes_and_servers_agree(make, lora, refuse, said, tmp_path):
    save_tiny_adapter(tmp_path / "native", make(), **lora)
    with pytest.warns(ServingWarning) as warned:
        export_uniform(tmp_path / "native", tmp_path / "uniform")
    assert len(warned) == len(said)
    for sentence, warning in zip(said, warned, strict=True):
        assert warning.filename == __file__
        assert re.match(sentence, str(warning.message))
    for server in refuse:
        with pytest.raises(readers.ServerError):
            server(tmp_path / "uniform")


def test_an_adapter_that_all_take_has_no_notes(folders):
    _, uniform, _ = folders
    assert reader_notes(read_adapter(uniform)) == ()
    config = json.loads((uniform / "adapter_config.json").read_text())
    assert not config["alpha_pattern"]  # unsloth's GGUF export refuses any
