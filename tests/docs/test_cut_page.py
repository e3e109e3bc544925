"""The Python of docs/cut.md runs in order on a tiny adapter."""

import re

from datasets import Dataset
from transformers import LlamaForCausalLM

from gelora.cutting.layers import live_factors
from tiny_adapters import save_tiny_adapter
from tiny_models import tiny_batch, tiny_llama
from tiny_tasks import quick_arguments
from written_pages import ROOT


def test_its_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = save_tiny_adapter(tmp_path / "some/adapter", tiny_llama(LlamaForCausalLM))
    batch = tiny_batch("llama")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    examples = {**batch, "labels": labels}
    names = {
        "peft_model": model,
        "batches": [examples],
        "model": tiny_llama(LlamaForCausalLM),
        "arguments": quick_arguments(tmp_path / "run", max_steps=4, eval_strategy="no"),
        "rows": Dataset.from_dict({name: values.tolist() for name, values in examples.items()}),
    }
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/cut.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 3
    exec("\n".join(blocks), names)
    assert names["record"].point.difference <= 0.01
    ranks = [len(part.a) for part in live_factors(names["model"], "default").values()]
    assert 0 < sum(ranks) / 21 <= 4  # 21 modules; those of fewer parameters may keep more
    assert (tmp_path / "some/smallest" / "cut.json").is_file()
    assert (tmp_path / "on-my-data" / "adapter_model.safetensors").is_file()
