"""What choosing ranks costs by the formula of docs/comparison.md, and in measured seconds.

    python benchmarks/rank_selection.py > rank_selection.json        # ten minutes, on one core
    python benchmarks/rank_selection.py --read rank_selection.json --table

Encoders of BERT's shape with random weights read texts of one length; one of samples, tokens, width
and blocks is changed at a time. The clock is the process's CPU time on one thread, so that other
work on the machine disturbs little. `forward` is the time inside the backbone with its hooks,
`rest` all else: tokenising, and above all the search for neighbours. A training step of LoRA of
rank 1 on the same texts stands beside them.
"""

import argparse
import json
import time
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertModel, PreTrainedTokenizerBase

from gelora.errors import GeloraWarning
from gelora.hidden_states import measure_dimensions
from gelora.hidden_states.architectures import find_architecture
from gelora.hidden_states.loading import EMBEDDED_MODEL, load_tokenizer

TRAINING_BATCH, TRAINING_STEPS = 32, 4


@dataclass(frozen=True)
class Shape:
    """What the cost depends on."""

    samples: int = 1000
    tokens: int = 32
    width: int = 384
    blocks: int = 6


SHAPES = (
    Shape(),
    Shape(samples=2000),
    Shape(samples=4000),
    Shape(tokens=64),
    Shape(tokens=128),
    Shape(width=768),
    Shape(blocks=12),
    Shape(samples=500, tokens=128, width=768, blocks=12),
)


def formula(shape: Shape) -> dict[str, float]:
    """Return the floating point operations of the two parts: a multiplication and an addition each.

    A block of an encoder has 12 width² weights: 4 in attention, 8 in the MLP. Each weight is used
    once for every token, and attention compares every token of a text with every other, twice. The
    search takes half of all pairs at each layer; its parts cost half of that, a quarter and so on.
    """
    tokens = shape.samples * shape.tokens
    weights = 12 * shape.width**2 * shape.blocks
    attention = 4 * shape.tokens * shape.width * shape.blocks * tokens
    search = shape.samples**2 * shape.width * (shape.blocks + 1)
    halvings = max(0, int(np.log2(shape.samples / 200)))
    return {
        "forward": 2 * weights * tokens + attention,
        "search": search * sum(0.5**k for k in range(halvings + 1)),
    }


def random_texts(tokenizer: PreTrainedTokenizerBase, shape: Shape, *, seed: int) -> list[str]:
    """Return texts of whole words, all of one length in tokens with the two special ones."""
    words = [word for word in tokenizer.get_vocab() if word.isalpha() and len(word) > 3]
    generator = np.random.default_rng(seed)
    size = (shape.samples, shape.tokens - 2)
    return [" ".join(text) for text in generator.choice(sorted(words), size)]


def measure(shape: Shape, *, seed: int) -> dict[str, Any]:
    """Time measuring by its parts, and steps of training on the same texts."""
    torch.manual_seed(seed)
    config = BertConfig(
        hidden_size=shape.width,
        num_hidden_layers=shape.blocks,
        num_attention_heads=shape.width // 64,
        intermediate_size=4 * shape.width,
    )
    model = BertModel(config).eval()
    architecture = find_architecture(model)
    assert len(architecture.blocks) == shape.blocks
    tokenizer = load_tokenizer(EMBEDDED_MODEL)
    texts = random_texts(tokenizer, shape, seed=seed)
    inside = Stopwatch(model)
    begin = time.process_time()
    profile = measure_dimensions(model, tokenizer, texts, num_samples=shape.samples, seed=seed)
    whole = time.process_time() - begin
    inside.remove()
    batch = tokenizer(texts[:TRAINING_BATCH], return_tensors="pt")
    return {
        **asdict(shape),
        "forward_tokens": profile.forward_tokens,
        "operations": formula(shape),
        "seconds": {
            "forward": inside.seconds,
            "rest": whole - inside.seconds,
            "training_step": training_step(model, dict(batch)),
        },
    }


class Stopwatch:
    """Adds up the CPU time inside a module."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.seconds = self.begin = 0.0
        self.handles = (
            module.register_forward_pre_hook(self.start),
            module.register_forward_hook(self.stop),
        )

    def start(self, *_: object) -> None:
        self.begin = time.process_time()

    def stop(self, *_: object) -> None:
        self.seconds += time.process_time() - self.begin

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()


def training_step(model: BertModel, batch: dict[str, torch.Tensor]) -> float:
    """Return the CPU time of one training step of LoRA of rank 1 on a batch of 32 texts."""
    adapted = get_peft_model(model, LoraConfig(r=1, target_modules=["query", "value"])).train()
    parameters = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters)
    times: list[float] = []
    for _ in range(TRAINING_STEPS):
        begin = time.process_time()
        adapted(**batch).last_hidden_state.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.process_time() - begin)
    return float(np.median(times))


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows in Markdown: seconds, and operations per second by the formula."""
    headings = (
        *("samples", "tokens", "width", "blocks", "forward, GFLOP", "search, GFLOP"),
        *("forward, s", "rest, s", "forward, GFLOP/s", "rest, GFLOP/s", "as training steps"),
    )
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for row in rows:
        shape = [f"{row[name]:,}" for name in ("samples", "tokens", "width", "blocks")]
        work = [row["operations"][name] / 1e9 for name in ("forward", "search")]
        seconds = [row["seconds"][name] for name in ("forward", "rest")]
        cells = [
            *shape,
            *(f"{one:,.0f}" for one in work),
            *(f"{one:.1f}" for one in seconds),
            *(f"{a / b:.0f}" for a, b in zip(work, seconds, strict=True)),
            f"{sum(seconds) / row['seconds']['training_step']:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure all shapes, or print the table of an earlier run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one small shape, to try the script")
    parser.add_argument("--read", help="JSON of an earlier run")
    parser.add_argument("--table", action="store_true", help="Markdown instead of JSON")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", GeloraWarning)
    if flags.read:
        rows = json.loads(Path(flags.read).read_text(encoding="utf-8"))
    else:
        shapes = (replace(SHAPES[0], samples=300),) if flags.quick else SHAPES
        rows = [measure(shape, seed=flags.seed) for shape in shapes]
    print(table(rows) if flags.table else json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
