"""Checkpoints that are none are refused in a sentence; formats that are slow here are not taken."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5EncoderModel

from gelora.errors import ConfigError, MissingExtraError
from gelora.hidden_states import source as sources
from gelora.hidden_states.loading import load_model, load_tokenizer
from gelora.hidden_states.source import ModelSource
from tiny_models import save_tiny, tiny_bert, tiny_llama, tiny_tokenizer

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    return save_tiny(tiny_bert(), tiny_tokenizer(), tmp_path / "tiny")


def test_load_model_names_a_pointer_of_git_lfs(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    with pytest.raises(
        ConfigError, match=r"model.safetensors is a pointer of git-lfs.*git lfs pull"
    ):
        load_model(str(folder), task=None)


@pytest.mark.parametrize("length", [0, 4, 20_000])
def test_load_model_names_weights_that_are_cut_short(folder, length):
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:length])
    with pytest.raises(ConfigError, match="model.safetensors is cut short or damaged"):
        load_model(str(folder), task=None)


def test_load_model_names_a_gguf_model(folder):
    (folder / "model.safetensors").rename(folder / "model.gguf")
    with pytest.raises(ConfigError, match="holds a GGUF model"):
        load_model(str(folder), task=None)


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_load_model_names_the_package_that_a_quantised_checkpoint_needs(folder, method):
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": method, "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises((MissingExtraError, ConfigError)) as raised:
        load_model(str(folder), task=None)
    assert "\n" not in str(raised.value)


def test_load_model_names_attention_that_is_not_installed(folder):
    with pytest.raises(MissingExtraError, match="flash_attention_2 is not installed: leave it out"):
        load_model(str(folder), task=None, attn_implementation="flash_attention_2")


def test_load_model_refuses_a_broken_config_in_one_sentence(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_model(str(folder), task=None)
    (folder / "config.json").write_text('{"model_type": "nonsense"}')
    with pytest.raises(ConfigError, match="cannot be loaded.*nonsense"):
        load_model(str(folder), task=None)


def test_load_tokenizer_refuses_a_folder_without_one_and_a_broken_one(folder):
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ConfigError, match="The tokenizer of .* cannot be loaded: copy"):
        load_tokenizer(str(folder))
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ConfigError, match="comes without a tokenizer: copy the files"):
        load_tokenizer(str(folder))


def test_load_model_takes_the_base_of_an_adapters_folder_and_says_so(folder, tmp_path, caplog):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    settings = {"base_model_name_or_path": str(folder)}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    assert load_model(str(adapter), task=None).config.model_type == "bert"
    assert load_tokenizer(str(adapter)).vocab_size == 64
    assert f"its base model {folder} is loaded, without the adapter" in caplog.text
    (adapter / "adapter_config.json").write_text("{}")
    with pytest.raises(ConfigError, match="an adapter that names no base model: give the base"):
        load_model(str(adapter), task=None)


@pytest.mark.parametrize(("is_fast", "loaded"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_takes_float32_where_the_processor_is_slow_in_bfloat16(
    tmp_path, monkeypatch, is_fast, loaded, caplog
):
    caplog.set_level("INFO")
    name = str(save_tiny(tiny_llama().bfloat16(), tiny_tokenizer(), tmp_path / "tiny"))
    monkeypatch.setattr(sources, "computes_fast_in", lambda dtype, device: is_fast)
    model, _ = ModelSource(name).load(device=CPU, task=None)
    assert model.dtype == loaded
    assert ("stored in bfloat16, in which this processor is slow" in caplog.text) != is_fast
    caplog.clear()
    model, _ = ModelSource(name, dtype="bfloat16").load(device=CPU, task=None)
    assert model.dtype == torch.bfloat16  # as asked for
    assert ("slower than --dtype float32" in caplog.text) != is_fast


def test_a_whole_folder_loads_whatever_else_lies_in_it(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    for name in ("consolidated.safetensors", "pytorch_model.bin"):
        (tmp_path / "copy" / name).write_text("version https://git-lfs.github.com/spec/v1\n")
    assert load_model(str(tmp_path / "copy"), task=None).num_parameters() > 0


def test_load_model_refuses_a_checkpoint_that_leaves_the_backbone_random(folder):
    weights = load_file(folder / "model.safetensors")
    for lacking in (
        "encoder.layer.1.output.dense.weight",
        "embeddings.word_embeddings.weight",
        "embeddings.position_embeddings.weight",
        "embeddings.LayerNorm.bias",
    ):
        save_file({k: v for k, v in weights.items() if k != lacking}, folder / "model.safetensors")
        for task in (None, "classification"):
            with pytest.raises(ConfigError, match=rf"lacks 1 weights of a Bert.*{lacking}"):
                load_model(str(folder), task=task)
    save_file({k: v for k, v in weights.items() if "pooler" not in k}, folder / "model.safetensors")
    load_model(str(folder), task="classification")  # a new pooler is what many checkpoints need
    with pytest.raises(ConfigError, match="would stay random"):
        load_model(str(folder), task=None, config_overrides="num_hidden_layers=9")


def test_load_model_takes_an_encoder_that_is_stored_alone(tmp_path):
    torch.manual_seed(0)
    encoder = T5EncoderModel(T5Config(vocab_size=64, d_model=32, d_kv=8, d_ff=64, num_layers=2))
    folder = save_tiny(encoder, tiny_tokenizer(), tmp_path / "t5")
    loaded = load_model(str(folder), task=None)
    assert type(loaded) is T5EncoderModel
    for name, weight in encoder.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name])
    with pytest.raises(ConfigError, match=r"of a T5ForSequenceClassification.*whole model"):
        load_model(str(folder), task="classification")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_pointers_of_git_lfs_in_place_of_small_files_are_named(folder, name):
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    with pytest.raises(ConfigError, match=rf"{name} is a pointer of git-lfs.*git lfs pull"):
        load_model(str(folder), task=None)
    with pytest.raises(ConfigError, match=rf"{name} is a pointer of git-lfs.*git lfs pull"):
        load_tokenizer(str(folder))


def test_a_file_in_place_of_a_folder_and_a_model_in_a_subfolder_are_named(folder, tmp_path):
    for name in ("config.json", "model.safetensors"):
        with pytest.raises(ConfigError, match="is a file: give the folder"):
            load_model(str(folder / name), task=None)
    outer = tmp_path / "sentence-transformer"
    outer.mkdir()
    shutil.move(folder, outer / "0_Transformer")
    with pytest.raises(ConfigError, match=r"holds no config.json: give .*0_Transformer\."):
        load_model(str(outer), task=None)
    load_model(str(outer / "0_Transformer"), task=None)


@pytest.mark.parametrize("name", ["/no/such/folder", "./nosuch", "a/b/c", "../nosuch"])
def test_a_local_folder_that_is_not_there_is_told_from_a_name_on_the_hub(name):
    with pytest.raises(ConfigError, match=f"There is no folder {name}: give the folder"):
        load_model(name, task=None)


@pytest.mark.parametrize("length", [0, 4, 20_000])
def test_load_model_names_pickled_weights_that_are_cut_short(folder, length):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    load_model(str(folder), task=None)
    whole = (folder / "pytorch_model.bin").read_bytes()
    (folder / "pytorch_model.bin").write_bytes(whole[:length])
    with pytest.raises(ConfigError, match=r"pytorch_model.bin is cut short or damaged .* bytes"):
        load_model(str(folder), task=None)


def test_load_model_names_a_shard_that_is_missing(folder):
    model = load_model(str(folder), task=None)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    load_model(str(folder), task=None)
    [first, *_] = sorted(folder.glob("model-*.safetensors"))
    first.unlink()
    with pytest.raises(ConfigError, match=rf"lacks 1 of its .*, the first {first.name}: download"):
        load_model(str(folder), task=None)


def test_an_adapter_whose_base_is_not_there_names_the_base(tmp_path):
    settings = {"base_model_name_or_path": "/no/such/base"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match="holds an adapter, and its base .* /no/such/base: give"):
        load_model(str(tmp_path), task=None)


def test_code_of_its_own_is_asked_for_by_its_flag(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="runs code of its own: read it, and add trust_remote"):
        load_model(str(folder), task=None)
