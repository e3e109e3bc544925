"""What is trained is float32, whatever the model's precision."""

from types import SimpleNamespace

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import BertForSequenceClassification, DebertaV2ForSequenceClassification

from example_profiles import profile_of
from gelora.errors import ConfigError
from gelora.ranks import plan_ranks
from gelora.tasks.evaluate import evaluate
from gelora.tasks.train import train
from tiny_models import tiny_bert, tiny_deberta, tiny_tokenizer
from tiny_tasks import quick_arguments, tiny_task


def bert(dtype):
    return tiny_bert(BertForSequenceClassification).to(dtype)


def trained(model, folder, **overrides):
    arguments = quick_arguments(folder, **overrides)
    plan = plan_ranks(profile_of(model))
    return train(model, tiny_tokenizer(), tiny_task(), plan, arguments=arguments).model


def test_a_half_precision_model_learns_by_steps_smaller_than_its_last_digit(tmp_path):
    model = bert(torch.bfloat16)
    before = model.classifier.weight.float()
    wrapped = trained(model, tmp_path, bf16=True, learning_rate=1e-5, eval_strategy="epoch")
    after = load_file(tmp_path / "adapter/adapter_model.safetensors")
    head = after["base_model.model.classifier.weight"]
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}
    assert (head != before).all()
    assert (head - before).abs().max() < 1e-4
    frozen = {p.dtype for p in wrapped.parameters() if not p.requires_grad}
    assert frozen == {torch.bfloat16}  # the base model's memory is not doubled
    assert evaluate(wrapped, tiny_tokenizer(), tiny_task())["accuracy"].num_samples == 40


@pytest.mark.parametrize(
    ("dtype", "name", "flag"),
    [(torch.bfloat16, "bfloat16", "bf16"), (torch.float16, "float16", "fp16")],
)
def test_without_autocast_half_precision_says_what_to_do(dtype, name, flag, tmp_path):
    message = f"in {name}, .*: load it with --dtype float32, or add --{flag} true to train"
    with pytest.raises(ConfigError, match=message):
        trained(bert(dtype), tmp_path)
    assert not (tmp_path / "adapter").exists()


def test_a_quantised_model_is_trained_without_autocast_too(tmp_path):
    model = tiny_deberta(DebertaV2ForSequenceClassification).to(torch.bfloat16)
    model.is_quantized = True  # as transformers marks it; what is quantised itself is no float
    model.hf_quantizer = SimpleNamespace(is_trainable=True)
    wrapped = trained(model, tmp_path)
    assert {p.dtype for p in wrapped.parameters() if p.requires_grad} == {torch.float32}


def test_what_was_trained_in_mixed_precision_computes_in_float32_afterwards(tmp_path):
    wrapped = trained(bert(torch.float32), tmp_path, bf16=True)
    inputs = {"input_ids": torch.tensor([[1, 5, 6, 2]])}
    logits = wrapped.eval()(**inputs).logits
    plain = bert(torch.float32)
    again = PeftModel.from_pretrained(plain, tmp_path / "adapter").eval()
    assert torch.equal(logits, again(**inputs).logits)
    with wrapped.disable_adapter():
        plain_logits = wrapped(**inputs).logits
    assert torch.isfinite(plain_logits).all()
    assert not torch.equal(plain_logits, logits)
