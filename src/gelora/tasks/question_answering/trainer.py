"""The Trainer for questions whose answer is a span of a context."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Sampler
from transformers import (
    EvalPrediction,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from gelora.hidden_states.batches import token_limit
from gelora.tasks.question_answering.answers import choose_answers
from gelora.tasks.question_answering.evaluation import metrics_of, settings_of
from gelora.tasks.question_answering.settings import QuestionAnsweringSettings
from gelora.tasks.question_answering.windows import (
    POSITIONS,
    Windows,
    split_contexts,
    warn_of_cut_answers,
)
from gelora.tasks.task_data import TaskData
from gelora.training.train import collator

if TYPE_CHECKING:
    from datasets import Dataset


class _Trainer(Trainer):
    """A Trainer whose loss does not depend on padding, nor its metrics on the order of batches."""

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return the loss over real tokens, and if asked the model's outputs.

        A head's own loss counts padding among the tokens that an answer could begin with, so that
        it would change with the length of the other windows of a batch.
        """
        del num_items_in_batch
        outputs = model(**{k: value for k, value in inputs.items() if k not in POSITIONS})
        is_padding = inputs["attention_mask"] == 0
        losses = [
            cross_entropy(logits.float().masked_fill(is_padding, -torch.inf), inputs[name])
            for logits, name in zip(
                (outputs.start_logits, outputs.end_logits), POSITIONS, strict=True
            )
        ]
        loss = (losses[0] + losses[1]) / 2
        return (loss, outputs) if return_outputs else loss

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler | None:
        """Return none: the windows' order is what tells whose they are, however trained."""
        del eval_dataset


def make_trainer(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    arguments: TrainingArguments,
    max_length: int | None,
    callbacks: Sequence[TrainerCallback],
) -> Trainer:
    """Return the Trainer of a wrapped model, with exact match and F1 at every evaluation.

    Warns:
        SkippedRowsWarning: As `split_contexts`, and of answers that no window holds.
    """
    settings, questions = settings_of(data), data.validation
    limit = token_limit(tokenizer, model, max_length)
    train = split_contexts(data.train, tokenizer, settings, max_length=limit)
    warn_of_cut_answers(data.train, train)
    evaluation: dict[str, Any] = {}
    if questions is not None:
        windows = split_contexts(questions, tokenizer, settings, max_length=limit)
        evaluation = {
            "eval_dataset": windows.features,
            "compute_metrics": _metrics(questions, windows, settings),
            "preprocess_logits_for_metrics": _scores_alone,
        }
    trainer = _Trainer(
        model=model,
        args=arguments,
        train_dataset=train.features,
        processing_class=tokenizer,
        data_collator=collator(tokenizer, POSITIONS),
        callbacks=list(callbacks),
        **evaluation,
    )
    # The loss is the mean of its own part of a batch, so the Trainer must divide it.
    trainer.model_accepts_loss_kwargs = False
    return trainer


def _metrics(
    questions: "Dataset", windows: Windows, settings: QuestionAnsweringSettings
) -> Callable[[EvalPrediction], dict[str, float]]:
    def compute(prediction: EvalPrediction) -> dict[str, float]:
        contexts = questions["text_pair"]
        answers = choose_answers(windows, contexts, *prediction.predictions, settings=settings)
        return {k: metric.value for k, metric in metrics_of(answers, questions, settings).items()}

    return compute


def _scores_alone(outputs: tuple[Tensor, ...], labels: object) -> tuple[Tensor, Tensor]:
    """Keep start and end scores, the first two, of all that a model returns."""
    del labels
    return outputs[0], outputs[1]
