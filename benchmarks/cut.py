"""What cutting a large adapter costs: seconds, and memory beside the adapter's own size.

    OMP_NUM_THREADS=2 python benchmarks/cut.py > cut.json        # half a minute

The adapter has the shape of one for an 8B Llama: rank 64 on all 224 Linear modules of 32 blocks,
with random weights. It is made once per dtype and cut to a budget by its weights, in a process of
its own, from file to file. Memory is the peak of the resident set above where the process stood
before it began. Pages of the mapped input file count as well.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors.torch import save_file

import gelora
from gelora.memory import peak_memory_bytes

BLOCKS, WIDTH, HEADS_OF_KEYS, MLP = 32, 4096, 1024, 14336
MODULES = {
    "self_attn.q_proj": (WIDTH, WIDTH),
    "self_attn.k_proj": (WIDTH, HEADS_OF_KEYS),
    "self_attn.v_proj": (WIDTH, HEADS_OF_KEYS),
    "self_attn.o_proj": (WIDTH, WIDTH),
    "mlp.gate_proj": (WIDTH, MLP),
    "mlp.up_proj": (WIDTH, MLP),
    "mlp.down_proj": (MLP, WIDTH),
}


def make_adapter(folder: Path, rank: int, dtype: torch.dtype) -> None:
    """Save random factors whose directions fall off in size."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.logspace(0, -3, rank)
    tensors = {}
    for block in range(BLOCKS):
        for module, (inputs, outputs) in MODULES.items():
            name = f"base_model.model.model.layers.{block}.{module}"
            a = torch.randn(rank, inputs, generator=generator)
            b = torch.randn(outputs, rank, generator=generator) * sizes
            tensors[f"{name}.lora_A.weight"] = a.to(dtype)
            tensors[f"{name}.lora_B.weight"] = b.to(dtype)
    targets = sorted(module.rpartition(".")[2] for module in MODULES)
    LoraConfig(r=rank, target_modules=targets, task_type="CAUSAL_LM").save_pretrained(str(folder))
    save_file(tensors, folder / "adapter_model.safetensors")


def resident_bytes() -> int:
    """Return the memory that this process holds now; Linux alone tells."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def measure(folder: Path, budget: str) -> dict[str, float]:
    """Cut in this process, and return what it took."""
    _ = gelora.cut  # imports torch and PEFT
    size = (folder / "adapter_model.safetensors").stat().st_size
    with tempfile.TemporaryDirectory(dir=folder.parent) as parent:
        before = resident_bytes()
        began = time.perf_counter()
        record = gelora.cut(folder, Path(parent) / "cut", budget=budget)
        seconds = time.perf_counter() - began
        after = peak_memory_bytes(torch.device("cpu")) or 0
    return {
        "seconds": seconds,
        "memory_mb": (after - before) / 1e6,
        "memory_of_adapter": (after - before) / size,
        "adapter_mb": size / 1e6,
        "parameters_before": record.parameters_before,
        "parameters": record.parameters,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--budget", default="r=16")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", type=Path, help="cut this folder, in this process")
    flags = parser.parse_args()
    if flags.one is not None:
        print(json.dumps(measure(flags.one, flags.budget)))
        return
    results = []
    for dtype in (torch.float32, torch.bfloat16):
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / "adapter"
            folder.mkdir()
            make_adapter(folder, flags.rank, dtype)
            command = [sys.executable, __file__, "--one", str(folder), "--budget", flags.budget]
            runs = [
                json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                for _ in range(flags.repeats)
            ]
        median = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        results.append({"dtype": str(dtype).removeprefix("torch."), **median})
    print(json.dumps({"rank": flags.rank, "budget": flags.budget, "results": results}, indent=2))


if __name__ == "__main__":
    main()
