"""Answer questions with a model, and score the answers.

The model is not changed.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.hidden_states.batches import in_chunks, longest_first, padded_batch, token_limit
from gelora.hidden_states.forward import evaluation_mode
from gelora.tasks.metrics import Metric
from gelora.tasks.question_answering.answers import Answer, choose_answers
from gelora.tasks.question_answering.scoring import answer_metrics
from gelora.tasks.question_answering.settings import QuestionAnsweringSettings
from gelora.tasks.question_answering.windows import POSITIONS, split_contexts
from gelora.tasks.sharing import shared_map
from gelora.tasks.task_data import TaskData, labelled_validation

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import PeftModel


def evaluate(
    model: "PreTrainedModel | PeftModel",
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    batch_size: int = 64,
    max_length: int | None = None,
) -> dict[str, Metric]:
    """Return the metrics of `answer_metrics`, such as F1 and exact match, in percent.

    Raises:
        DataError: There are no questions to answer, or fewer than two.
    """
    answers = answer_questions(model, tokenizer, data, batch_size=batch_size, max_length=max_length)
    return metrics_of(answers, labelled_validation(data), settings_of(data))


def answer_questions(
    model: "PreTrainedModel | PeftModel",
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    *,
    batch_size: int = 64,
    max_length: int | None = None,
) -> list[Answer]:
    """Return the model's answer to every validation question, in their order.

    Processes that were launched together all call, and share the batches.

    Args:
        model: With a head for question answering.
        tokenizer: The model's own.
        data: Its validation split is answered, as its settings say.
        batch_size: Windows in one forward pass.
        max_length: Tokens of a window; the tokenizer's and the model's limits hold as well.
    """
    split, settings = labelled_validation(data), settings_of(data)
    limit = token_limit(tokenizer, model, max_length)
    windows = split_contexts(split, tokenizer, settings, max_length=limit)
    rows = windows.features.remove_columns(list(POSITIONS)).to_list()
    order = longest_first(rows)

    def scores(chunk: Sequence[int]) -> list[Float[np.ndarray, "batch tokens"]]:
        batch = padded_batch([rows[row] for row in chunk], tokenizer)
        output = model(**{name: tensor.to(model.device) for name, tensor in batch.items()})
        return [logits.float().cpu().numpy() for logits in (output.start_logits, output.end_logits)]

    with evaluation_mode(model):
        batches = shared_map(scores, in_chunks(order, batch_size))
    back = np.argsort(order).tolist()
    starts, ends = ([row for part in side for row in part] for side in zip(*batches, strict=True))
    return choose_answers(
        windows,
        split["text_pair"],
        [starts[row] for row in back],
        [ends[row] for row in back],
        settings=settings,
    )


def metrics_of(
    answers: Sequence[Answer], split: "Dataset", settings: QuestionAnsweringSettings
) -> dict[str, Metric]:
    """Return the metrics of a model's answers to the questions of a split."""
    return answer_metrics(
        [answer.text for answer in answers],
        [gold["text"] for gold in split["answers"]],
        version_2=bool(settings.version_2_with_negative),
        null_odds=[answer.null_odds for answer in answers],
        spans=[answer.best_span for answer in answers],
    )


def settings_of(data: TaskData) -> QuestionAnsweringSettings:
    """Return the settings that came with the data, or the usual ones."""
    return data.question_answering or QuestionAnsweringSettings()
