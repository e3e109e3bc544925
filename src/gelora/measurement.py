"""From texts to a `DimensionProfile`: draw, tokenise, run the model once, estimate.

This is the public front of the two halves: `activations`, which runs a model, and `dimension`,
which knows only matrices. Nothing is written to disk.
"""

import warnings
from collections.abc import Sequence

import torch
from torch import nn
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from gelora.activations import hidden_states
from gelora.architectures import (
    find_architecture,
    find_backbone,
    input_embedding,
    model_fingerprint,
    require_attention,
)
from gelora.batches import Texts, chunks_by_length, encode_texts, padded_batch
from gelora.dimension.levels import MAX_SHARE_SET_ASIDE, estimate_levels
from gelora.dimension.profile import DimensionProfile
from gelora.dimension.twonn import TwoNN
from gelora.errors import ConfigError, DuplicateSamplesWarning
from gelora.pooling import POOLINGS, Pooling
from gelora.reading import level_names
from gelora.targets import select_modules

ESTIMATORS = ("twonn_line", "twonn_likelihood")


def measure_dimensions(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Texts,
    *,
    num_samples: int = 4000,
    pooling: Pooling | None = None,
    estimator: str = "twonn_line",
    discard_fraction: float = 0.1,
    batch_size: int = 32,
    max_length: int | None = None,
    target_modules: str | Sequence[str] = "attention",
    seed: int = 0,
    progress: bool = False,
) -> DimensionProfile:
    """Measure the intrinsic dimension of the texts after every block of a model.

    One forward pass over the texts drawn, without the model's head. The model and the tokenizer
    leave as they came. The same call gives the same profile, to the last bit on one machine.

    Args:
        model: With or without a head, adapters, quantised weights; wherever it is placed.
        tokenizer: The model's own.
        texts: Single texts or pairs.
        num_samples: Texts drawn at most, without replacement. The estimate is compressed at any
            number and a little less so at more: compare profiles of the same number only.
        pooling: How a sequence becomes one vector: "mean", "last" or "first". By default "last"
            for causal models, whose last token alone has seen all, and "mean" for others.
        estimator: Whose dimensions the ranks will come from: "twonn_line" (as in the paper) or
            "twonn_likelihood". The profile keeps both.
        discard_fraction: Share of the largest ratios that the line fit leaves out.
        batch_size: Texts per batch; texts of like length go together.
        max_length: Tokens kept of each text; by default what the tokenizer and the model take.
        target_modules: What will be adapted, as in `plan_ranks`: checked here, before the cost.
        seed: Chooses the texts.
        progress: Show a bar on stderr.

    Raises:
        ArchitectureError: No blocks, or no query, key, value and output where these are targets.
        ConfigError: An argument is out of its range.
        DataError: The texts are none, not text, empty, or not in the model's vocabulary.
        HiddenStatesError: The hidden states overflow, or too few of them differ.
        RankError: `target_modules` names a module that the blocks do not have.

    Warns:
        DuplicateSamplesWarning: More than 5 % of the texts drawn are copies of others.
    """
    _check_arguments(num_samples, batch_size, max_length, pooling, estimator)
    TwoNN("line", discard_fraction)  # refuses a fraction that is none
    architecture, backbone = find_architecture(model), find_backbone(model)
    if target_modules == "attention":
        require_attention(architecture)
    select_modules(architecture.modules, target_modules)
    if pooling is None:
        pooling = "last" if architecture.is_causal else "mean"

    rows = encode_texts(
        tokenizer, backbone, texts, num_samples=num_samples, max_length=max_length, seed=seed
    )
    distinct = list({tuple(row["input_ids"]): row for row in rows}.values())
    num_copies = len(rows) - len(distinct)
    _warn_of_copies(num_copies, len(rows))

    chunks = chunks_by_length(distinct, batch_size)
    batches = (padded_batch([distinct[i] for i in chunk], tokenizer) for chunk in chunks)
    shown = tqdm(batches, total=len(chunks), desc="Measuring", disable=not progress)
    states = hidden_states(model, shown, pooling=pooling)
    back = torch.tensor([i for chunk in chunks for i in chunk]).argsort()
    levels = level_names(architecture)
    found = estimate_levels(
        [level[back] for level in states],
        level_names=levels,
        first_levels=[i for i, level in enumerate(levels) if level not in architecture.blocks],
        discard_fraction=discard_fraction,
        device="cuda" if input_embedding(backbone).is_cuda else None,
    )
    return DimensionProfile(
        estimator=estimator,
        series=found.series,
        levels=levels,
        blocks=architecture.blocks,
        modules=architecture.modules,
        fingerprint=model_fingerprint(model),
        pooling=pooling,
        discard_fraction=discard_fraction,
        seed=seed,
        num_texts=len(rows),
        num_used=found.num_used,
        num_duplicates=num_copies + found.num_duplicates,
        num_near_duplicates=found.num_near_duplicates,
        forward_tokens=sum(len(chunk) * len(distinct[chunk[0]]["input_ids"]) for chunk in chunks),
        constant_levels=found.constant_levels,
        log_mu_quantiles=found.log_mu_quantiles,
    )


def _check_arguments(
    num_samples: int,
    batch_size: int,
    max_length: int | None,
    pooling: str | None,
    estimator: str,
) -> None:
    counts = {"num_samples": num_samples, "batch_size": batch_size, "max_length": max_length}
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ConfigError(f"{name} must be at least 1. Got {count}.")
    if pooling is not None and pooling not in POOLINGS:
        raise ConfigError(f"pooling must be one of {', '.join(POOLINGS)}. Got {pooling!r}.")
    if estimator not in ESTIMATORS:
        raise ConfigError(f"estimator must be one of {', '.join(ESTIMATORS)}. Got {estimator!r}.")


def _warn_of_copies(num_copies: int, num_drawn: int) -> None:
    if num_copies > MAX_SHARE_SET_ASIDE * num_drawn:
        warnings.warn(
            f"{num_copies} of the {num_drawn} texts drawn are copies of others and did not pass "
            f"the model again; the estimates rest on the other {num_drawn - num_copies}.",
            DuplicateSamplesWarning,
            stacklevel=3,
        )
