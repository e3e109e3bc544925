"""How often the ranks of an early stop are those of all texts, and how many texts it takes.

    python benchmarks/precision.py                                    # chains of manifolds
    python benchmarks/precision.py --texts train.jsonl --columns sentence1 sentence2

States are given once; every seed draws them in another order and measures as
`measure_dimensions(precision=p)` would. Beside the early stops stands another draw of as many
texts, where there are enough: no stop can agree better than two full measurements do. What was
done is kept in the JSON file after each seed, and a second call goes on from there.
"""

import argparse
import gzip
import json
import random
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gelora.artifacts import write_text
from gelora.dimension.profile import DimensionProfile, StopReason
from gelora.hidden_states.activations import hidden_states
from gelora.hidden_states.architectures import find_backbone
from gelora.hidden_states.batches import chunks_by_length, encode_texts, padded_batch
from gelora.hidden_states.growth import growing_sizes, reason_to_stop
from gelora.hidden_states.loading import EMBEDDED_MODEL, load_model, load_tokenizer
from gelora.hidden_states.measure import Estimation
from gelora.hidden_states.store import HiddenStatesRecord
from gelora.ranks.rules import paper_rule

PRECISIONS = (0.5, 0.25, 0.1)
NUM_BLOCKS = 6
Matrices = Sequence[np.ndarray]


def chain(seed: int, num_samples: int, *, width: int = 64) -> Matrices:
    """Draw a Gaussian manifold that gains up to 3 dimensions, or loses up to 2, in every block.

    Each layer is a smooth, invertible map of the first so many of the same latent coordinates.
    """
    rng = np.random.default_rng(seed)
    dimensions = np.maximum(np.cumsum([rng.integers(4, 10), *rng.integers(-2, 4, NUM_BLOCKS)]), 2)
    latent = rng.normal(size=(num_samples, dimensions.max()))
    embedding = rng.normal(size=(dimensions.max(), width)) / np.sqrt(width)
    weights = rng.normal(size=(width, width)) / np.sqrt(width)
    flat = [latent[:, :dimension] @ embedding[:dimension] for dimension in dimensions]
    return [(layer + 0.4 * np.tanh(layer @ weights)).astype(np.float32) for layer in flat]


def text_states(path: Path, columns: Sequence[str], *, num_texts: int) -> Matrices:
    """Return the states of the packaged MiniLM for distinct texts of a JSON lines file."""
    model, tokenizer = load_model(EMBEDDED_MODEL, task=None), load_tokenizer(EMBEDDED_MODEL)
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        rows = [json.loads(line) for line in lines]
    texts = [tuple(str(row[name]) for name in columns) for row in rows]
    texts = [text for text in dict.fromkeys(texts) if all(map(str.strip, text))]
    random.Random(0).shuffle(texts)
    encoded = encode_texts(
        tokenizer,
        find_backbone(model),
        [(text[0], text[1]) for text in texts] if len(columns) == 2 else [t[0] for t in texts],
        num_samples=num_texts,
        max_length=128,
        seed=0,
    )
    distinct = list({tuple(row["input_ids"]): row for row in encoded}.values())
    chunks = chunks_by_length(distinct, 8192)
    batches = (padded_batch([distinct[i] for i in chunk], tokenizer) for chunk in chunks)
    return [layer.numpy() for layer in hidden_states(model, batches)]


def profiles_of(layers: Matrices, sizes: Sequence[int]) -> list[DimensionProfile]:
    """Estimate at every size, as measuring in growing parts does."""
    blocks = tuple(f"block {i}" for i in range(1, len(layers)))
    estimation = Estimation("twonn_linfit", all_estimators=False, discard_fraction=0.1)
    profiles = []
    for size in sizes:
        record = HiddenStatesRecord(
            layers=("embeddings", *blocks),
            blocks=blocks,
            modules=(),
            fingerprint={},
            granularity="block",
            states="raw",
            pooling="mean",
            seed=0,
            precision=None,
            stopped_by="num_samples",
            num_texts=size,
            num_copies=0,
            num_rows=size,
            forward_tokens=0,
        )
        found = estimation.estimate([layer[:size] for layer in layers], record)
        profiles.append(estimation.profile(record, found))
    return profiles


def one_seed(layers: Matrices, num_samples: int) -> dict[str, Any]:
    """Return the ranks of all samples, of another draw, and of every early stop."""
    num_samples = min(num_samples, len(layers[0]))
    profiles = profiles_of(layers, growing_sizes(num_samples))
    outcome: dict[str, Any] = {"num_samples": num_samples, "full": paper_rule(profiles[-1])}
    rest = [layer[num_samples : 2 * num_samples] for layer in layers]
    if len(rest[0]) >= 0.95 * num_samples:  # copies leave a few less than twice as many
        outcome["another draw"] = paper_rule(profiles_of(rest, [len(rest[0])])[0])
    for precision in PRECISIONS:
        profile, reason = early_stop(profiles, precision)
        outcome[str(precision)] = {
            "num_texts": profile.num_texts,
            "stopped_by": reason,
            "ranks": paper_rule(profile),
        }
    return outcome


def early_stop(
    profiles: Sequence[DimensionProfile], precision: float
) -> tuple[DimensionProfile, StopReason]:
    """Return the profile at which measuring stops, and why."""
    for count, profile in enumerate(profiles[:-1], start=1):
        reason = reason_to_stop(profiles[:count], precision=precision, ranks=paper_rule)
        if reason is not None:
            return profile, reason
    return profiles[-1], "num_samples"


def agreement(seeds: Sequence[dict[str, Any]], others: Sequence[Sequence[int]]) -> str:
    """Return how often ranks are those of all samples: in a block, and in all blocks at once."""
    same = np.array(
        [np.equal(seed["full"], ranks) for seed, ranks in zip(seeds, others, strict=True)]
    )
    return f"{same.mean():.2f} of blocks, {same.all(axis=1).mean():.2f} of models"


def table(name: str, seeds: Sequence[dict[str, Any]]) -> str:
    """Return a line for every precision, beneath the one of another draw."""
    above = np.mean([np.greater(seed["full"], 1).mean() for seed in seeds])
    num_samples = seeds[0]["num_samples"]
    lines = [f"{name}: {len(seeds)} seeds of {num_samples} texts, {above:.2f} of ranks above 1"]
    if "another draw" in seeds[0]:
        same = agreement(seeds, [seed["another draw"] for seed in seeds])
        lines.append(f"  another draw    {same}")
    for precision in map(str, PRECISIONS):
        stops = [seed[precision] for seed in seeds]
        same = agreement(seeds, [stop["ranks"] for stop in stops])
        texts = np.mean([stop["num_texts"] for stop in stops])
        reasons = dict(Counter(stop["stopped_by"] for stop in stops))
        lines.append(f"  precision {precision:<5} {same}, {texts:.0f} texts, {reasons}")
        early = [seed for seed in seeds if seed[precision]["num_texts"] < num_samples]
        if early:  # the others agree by doing all
            same = agreement(early, [seed[precision]["ranks"] for seed in early])
            lines.append(f"    early alone   {same}")
    return "\n".join(lines)


def main() -> None:
    """Run the seeds that are missing, and print the table."""
    parser = argparse.ArgumentParser(description="Early stops and full ranks.", epilog=__doc__)
    parser.add_argument("--texts", type=Path, help="JSON lines, .gz or not; chains without")
    parser.add_argument("--columns", nargs="+", default=["text"], help="one of texts, or two")
    parser.add_argument("--num_samples", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path("precision.json"))
    flags = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)

    name = "chains" if flags.texts is None else f"{flags.texts.parent.name}/{flags.texts.name}"
    results = json.loads(flags.output.read_text()) if flags.output.exists() else {}
    seeds = results.setdefault(name, [])
    states = None
    if flags.texts is not None and len(seeds) < flags.seeds:
        states = text_states(flags.texts, flags.columns, num_texts=2 * flags.num_samples)
    for seed in range(len(seeds), flags.seeds):
        if states is None:
            layers = chain(seed, 2 * flags.num_samples)
        else:
            order = np.random.default_rng(seed).permutation(len(states[0]))
            layers = [layer[order] for layer in states]
        seeds.append(one_seed(layers, flags.num_samples))
        write_text(flags.output, json.dumps(results, indent=1) + "\n")

    print(table(name, seeds))


if __name__ == "__main__":
    main()
