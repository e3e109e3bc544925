"""What the Fisher information of every block costs, beside keeping every sample's gradients.

    python benchmarks/fisher.py > fisher.json        # two minutes, on one core

A classifier of BERT's shape with random weights reads random texts of one length; the weights are
those of attention. `rows` is the usual way: backpropagate each sample alone, keep its gradients as
rows, and take the eigenvalues of their products, block by block; both find the same. `whole` is the
size of the matrices of parameters x parameters, which neither forms. Each measurement has a process
of its own; the clock is its CPU time on one thread, and the memory what its peak is above where it
began.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

from gelora.hidden_states.architectures import find_architecture, find_backbone
from gelora.lab.theory.fisher import block_fishers
from gelora.likelihood import log_likelihood
from gelora.memory import peak_memory_bytes
from gelora.ranks.targets import select_modules


@dataclass(frozen=True)
class Shape:
    """What the cost depends on."""

    samples: int = 64
    tokens: int = 64
    width: int = 384
    blocks: int = 6


SHAPES = (Shape(), Shape(samples=128), Shape(tokens=128), Shape(width=768))
METHODS = ("gelora", "rows")


def classifier(shape: Shape) -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=shape.width,
        num_hidden_layers=shape.blocks,
        num_attention_heads=shape.width // 64,
        intermediate_size=4 * shape.width,
    )
    return BertForSequenceClassification(config).eval()


def random_samples(shape: Shape) -> list[Mapping[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(999, 30_000, (shape.samples, 1, shape.tokens), generator=generator)
    labels = torch.randint(2, (shape.samples, 1), generator=generator)
    return [
        {"input_ids": each, "labels": label} for each, label in zip(tokens, labels, strict=True)
    ]


def largest_by_rows(
    model: BertForSequenceClassification, samples: list[Mapping[str, Tensor]]
) -> list[float]:
    """Return the largest eigenvalue of every block's Fisher information, from kept gradients."""
    architecture, backbone = find_architecture(model), find_backbone(model)
    modules = select_modules(architecture.modules, "attention")
    weights: Any = [backbone.get_submodule(module.name).weight for module in modules]
    rows = [torch.autograd.grad(log_likelihood(model, sample), weights) for sample in samples]
    largest: list[float] = []
    for block in range(len(architecture.blocks)):
        own = [i for i, module in enumerate(modules) if module.block == block]
        kept = torch.stack([torch.cat([row[i].flatten() for i in own]) for row in rows])
        largest.append(float(torch.linalg.eigvalsh(kept @ kept.T / len(samples))[-1]))
    return largest


def measure(shape: Shape, method: str) -> dict[str, Any]:
    """Time one method, in a process that does nothing else."""
    model, samples = classifier(shape), random_samples(shape)
    with torch.no_grad():
        model(samples[0]["input_ids"])  # what the first pass alone costs
    before = peak_memory_bytes(torch.device("cpu")) or 0
    begin = time.process_time()
    if method == "gelora":
        found = block_fishers(model, samples, of="weights", stage="before")
        largest = [one.spectrum.largest for one in found]
    else:
        largest = largest_by_rows(model, samples)
    return {
        "seconds": time.process_time() - begin,
        "bytes": (peak_memory_bytes(torch.device("cpu")) or 0) - before,
        "largest_eigenvalues": largest,
    }


def main() -> None:
    """Measure all shapes by both methods, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small shape, to try the script")
    parser.add_argument("--one", nargs=2, help="a shape as JSON, and a method")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    if flags.one:
        print(json.dumps(measure(Shape(**json.loads(flags.one[0])), flags.one[1])))
        return
    results: list[dict[str, Any]] = []
    for shape in (Shape(samples=4, blocks=2),) if flags.quick else SHAPES:
        found: dict[str, Any] = {}
        for method in METHODS:
            command = [sys.executable, __file__, "--one", json.dumps(asdict(shape)), method]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[method] = json.loads(done.stdout)
        parameters = 4 * shape.width**2
        whole = 8 * parameters**2 * shape.blocks
        results.append({**asdict(shape), **found, "whole": {"bytes": whole}})
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
