"""What the spectrum of a block's Jacobians costs, beside forming the whole matrix.

    python benchmarks/jacobian.py --data train.jsonl --columns sentence1 sentence2

On one block of the packaged MiniLM and the first text drawn: CPU seconds and products (with J and
with its transpose) of the range finder at several `max_rank`, and of one product with the transpose
for every row, which forms J. Beside them the share by which the worst of the ten largest singular
values is missed. JSON goes to stdout. OMP_NUM_THREADS=1 makes the seconds those of one core.
"""

import argparse
import gzip
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from gelora.hidden_states.architectures import find_architecture, find_backbone
from gelora.hidden_states.batches import encode_texts, padded_batch
from gelora.hidden_states.loading import EMBEDDED_MODEL, load_model, load_tokenizer
from gelora.lab.theory.block_maps import block_calls, block_maps
from gelora.lab.theory.range_finder import LinearMap, leading_spectrum
from gelora.lab.theory.spectra import DEFAULT_TOLERANCE
from gelora.ranks.targets import select_modules

MAX_RANKS = (32, 64, 128, 256, 384)
NUM_LEADING = 10


def maps_of(path: Path, columns: list[str], block: int) -> tuple[dict[Any, LinearMap], int]:
    """Return the maps of one block at one text, and the text's tokens."""
    model, tokenizer = load_model(EMBEDDED_MODEL, task=None), load_tokenizer(EMBEDDED_MODEL)
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        rows = [json.loads(line) for line in lines]
    texts = [tuple(str(row[name]) for name in columns) for row in rows]
    encoded = encode_texts(
        tokenizer,
        find_backbone(model),
        [(text[0], text[1]) for text in texts] if len(columns) == 2 else [t[0] for t in texts],
        num_samples=1,
        max_length=128,
        seed=0,
    )
    chosen = select_modules(find_architecture(model).modules, "attention")
    call = block_calls(model, padded_batch(encoded, tokenizer))[block]
    names = [module.name for module in chosen]
    return block_maps(call, modules=names, pooling="mean"), len(encoded[0]["input_ids"])


def found(linear_map: LinearMap, max_rank: int, true: torch.Tensor) -> dict[str, Any]:
    products = 0

    def counted(directions: torch.Tensor) -> torch.Tensor:
        nonlocal products
        products += 2 * len(directions)
        return linear_map.forward(directions)

    began = time.process_time()
    spectrum = leading_spectrum(
        replace(linear_map, forward=counted),
        max_rank=max_rank,
        tolerance=DEFAULT_TOLERANCE,
        generator=torch.Generator().manual_seed(0),
    )
    seconds = time.process_time() - began
    values = torch.tensor(spectrum.singular_values, dtype=torch.float64)
    error = (1 - values[:NUM_LEADING] / true[:NUM_LEADING]).max()
    return {
        "max_rank": max_rank,
        "seconds": seconds,
        "products": products,
        "rank": str(spectrum.numerical_rank()),
        "residual_over_largest": spectrum.residual / spectrum.largest,
        "largest_error_of_leading": float(error),
    }


def formed(linear_map: LinearMap) -> tuple[dict[str, Any], torch.Tensor]:
    began = time.process_time()
    identity = torch.eye(linear_map.num_rows, dtype=torch.float64)
    matrix = torch.cat([linear_map.adjoint(rows) for rows in identity.split(16)])
    values = torch.linalg.eigvalsh(matrix @ matrix.T).flip(0).clamp_min(0).sqrt()
    costs = {
        "seconds": time.process_time() - began,
        "products": len(identity),
        "megabytes": matrix.numel() * 8 / 1e6,
    }
    return costs, values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--columns", nargs="+", required=True)
    parser.add_argument("--block", type=int, default=2)
    arguments = parser.parse_args()
    maps, num_tokens = maps_of(arguments.data, arguments.columns, arguments.block)
    results: dict[str, Any] = {"tokens": num_tokens, "threads": torch.get_num_threads()}
    for by, linear_map in maps.items():
        linear_map.outer(torch.eye(linear_map.num_rows, dtype=torch.float64)[:1])  # warm up
        whole, true = formed(linear_map)
        runs = [found(linear_map, max_rank, true) for max_rank in MAX_RANKS]
        results[by] = {"columns": linear_map.num_columns, "whole": whole, "range_finder": runs}
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
