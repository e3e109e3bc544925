"""The merged model says what the adapted one said, and loads without PEFT."""

import pytest
import torch
import transformers as hf
from torch.testing import assert_close

from gelora.errors import ModelMismatchError, OutputExistsError
from gelora.exports import export_merged
from tiny_adapters import logits, save_tiny_adapter, tiny_plan
from tiny_models import tiny_bert, tiny_deberta, tiny_gpt2, tiny_llama, tiny_tokenizer

HEAD = {"task_type": "SEQ_CLS"}
MODELS = {
    "llama": (tiny_llama, hf.LlamaForCausalLM, {}),
    "gpt2": (tiny_gpt2, hf.GPT2LMHeadModel, {}),
    "DoRA": (tiny_llama, hf.LlamaForCausalLM, {"use_dora": True}),
    "PiSSA": (tiny_llama, hf.LlamaForCausalLM, {"init_lora_weights": "pissa"}),
    "bert": (tiny_bert, hf.BertForSequenceClassification, HEAD),
    "deberta": (
        tiny_deberta,
        hf.DebertaV2ForSequenceClassification,
        {**HEAD, "modules_to_save": ["classifier", "pooler"]},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_function_is_the_same(name, tmp_path):
    make, model_class, lora = MODELS[name]
    adapted = save_tiny_adapter(tmp_path / "adapter", make(model_class), **lora)
    out = merge(tmp_path, make(model_class))
    merged = model_class.from_pretrained(out).eval()
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]
    assert_close(logits(merged), logits(adapted), rtol=0, atol=1e-4)
    assert (logits(make(model_class)) - logits(merged)).abs().max() > 0.1
    assert hf.AutoTokenizer.from_pretrained(out)("w1 w2").input_ids == [1, 5, 6, 2]


def test_half_precision_stays(tmp_path):
    save_tiny_adapter(tmp_path / "adapter", tiny_llama(hf.LlamaForCausalLM))
    out = merge(tmp_path, tiny_llama(hf.LlamaForCausalLM).to(torch.bfloat16))
    assert hf.AutoConfig.from_pretrained(out).dtype == torch.bfloat16


def merge(tmp_path, model):
    return export_merged(tmp_path / "adapter", tmp_path / "merged", model, tiny_tokenizer())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (tiny_bert(), "does not fit this bert model: name the .* PEFT says: .* not found"),
        (tiny_llama(hidden_size=16), "does not fit this llama model: name the model it was"),
        (
            tiny_llama(hf.LlamaForCausalLM, num_hidden_layers=1),
            "does not fit this llama model: .* has no module model.layers.1.self_attn.k_proj",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:The following .*_pattern keys did not match")  # PEFT's
def test_another_model(model, message, tmp_path):
    save_tiny_adapter(tmp_path / "adapter", tiny_llama(hf.LlamaForCausalLM))
    with pytest.raises(ModelMismatchError, match=message):
        merge(tmp_path, model)
    assert not (tmp_path / "merged").exists()


def test_other_weights_than_the_plans(tmp_path):
    model = tiny_llama(hf.LlamaForCausalLM)
    tiny_plan(model).save_pretrained(tmp_path / "adapter")
    save_tiny_adapter(tmp_path / "adapter", model)
    other = tiny_llama(hf.LlamaForCausalLM, initializer_range=0.1)
    with pytest.raises(ModelMismatchError, match="llama model of 3 blocks with other weights"):
        merge(tmp_path, other)


def test_nothing_is_overwritten_unasked(tmp_path):
    (tmp_path / "config.json").touch()
    with pytest.raises(OutputExistsError, match="is not empty"):
        export_merged(tmp_path / "adapter", tmp_path, tiny_llama(), tiny_tokenizer())
