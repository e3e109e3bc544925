"""What measuring costs beside a bare forward pass of the same model, and beside PEFT's EVA.

    python benchmarks/measure.py > measure.json                      # minutes, on one core
    python benchmarks/measure.py --data train.jsonl --columns text --models minilm
    python benchmarks/measure.py --states normalized --granularity sublayer --eva_seconds 0

The models are the packaged MiniLM, and a small decoder of Llama's shape with a vocabulary of 128k
and random weights, which reads the same tokens. `ratio` is the whole of `measure_dimensions` over a
pass of the same backbone over the very batches that it ran: the median of repeats that take turns.
`hooks` and `estimating` are differences of medians. EVA is run as in PEFT's documentation:
rank 16, rho 2, batches of 4, the whole model with its head; forward tokens are counted by a hook.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import EvaConfig, LoraConfig, get_peft_model, initialize_lora_eva_weights
from torch import nn
from torch.utils.data import DataLoader
from transformers import LlamaConfig, LlamaForCausalLM

from gelora.errors import GeloraWarning
from gelora.hidden_states import measure_dimensions
from gelora.hidden_states.activations import pooled_states
from gelora.hidden_states.architectures import find_architecture, find_backbone
from gelora.hidden_states.batches import encode_texts, padded_batch
from gelora.hidden_states.forward import evaluation_mode
from gelora.hidden_states.loading import EMBEDDED_MODEL, load_model, load_tokenizer
from gelora.ranks.targets import select_modules

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
EVA_BATCH, EVA_RANK, EVA_RHO = 4, 16, 2.0


def llama(flags: argparse.Namespace) -> nn.Module:
    """Build a decoder of Llama's shape with random weights."""
    torch.manual_seed(flags.seed)
    config = LlamaConfig(
        vocab_size=flags.vocabulary,
        hidden_size=flags.width,
        intermediate_size=3 * flags.width,
        num_hidden_layers=flags.blocks,
        num_attention_heads=8,
        num_key_value_heads=4,
    )
    return LlamaForCausalLM(config).eval()


MODELS: Mapping[str, Callable[[argparse.Namespace], nn.Module]] = {
    "minilm": lambda _: load_model(EMBEDDED_MODEL, task=None),
    "llama": llama,
}


def generated_texts(words: Sequence[str], num_texts: int, *, seed: int) -> list[str]:
    """Draw texts of 5 to 100 words, rare words rarely (Zipf's law)."""
    rng = np.random.default_rng(seed)
    chances = 1 / np.arange(1, len(words) + 1)
    lengths = np.clip(rng.lognormal(3, 0.6, num_texts), 5, 100).astype(int)
    return [" ".join(rng.choice(words, n, p=chances / chances.sum())) for n in lengths]


def read_texts(path: Path, columns: Sequence[str]) -> list[Any]:
    """Return the texts, or pairs of texts, of a JSON lines file."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row[columns[0]] if len(columns) == 1 else tuple(map(row.get, columns)) for row in rows]


class Batches:
    """Counts the tokens of the batches that a module is given, and keeps them if asked."""

    def __init__(self, module: nn.Module, *, keep: bool = False, seconds: float = 0) -> None:
        self.tokens = 0
        self.passes = 0
        self.kept: list[dict[str, Any]] = []
        self.keep = keep
        self.deadline = time.perf_counter() + seconds if seconds else None
        self.handle = module.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, _module: nn.Module, _args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        if self.deadline is not None and time.perf_counter() > self.deadline:
            raise TimeoutError
        self.tokens += inputs["input_ids"].numel()
        self.passes += 1
        if self.keep:
            self.kept.append(inputs)


def seconds(call: Callable[[], object], clock: str) -> float:
    """Time one call."""
    now = CLOCKS[clock]
    begin = now()
    call()
    return now() - begin


def cost_of_measuring(
    model: nn.Module, tokenizer: Any, texts: Sequence[Any], flags: argparse.Namespace
) -> dict[str, Any]:
    """Time measuring, a bare pass over the same batches, and the parts in between."""
    backbone = find_backbone(model)
    pooling = "last" if find_architecture(model).is_causal else "mean"
    options = {"states": flags.states, "granularity": flags.granularity}

    def measure() -> Any:
        return measure_dimensions(
            model, tokenizer, texts, num_samples=flags.num_texts,
            measure_batch_tokens=flags.batch_tokens, seed=flags.seed, **options,
        )  # fmt: skip

    def tokenise() -> None:
        encode_texts(
            tokenizer, backbone, texts, num_samples=flags.num_texts, max_length=None,
            seed=flags.seed,
        )  # fmt: skip

    def forward() -> None:
        with evaluation_mode(backbone):
            for batch in batches.kept:
                backbone(**batch)

    def pool() -> None:
        for _ in pooled_states(model, tensors, pooling=pooling, **options):
            pass

    batches = Batches(backbone, keep=True)
    profile = measure()
    batches.handle.remove()
    tensors = [
        {name: values for name, values in batch.items() if isinstance(values, torch.Tensor)}
        for batch in batches.kept
    ]
    parts = {"measuring": measure, "tokenising": tokenise, "forward": forward, "pooling": pool}
    repeats = [
        {name: seconds(part, flags.clock) for name, part in parts.items()}
        for _ in range(flags.repeats)
    ]
    medians = {name: statistics.median(repeat[name] for repeat in repeats) for name in parts}
    measuring, tokenising, bare, pooling_seconds = medians.values()
    ratios = [repeat["measuring"] / repeat["forward"] for repeat in repeats]
    return {
        "samples": profile.num_used,
        "layers": len(profile.layers),
        "forward_tokens": batches.tokens,
        "batches": batches.passes,
        "seconds": {
            "measuring": measuring,
            "tokenising": tokenising,
            "forward": bare,
            "hooks": pooling_seconds - bare,
            "estimating": measuring - pooling_seconds - tokenising,
        },
        "ratio": statistics.median(ratios),
        "ratios": sorted(ratios),
    }


def cost_of_eva(
    model: nn.Module, tokenizer: Any, texts: Sequence[Any], flags: argparse.Namespace
) -> dict[str, Any]:
    """Time PEFT's EVA on the same model and texts, up to a limit."""
    architecture = find_architecture(model)
    rows = encode_texts(
        tokenizer, model, texts, num_samples=flags.num_texts, max_length=None, seed=flags.seed
    )
    loader = DataLoader(
        rows,  # pyright: ignore[reportArgumentType] - a sequence is a dataset
        batch_size=EVA_BATCH,
        collate_fn=lambda chosen: padded_batch(chosen, tokenizer),
    )
    targets = [m.name for m in select_modules(architecture.modules, "attention")]
    eva = EvaConfig(rho=EVA_RHO)
    config = LoraConfig(r=EVA_RANK, target_modules=targets, init_lora_weights="eva", eva_config=eva)
    adapted = get_peft_model(model, config, low_cpu_mem_usage=True)
    counted = Batches(find_backbone(adapted), seconds=flags.eva_seconds)
    converged = True

    def initialise() -> None:
        nonlocal converged
        try:
            initialize_lora_eva_weights(adapted, loader, show_progress_bar=False)
        except TimeoutError:
            converged = False

    spent = seconds(initialise, flags.clock)
    return {
        "seconds": spent,
        "forward_tokens": counted.tokens,
        "batches": counted.passes,
        "converged": converged,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--data", type=Path, help="a JSON lines file; by default random words")
    parser.add_argument("--columns", nargs="+", default=["text"], help="one, or two for pairs")
    parser.add_argument("--num_texts", type=int, default=1000)
    parser.add_argument("--batch_tokens", type=int, default=8192)
    parser.add_argument("--states", default="raw")
    parser.add_argument("--granularity", default="block")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: on a busy machine")
    parser.add_argument("--eva_seconds", type=float, default=90, help="EVA's limit; 0: without it")
    parser.add_argument("--vocabulary", type=int, default=128_256)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    warnings.simplefilter("ignore", GeloraWarning)  # of dimensions, which are not the matter here
    tokenizer = load_tokenizer(EMBEDDED_MODEL)
    if flags.data:
        texts = read_texts(flags.data, flags.columns)
    else:
        words = sorted(word for word in tokenizer.get_vocab() if word.isalpha())
        texts = generated_texts(words, flags.num_texts, seed=flags.seed)
    results = {}
    for name in flags.models:
        model = MODELS[name](flags)
        results[name] = {"measure": cost_of_measuring(model, tokenizer, texts, flags)}
        if flags.eva_seconds:
            results[name]["eva"] = cost_of_eva(model, tokenizer, texts, flags)
    settings = {name: str(value) for name, value in vars(flags).items()}
    threads = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    print(json.dumps({"settings": {**settings, **threads}, "models": results}, indent=1))


if __name__ == "__main__":
    main()
