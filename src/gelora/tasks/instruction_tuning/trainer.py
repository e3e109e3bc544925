"""TRL's SFTTrainer for prompts with completions and for chats.

The tokens, the loss, packing and all else that SFTConfig says are TRL's. What is added: a count of
what is too long, and the perplexity at every evaluation, which counts tokens, not batches.
"""

import copy
import logging
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput
from trl.chat_template_utils import get_training_chat_template, has_generation_markers
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from gelora.errors import ConfigError, DataError, SkippedRowsWarning
from gelora.hidden_states.batches import token_limit
from gelora.tasks.instruction_tuning.chats import (
    TokenizedExample,
    check_causal,
    check_tokenizer,
    count_lengths,
    is_chat,
    tokenize_examples,
    tokenize_replies,
)
from gelora.tasks.instruction_tuning.messages import OPTIONS, as_dataset, chat_columns
from gelora.tasks.instruction_tuning.templates import check_written
from gelora.tasks.task_data import TaskData
from gelora.training.train import train_in_float32

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

# These would change what is trained on after it was measured: their defaults, and what to do.
_DECIDED: dict[str, tuple[Any, str]] = {
    "eos_token": (None, "set it in the tokenizer instead"),
    "chat_template_path": (None, "set it in the tokenizer instead"),
    "truncation_mode": ("keep_start", "leave it out; texts are measured with their ends cut"),
}


_TRL_MAX_LENGTH = SFTConfig.__dataclass_fields__["max_length"].default


def make_trainer(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    arguments: TrainingArguments,
    max_length: int | None,
    callbacks: Sequence[TrainerCallback],
) -> Trainer:
    """Return the SFTTrainer of a wrapped model, with the perplexity at every evaluation.

    Only completions carry loss, unless `completion_only_loss` is false. With `assistant_only_loss`
    every reply of a chat does, not the last alone. Validation texts are not packed unless
    `eval_packing` says so.

    Raises:
        ConfigError: The arguments are no SFTConfig, or TRL does not take them, the model is not
            causal, the tokenizer has no chat template for messages or no end-of-text token, or the
            template does not mark the replies that alone are to carry loss.
        DataError: No completion is left, to train or to validate on.

    Warns:
        SkippedRowsWarning: Texts are longer than the limit, or have no completion.
    """
    settings = copy.copy(check_settings(arguments))
    check_causal(model)
    check_replies(tokenizer, data, settings)
    limit = token_limit(tokenizer, model, max_length)
    if settings.max_length not in (limit, max_length, _TRL_MAX_LENGTH):
        logger.warning(
            "Texts are cut to %s tokens, as they are measured, not to the max_length %s of the "
            "SFTConfig: give it as max_length.",
            limit,
            settings.max_length,
        )
    settings.max_length = limit
    settings.eval_packing = bool(settings.eval_packing)
    _tell_lengths(data, tokenizer, settings)
    every_reply = _counts_every_reply(settings)
    try:
        trainer = _Trainer(
            model=model,
            args=settings,
            train_dataset=_columns(data.train, as_messages=every_reply),
            eval_dataset=data.validation and _columns(data.validation, as_messages=every_reply),
            processing_class=tokenizer,
            callbacks=list(callbacks),
        )
    except ValueError as error:
        raise ConfigError(f"TRL does not take these settings: {error}") from error
    train_in_float32(model, has_autocast=True)  # TRL makes adapters of quantised models bfloat16
    return trainer


class _Trainer(SFTTrainer):
    """With the perplexity at every evaluation; without a model card, for the run has its own."""

    _loss, _tokens = 0.0, 0

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        self._loss, self._tokens = 0.0, 0
        settings: Any = self.args
        loss_type, smoother = settings.loss_type, self.label_smoother
        settings.loss_type, self.label_smoother = "nll", None  # whatever training minimises
        try:
            output = super().evaluation_loop(*args, **kwargs)
        finally:
            settings.loss_type, self.label_smoother = loss_type, smoother
        sums = torch.tensor([self._loss, self._tokens], device=settings.device)
        summed: Any = self.accelerator.reduce(sums, reduction="sum")
        loss, tokens = summed.tolist()
        metrics = {f"{kwargs['metric_key_prefix']}_perplexity": math.exp(min(loss / tokens, 700))}
        return output._replace(metrics={**(output.metrics or {}), **metrics})

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None
    ) -> "tuple[Tensor | None, Tensor | None, Tensor | None]":
        outputs = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        tokens = int((inputs["labels"][:, 1:] != -100).sum())  # the first is not predicted
        self._loss += float(outputs[0]) * tokens  # TRL's loss is the mean over these
        self._tokens += tokens
        return outputs

    def log(self, *args: Any, **kwargs: Any) -> None:
        for metrics in self._metrics.values():
            metrics.pop("num_tokens", None)  # TRL counts from 0 again where training is resumed
        super().log(*args, **kwargs)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        pass


def check_settings(arguments: TrainingArguments) -> SFTConfig:
    """Return the arguments, which must be TRL's and leave alone what was measured.

    Raises:
        ConfigError: They are not, or do not.
    """
    if not isinstance(arguments, SFTConfig):
        raise ConfigError(
            "Instruction tuning takes its arguments as trl.SFTConfig. Got "
            f"{type(arguments).__name__}."
        )
    for name, (usual, advice) in _DECIDED.items():
        value = getattr(arguments, name)
        if value != usual:
            raise ConfigError(
                f"{name} {value!r} would change the texts after they were measured: {advice}."
            )
    return arguments


def check_replies(
    tokenizer: PreTrainedTokenizerBase, data: TaskData, arguments: TrainingArguments
) -> None:
    """Check that every chat can be written, and that what carries loss can be told from the rest.

    Raises:
        ConfigError: There is no chat template for chats; or `assistant_only_loss` is set, and the
            rows are no chats or the template does not mark the replies; or a setting counts
            replies that the rows exclude.
        DataError: The template refuses a chat, or leaves out a part of one.
    """
    settings = check_settings(arguments)
    _check_marks(data, settings)
    for dataset in (data.train, data.validation):
        if dataset is not None and is_chat(dataset[0]):
            check_tokenizer(tokenizer, chats=True)
            check_written(tokenizer, chat_columns(dataset).to_list())
    if not settings.assistant_only_loss:
        return
    if not is_chat(data.train[0]):
        raise ConfigError(
            f"assistant_only_loss counts the replies of chats, and {data.name} has texts: leave it "
            "out."
        )
    try:
        _marking_template(tokenizer)
    except ValueError as error:
        raise ConfigError(
            "assistant_only_loss counts replies alone, and the tokenizer's chat template does not "
            "mark them by {% generation %} and {% endgeneration %}: name one that does with "
            "--chat_template_path, or leave it out."
        ) from error


def _check_marks(data: TaskData, settings: SFTConfig) -> None:
    """Refuse to count all replies where some are marked not to be trained on."""
    marked = sum(split.get("marked_replies", 0) for split in data.provenance.values())
    counts_all = settings.completion_only_loss is False or _counts_every_reply(settings)
    if marked and counts_all:
        name = "assistant_only_loss" if settings.assistant_only_loss else "completion_only_loss"
        raise ConfigError(
            f"{data.name} has {marked} chats with replies that are marked as not to be trained on "
            f"(weight 0, train false), and {name} {getattr(settings, name)} would train on them: "
            "leave it out, so that the last reply alone is trained on."
        )


def _marking_template(tokenizer: Any) -> str | None:
    """Return TRL's own version of a template that does not mark replies; None for one that does."""
    if has_generation_markers(tokenizer.chat_template):
        return None
    return get_training_chat_template(tokenizer)


def _counts_every_reply(settings: SFTConfig) -> bool:
    return settings.assistant_only_loss and not settings.completion_only_loss


def _tell_lengths(data: TaskData, tokenizer: PreTrainedTokenizerBase, settings: SFTConfig) -> None:
    """Warn of training rows that are cut or say nothing: TRL cuts all but those it packs whole.

    Of the validation rows, whose perplexity is of completions, evaluating warns.
    """
    keeps_all = settings.packing and settings.packing_strategy != "bfd"
    for split, dataset in (("training", data.train), ("validation", data.validation)):
        if dataset is None:
            continue
        examples = tokenize_examples(dataset, tokenizer)
        if split == "training":
            examples = _carrying_loss(examples, dataset, tokenizer, settings)
        counts = count_lengths(examples, settings.max_length)
        if not counts.left:
            raise DataError(
                f"{data.name}, {split}: no completion is left. {counts}: raise --max_length, "
                "shorten the prompts, or look at what the chat template writes."
            )
        is_said = counts.empty or (counts.cut and not keeps_all)
        if is_said and split == "training":
            warnings.warn(f"{data.name}, training: {counts}.", SkippedRowsWarning, stacklevel=4)


def _carrying_loss(
    examples: list[TokenizedExample],
    dataset: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    settings: SFTConfig,
) -> list[TokenizedExample]:
    """Return the examples with all from the first token that carries loss as the completion."""
    if _counts_every_reply(settings):
        rows: list[Any] = dataset.to_list()
        return tokenize_replies(rows, tokenizer, template=_marking_template(tokenizer))
    if settings.completion_only_loss is False:
        return [replace(example, completion_start=0) for example in examples]
    return examples


def _columns(dataset: Dataset, *, as_messages: bool) -> Dataset:
    """Return the columns that TRL reads, in one of its two forms."""
    if not as_messages or not is_chat(dataset[0]):
        return chat_columns(dataset)
    rows: list[Any] = dataset.to_list()
    messages = [row["prompt"] + row["completion"] for row in rows]
    options = {n: [row[n] for row in rows] for n in OPTIONS if n in dataset.column_names}
    return as_dataset({"messages": messages, **options})
