import hashlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec

import pytest
import torch
from transformers import (
    BertForSequenceClassification,
    GPT2ForSequenceClassification,
    GPT2Model,
    LlamaForCausalLM,
)

from gelora.errors import ConfigError
from gelora.hidden_states import loading as models
from gelora.hidden_states.loading import (
    EMBEDDED_MODEL,
    EMBEDDED_PACKAGE,
    load_model,
    load_tokenizer,
    resolve_model,
    set_pad_token,
)
from tiny_models import save_tiny, tiny_bert, tiny_gpt2, tiny_llama, tiny_tokenizer


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Stand in for the installed package, with weights of our own."""
    folder = tmp_path / EMBEDDED_PACKAGE
    (folder / "model").mkdir(parents=True)
    weights = folder / "model" / "model.safetensors"
    weights.write_bytes(b"weights")
    spec = ModuleSpec(EMBEDDED_PACKAGE, None, origin=str(folder / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(models, "EMBEDDED_SHA256", hashlib.sha256(b"weights").hexdigest())
    models._check_weights.cache_clear()
    yield weights
    models._check_weights.cache_clear()


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory):
    return save_tiny(tiny_bert(), tiny_tokenizer(), tmp_path_factory.mktemp("bert"))


def test_the_embedded_model_is_the_installed_package_s_and_is_not_imported(package):
    before = set(sys.modules)
    assert resolve_model(EMBEDDED_MODEL) == str(package.parent)
    assert EMBEDDED_PACKAGE not in set(sys.modules) - before


def test_the_installed_package_has_the_weights_this_code_knows():
    if importlib.util.find_spec(EMBEDDED_PACKAGE) is None:
        pytest.skip("the quickstart extra is not installed")
    assert resolve_model(EMBEDDED_MODEL).endswith("model")


def test_the_weights_are_checked_once_a_process(package):
    resolve_model(EMBEDDED_MODEL)
    package.write_bytes(b"other")
    assert resolve_model(EMBEDDED_MODEL) == str(package.parent)


def test_other_weights_than_the_known_are_refused_with_both_hashes(package):
    package.write_bytes(b"other")
    found, expected = (hashlib.sha256(raw).hexdigest() for raw in (b"other", b"weights"))
    with pytest.raises(ConfigError, match=f"SHA-256 {found}, expected {expected}: reinstall"):
        resolve_model(EMBEDDED_MODEL)


def test_a_package_without_its_weights_is_refused(package):
    package.unlink()
    with pytest.raises(ConfigError, match=f"{EMBEDDED_PACKAGE} is installed without its model.saf"):
        resolve_model(EMBEDDED_MODEL)


def test_every_other_name_and_the_embedded_one_without_its_package_stay_names(monkeypatch):
    assert resolve_model("bert-base-uncased") == "bert-base-uncased"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert resolve_model(EMBEDDED_MODEL) == EMBEDDED_MODEL


def test_the_embedded_model_is_named_as_on_the_hub(package):
    assert models.public_name(models.resolve_model(models.EMBEDDED_MODEL)) == models.EMBEDDED_MODEL
    assert models.public_name("a/folder") == "a/folder"


def test_a_backbone_and_heads_are_loaded(bert_folder):
    assert type(load_model(str(bert_folder), task=None)).__name__ == "BertModel"
    names = ("bad", "fair", "good")
    model = load_model(str(bert_folder), task="classification", num_labels=3, label_names=names)
    assert isinstance(model, BertForSequenceClassification)
    assert model.config.id2label == {0: "bad", 1: "fair", 2: "good"}
    assert model.config.problem_type == "single_label_classification"
    model = load_model(str(bert_folder), task="regression")
    assert model.classifier.out_features == 1
    assert model.config.problem_type == "regression"


def test_a_head_of_another_size_makes_way_for_a_new_one_and_it_is_said(tmp_path, caplog):
    trained = tiny_bert(BertForSequenceClassification, num_labels=5)
    folder = str(save_tiny(trained, tiny_tokenizer(), tmp_path))
    with caplog.at_level("INFO", logger="gelora"):
        same = load_model(folder, task="classification", num_labels=5)
        new = load_model(folder, task="classification", num_labels=3)
    assert torch.equal(same.classifier.weight, trained.classifier.weight)
    assert new.classifier.out_features == new.config.num_labels == 3
    assert torch.equal(new.bert.pooler.dense.weight, trained.bert.pooler.dense.weight)
    name = "gelora.hidden_states.loading"
    said = [record.getMessage() for record in caplog.records if record.name == name]
    expected = f"{folder} has a head of another size, so a new one of 3 outputs takes its place."
    assert said == [expected]


def test_a_backbone_of_other_shapes_is_refused(tmp_path):
    model = tiny_bert(BertForSequenceClassification)
    model.config.vocab_size = 99
    folder = str(save_tiny(model, tiny_tokenizer(), tmp_path))
    message = (
        r"1 of its weights have other shapes than .* bert\.embeddings\.word_embeddings\.weight"
    )
    with pytest.raises(ConfigError, match=message):
        load_model(folder, task="classification")


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16)],
)
def test_the_dtype_is_the_one_asked_for(bert_folder, dtype, expected):
    assert load_model(str(bert_folder), task=None, dtype=dtype).dtype == expected


def test_an_attention_implementation_is_passed_on(bert_folder):
    model = load_model(str(bert_folder), task=None, attn_implementation="eager")
    assert model.config._attn_implementation == "eager"


def test_a_causal_model_can_be_told_the_padding_token(tmp_path):
    tokenizer = tiny_tokenizer()
    save_tiny(tiny_gpt2(GPT2Model, pad_token_id=None), tokenizer, tmp_path)
    model = load_model(str(tmp_path), task="classification", num_labels=2)
    assert isinstance(model, GPT2ForSequenceClassification)
    assert model.config.pad_token_id is None
    set_pad_token(model, tokenizer)
    assert model.config.pad_token_id == tokenizer.pad_token_id
    batch = tokenizer(["w1 w2", "w3"], padding=True, return_tensors="pt")
    assert model(**batch).logits.shape == (2, 2)
    tokenizer.pad_token = "[SEP]"
    set_pad_token(model, tokenizer)
    assert model.config.pad_token_id == 0


def test_a_tokenizer_without_a_padding_token_pads_by_its_end_of_text(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path)).pad_token == "[PAD]"
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path / "a")
    assert load_tokenizer(str(tmp_path / "a")).pad_token == "[SEP]"
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path / "b")
    with pytest.raises(ConfigError, match=r"tokenizer of .*b has neither a padding nor an end-of"):
        load_tokenizer(str(tmp_path / "b"))


def test_a_dtype_of_another_name_is_refused(bert_folder):
    with pytest.raises(ConfigError, match="one of auto, float32, bfloat16, float16; got 'fp16'"):
        load_model(str(bert_folder), task=None, dtype="fp16")


def test_a_model_that_is_not_there_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        ConfigError, match="'no/such' is neither a local folder nor .*HF_HUB_OFFLINE"
    ):
        load_model("no/such", task=None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty holds no config.json, so it is not"):
        load_model(str(tmp_path / "empty"), task=None)
    with pytest.raises(ConfigError, match=r"empty holds no config.json, so it is not"):
        load_tokenizer(str(tmp_path / "empty"))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(ConfigError, match=r"'no/such' cannot be loaded: [^\n]*$"):
        load_tokenizer("no/such")


def test_each_problem_has_its_head(tmp_path):
    bert = str(save_tiny(tiny_bert(), tiny_tokenizer(), tmp_path / "bert"))
    with_three = load_model(bert, task="classification", num_labels=3)
    three = str(save_tiny(with_three, tiny_tokenizer(), tmp_path / "three"))
    assert load_model(three, task="question_answering").qa_outputs.out_features == 2
    llama = tiny_llama(LlamaForCausalLM)
    folder = str(save_tiny(llama, tiny_tokenizer(), tmp_path / "llama"))
    loaded = load_model(folder, task="instruction_tuning")
    assert torch.equal(loaded.lm_head.weight, llama.lm_head.weight)


def test_a_model_without_a_language_head_is_none_to_tune(tmp_path):
    folder = str(save_tiny(tiny_llama(), tiny_tokenizer(), tmp_path))
    with pytest.raises(ConfigError, match=r"no trained language model: it comes without lm_head"):
        load_model(folder, task="instruction_tuning")


def test_a_chat_template_comes_from_a_file_or_another_tokenizer(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(tmp_path / "plain")
    (tmp_path / "chat.jinja").write_text("{{ messages }}")
    named = {"chat_template_path": str(tmp_path / "chat.jinja")}
    loaded = load_tokenizer(str(tmp_path / "plain"), **named)
    assert loaded.chat_template == "{{ messages }}"
    loaded.save_pretrained(tmp_path / "chat")
    again = load_tokenizer(str(tmp_path / "plain"), chat_template_path=str(tmp_path / "chat"))
    assert again.chat_template == "{{ messages }}"
    with pytest.raises(ConfigError, match=r"tokenizer of .*plain, named as .*, has no template"):
        load_tokenizer(str(tmp_path / "chat"), chat_template_path=str(tmp_path / "plain"))
