"""TRL's SFTTrainer for prompts with completions and for chats.

The loss, packing and all that SFTConfig says are TRL's. What is added: the perplexity at every
evaluation, over tokens rather than batches, and a count of what is too long.
"""

import copy
import logging
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from peft import PeftModel
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainingArguments

from gelora.data import TaskData
from gelora.errors import ConfigError, MissingExtraError, SkippedRowsWarning
from gelora.instruction_tuning.examples import count_lengths, tokenize_examples
from gelora.model.batches import token_limit
from gelora.model.conversations import check_tokenizer
from gelora.training.wrapping import train_in_float32

try:
    from trl import SFTConfig, SFTTrainer
except ImportError as error:
    raise MissingExtraError(
        "Instruction tuning needs TRL, which is not installed: pip install 'gelora[sft]'."
    ) from error

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)


def make_trainer(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    arguments: TrainingArguments,
    max_length: int | None,
    callbacks: Sequence[TrainerCallback],
) -> Trainer:
    """Return the SFTTrainer of a wrapped model, with the perplexity at every evaluation."""
    raise NotImplementedError
