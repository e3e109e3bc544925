"""Train a small causal model from scratch, on texts of one's own, in minutes on a processor.

    python experiments/small-causal-model/make_model.py FOLDER \
        --texts alpaca/train.jsonl.gz:instruction,input,output squad/train.jsonl.gz:context

A Llama of 2 million parameters, to try what gelora does to causal models where none can be
downloaded; it knows some English and no facts. The folder is one that transformers loads, its
tokenizer is trained on the same texts and writes chats by `chat.jinja`. Two in a hundred texts are
held out, and their perplexity is written to `training.json` beside what training took.
"""

import argparse
import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    get_cosine_schedule_with_warmup,
)

from gelora.tasks.tables import read_file

logger = logging.getLogger(__name__)

END, PADDING = "<|end|>", "<|pad|>"
TEMPLATE = Path(__file__).with_name("chat.jinja")
HELD_OUT = 0.02


def read_texts(sources: Sequence[str]) -> list[str]:
    """Return the distinct texts of FILE:FIELD,FIELD, ..., a row's fields a blank line apart."""
    texts: list[str] = []
    for source in sources:
        file, _, fields = source.rpartition(":")
        columns = [read_file(file).columns[field] for field in fields.split(",")]
        texts += ["\n\n".join(filter(None, row)) for row in zip(*columns, strict=True)]
    return list(dict.fromkeys(texts))


def make_tokenizer(
    texts: Sequence[str], *, vocabulary: int, tokens: int
) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer, so that no text is unknown to it."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END, PADDING],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PADDING,
        model_max_length=tokens,
        chat_template=TEMPLATE.read_text(encoding="utf-8"),
    )


def make_model(tokenizer: Any, *, blocks: int, width: int, tokens: int) -> LlamaForCausalLM:
    """Return a Llama with random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=8 * width // 3 // 32 * 32,
            num_hidden_layers=blocks,
            num_attention_heads=width // 32,
            max_position_embeddings=tokens,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def rows_of(texts: Sequence[str], tokenizer: Any, *, tokens: int) -> Tensor:
    """Return the texts one after another, each with its end, as rows of so many tokens."""
    encoded = tokenizer([text + END for text in texts], verbose=False)["input_ids"]
    stream = torch.tensor([token for row in encoded for token in row])
    return stream[: len(stream) // tokens * tokens].view(-1, tokens)


def train(
    model: LlamaForCausalLM, rows: Tensor, *, steps: int, batch_size: int, learning_rate: float
) -> None:
    """Train on rows drawn in random order, all of them before one comes again."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.1
    )
    schedule = get_cosine_schedule_with_warmup(optimizer, steps // 20, steps)
    model.train()
    began = time.perf_counter()
    for step, batch in zip(range(1, steps + 1), _batches(rows, batch_size), strict=False):
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 25 == 0:
            seconds = time.perf_counter() - began
            logger.info("step %d of %d: loss %.3f, %.0f s", step, steps, loss.item(), seconds)


def _batches(rows: Tensor, batch_size: int) -> Iterator[Tensor]:
    while True:
        order = torch.randperm(len(rows))
        yield from (rows[chunk] for chunk in order.split(batch_size) if len(chunk) == batch_size)


@torch.no_grad()
def perplexity(model: LlamaForCausalLM, rows: Tensor) -> float:
    """Return the perplexity of each token given those before it in its row."""
    model.eval()
    losses = [model(input_ids=row[None], labels=row[None]).loss.item() for row in rows]
    return math.exp(sum(losses) / len(losses))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and save a model and its tokenizer."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the model goes")
    parser.add_argument("--texts", nargs="+", required=True, metavar="FILE:FIELD,FIELD")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--learning_rate", type=float, default=3e-3)
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--width", type=int, default=128, help="a multiple of 32")
    parser.add_argument("--tokens", type=int, default=512, help="of context")
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.manual_seed(flags.seed)

    texts = read_texts(flags.texts)
    np.random.default_rng(flags.seed).shuffle(texts)
    held_out = math.ceil(HELD_OUT * len(texts))
    tokenizer = make_tokenizer(texts[held_out:], vocabulary=flags.vocabulary, tokens=flags.tokens)
    rows = rows_of(texts[held_out:], tokenizer, tokens=flags.tokens)
    unseen = rows_of(texts[:held_out], tokenizer, tokens=flags.tokens)
    model = make_model(tokenizer, blocks=flags.blocks, width=flags.width, tokens=flags.tokens)
    logger.info("%d parameters, %d tokens to train on", model.num_parameters(), rows.numel())

    began = time.perf_counter()
    train(
        model,
        rows,
        steps=flags.steps,
        batch_size=flags.batch_size,
        learning_rate=flags.learning_rate,
    )
    facts = {
        "parameters": model.num_parameters(),
        "texts": len(texts),
        "distinct_tokens": rows.numel(),
        "trained_tokens": flags.steps * flags.batch_size * flags.tokens,
        "held_out_tokens": unseen.numel(),
        "held_out_perplexity": perplexity(model, unseen),
        "seconds": round(time.perf_counter() - began),
    }
    model.save_pretrained(flags.folder)
    tokenizer.save_pretrained(flags.folder)
    text = json.dumps(facts, indent=2) + "\n"
    (flags.folder / "training.json").write_text(text, encoding="utf-8")
    logger.info(text)


if __name__ == "__main__":
    main()
