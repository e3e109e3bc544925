"""The empirical Fisher information of every block: F = (1/n) sum g g^T over labelled samples.

g is the gradient of log p(y|x) at the true label y, by one block's adapted weights or by their LoRA
factors. F has as many rows as there are parameters, and at most n eigenvalues that are not zero:
those of G G^T / n, with the n gradients as the rows of G. So F is never formed.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

from gelora.data import TaskData
from gelora.errors import ArchitectureError, DataError, RankError
from gelora.model.architectures import find_architecture, find_backbone, input_embedding
from gelora.model.forward import evaluation_mode
from gelora.model.module_tree import without_adapter
from gelora.ranks.targets import select_modules
from gelora.theory.likelihood import log_likelihood
from gelora.theory.module_gradients import GradientFactors, gradient_factors, gram_matrix
from gelora.theory.record import BlockFisher, FisherOf, Stage
from gelora.theory.spectra import Spectrum
from gelora.training.fitting import trainer_module


def block_fishers(
    model: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    *,
    of: FisherOf,
    stage: Stage,
    target_modules: str | Sequence[str] = "attention",
) -> tuple[BlockFisher, ...]:
    raise NotImplementedError


def sample_batches(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    arguments: TrainingArguments,
    max_length: int | None,
    num_samples: int,
    seed: int,
) -> Iterator[Mapping[str, Tensor]]:
    raise NotImplementedError
