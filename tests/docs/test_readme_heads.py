"""The README's Python trains and saves the head, whatever head the model has."""

import re
from pathlib import Path

import pytest
import torch
import transformers as hf
from peft import PeftModel

from tiny_models import (
    save_tiny,
    tiny_batch,
    tiny_bert,
    tiny_deberta,
    tiny_llama,
    tiny_t5,
    tiny_texts,
    tiny_tokenizer,
)

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCK = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)[0]

# The class to load, the checkpoint, the modules that are trained whole beside the adapter.
HEADS = {
    "bert labels": ("SequenceClassification", tiny_bert, ["classifier"]),
    "deberta labels": ("SequenceClassification", tiny_deberta, ["classifier", "pooler"]),
    "bert tokens": ("TokenClassification", tiny_bert, ["classifier"]),
    "bert questions": ("QuestionAnswering", tiny_bert, ["qa_outputs"]),
    "t5 questions": ("QuestionAnswering", tiny_t5, ["qa_outputs"]),
    "bert choices": ("MultipleChoice", tiny_bert, ["classifier"]),
    "bert masks": ("MaskedLM", lambda: tiny_bert(hf.BertForMaskedLM), []),
    "llama": ("CausalLM", lambda: tiny_llama(hf.LlamaForCausalLM), []),
    "t5": ("Seq2SeqLM", lambda: tiny_t5(hf.T5ForConditionalGeneration), []),
}


def inputs_and_labels(auto_class):
    inputs = tiny_batch("llama")
    tokens = inputs["input_ids"]
    rows = torch.arange(len(tokens))
    if auto_class == "MultipleChoice":
        inputs = {name: torch.stack([values, values.flip(0)], 1) for name, values in inputs.items()}
    labels = {
        "SequenceClassification": {"labels": rows % 2},
        "MultipleChoice": {"labels": rows % 2},
        "TokenClassification": {"labels": tokens % 2},
        "QuestionAnswering": {"start_positions": rows % 3, "end_positions": rows % 2 + 1},
    }
    return inputs, labels.get(auto_class, {"labels": tokens})


def answers(model, inputs):
    with torch.no_grad():
        output = model.eval()(**inputs)
    return output.start_logits if "start_logits" in output else output.logits


@pytest.mark.filterwarnings("ignore::gelora.errors.GeloraWarning")  # few texts, at random
@pytest.mark.parametrize("head", HEADS)
def test_python_block_trains_the_head_and_saves_it(head, tmp_path, monkeypatch):
    auto_class, checkpoint, trained = HEADS[head]
    folder = str(save_tiny(checkpoint(), tiny_tokenizer(), tmp_path / "base"))
    manual = {"page": "\n\n".join(f"{text}." for text in tiny_texts(120))}
    torch.manual_seed(0)  # of the new head
    monkeypatch.setattr("pydoc_data.topics.topics", manual)
    names = {}
    block = BLOCK.replace("SequenceClassification", auto_class)
    exec(block.replace("get_model_path()", repr(folder)), names)
    model = names["model"]
    inputs, labels = inputs_and_labels(auto_class)
    if auto_class == "Seq2SeqLM":
        inputs["decoder_input_ids"] = inputs["input_ids"]

    whole = [n for n, p in model.named_parameters() if p.requires_grad and ".lora_" not in n]
    assert sorted({name.split(".")[2] for name in whole}) == trained
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    losses = []
    for _ in range(20):
        loss = model.eval()(**inputs, **labels).loss  # without dropout
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]

    model.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    torch.manual_seed(9)  # of another new head
    base = getattr(hf, f"AutoModelFor{auto_class}").from_pretrained(folder)
    loaded = PeftModel.from_pretrained(base, tmp_path / "adapter")
    torch.testing.assert_close(answers(loaded, inputs), answers(model, inputs), rtol=0, atol=0)
