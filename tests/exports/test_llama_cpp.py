"""The real llama.cpp: its converter on exported files, and its logits beside PEFT's.

GELORA_LLAMA_CPP names a folder of llama.cpp's source, where the converters are; the package
llama_cpp is llama-cpp-python's. Without them these tests are skipped: docs/serving.md says how.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf

from gelora.exports import export_uniform
from tiny_adapters import peft_updates, save_tiny_adapter
from tiny_models import tiny_bert, tiny_llama

SOURCE = os.environ.get("GELORA_LLAMA_CPP")
TOKENS = range(5, 25)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(SOURCE is None, reason="GELORA_LLAMA_CPP names no folder of llama.cpp"),
]
needs_library = pytest.mark.skipif(
    importlib.util.find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed"
)
# Tokens come as numbers, so the tiny model needs no tokenizer that llama.cpp knows.
CONVERT_BASE = """
import runpy, sys
source, *sys.argv[1:] = sys.argv[1:]
sys.path.insert(0, source)
from conversion.llama import LlamaModel
LlamaModel.set_vocab = LlamaModel._set_vocab_none
sys.argv[0] = f"{source}/convert_hf_to_gguf.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def call(*arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def convert(folder, base):
    out = folder.with_suffix(".gguf")
    script = Path(SOURCE) / "convert_lora_to_gguf.py"
    done = call(script, folder, "--base", base, "--outtype", "f32", "--outfile", out)
    return out, done


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Convert a tiny Llama, its adapter of ranks 14, 3 and 7, and the same of one rank."""
    folder = tmp_path_factory.mktemp("gguf")
    model = tiny_llama(hf.LlamaForCausalLM)
    model.save_pretrained(folder / "base")
    base = folder / "base.gguf"
    options = ["--outtype", "f32", "--outfile", base]
    done = call("-c", CONVERT_BASE, SOURCE, folder / "base", *options)
    assert done.returncode == 0, done.stderr
    adapted = save_tiny_adapter(folder / "native", model)
    export_uniform(folder / "native", folder / "uniform")
    for name in ("native", "uniform"):
        done = convert(folder / name, folder / "base")[1]
        assert done.returncode == 0, done.stderr
    return folder, adapted


def updates_in(path):
    """Return what llama.cpp adds to each weight, by its name: alpha over the tensor's rank."""
    gguf = pytest.importorskip("gguf")
    reader = gguf.GGUFReader(path)
    tensors = {one.name: np.array(one.data) for one in reader.tensors}
    alpha = float(reader.fields["adapter.lora.alpha"].parts[-1][0])
    names = [name.removesuffix(".lora_a") for name in tensors if name.endswith(".lora_a")]
    return {
        name: alpha / len(a) * b @ a
        for name, a, b in ((n, tensors[f"{n}.lora_a"], tensors[f"{n}.lora_b"]) for n in names)
    }


def test_the_converted_adapter_adds_what_peft_adds(files):
    folder, adapted = files
    native, uniform = (updates_in(folder / f"{name}.gguf") for name in ("native", "uniform"))
    worst = 0.0
    for name, update in peft_updates(adapted).items():
        _, _, block, _, kind = name.split(".")
        # Rows of queries and keys are in another order there, which changes no norm.
        there = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output"}[kind[0]]
        found = {
            which: one[f"blk.{block}.{there}.weight"]
            for which, one in (("native", native), ("uniform", uniform))
        }
        norm = update.norm().item()
        assert np.linalg.norm(found["uniform"]) == pytest.approx(norm, rel=1e-5)
        if kind[0] in "vo":
            np.testing.assert_allclose(found["uniform"], update.numpy(), atol=1e-6 * norm)
        worst = max(worst, abs(np.linalg.norm(found["native"]) / norm - 1))
    assert worst > 3  # rank 3 scaled by alpha/3 where alpha/14 was meant


@needs_library
def test_logits_are_those_of_peft(files):
    folder, adapted = files
    ids = torch.tensor([list(TOKENS)])
    with torch.no_grad():
        expected = adapted(input_ids=ids).logits[0].numpy()
        with adapted.disable_adapter():
            without = adapted(input_ids=ids).logits[0].numpy()
    errors = {}
    for name in ("none", "native", "uniform"):
        adapter = "none" if name == "none" else folder / f"{name}.gguf"
        script = Path(__file__).parents[1] / "llama_cpp_logits.py"
        done = call(script, folder / "base.gguf", adapter, folder / f"{name}.npy", *TOKENS)
        assert done.returncode == 0, done.stderr
        found = np.load(folder / f"{name}.npy")
        errors[name] = np.abs(found - (without if name == "none" else expected)).max()
    assert errors["none"] < 1e-4
    assert errors["uniform"] < 1e-4
    assert errors["native"] > 1  # the adapter itself changes them by 6.2 at most


def test_a_head_is_refused_as_the_export_warns(tmp_path):
    model = tiny_bert(hf.BertForSequenceClassification)
    model.save_pretrained(tmp_path / "base")
    save_tiny_adapter(tmp_path / "native", model, task_type="SEQ_CLS")
    done = convert(tmp_path / "native", tmp_path / "base")[1]
    assert done.returncode == 1
    assert "classifier.bias': Not a lora_A or lora_B tensor" in done.stderr
