"""The Python of docs/cut.md runs in order on a tiny adapter."""

import re

from transformers import LlamaForCausalLM

from tiny_adapters import save_tiny_adapter
from tiny_models import tiny_batch, tiny_llama
from written_pages import ROOT


def test_its_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = save_tiny_adapter(tmp_path / "some/adapter", tiny_llama(LlamaForCausalLM))
    batch = tiny_batch("llama")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    names = {"peft_model": model, "batches": [{**batch, "labels": labels}]}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/cut.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 2
    exec("\n".join(blocks), names)
    assert names["record"].point.difference <= 0.01
    assert (tmp_path / "some/smallest" / "cut.json").is_file()
    assert (tmp_path / "on-my-data" / "adapter_model.safetensors").is_file()
