"""Train a saved adapter further on a task, at the ranks that it has."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from gelora.exports.saved import WEIGHTS_NAME
from gelora.tasks.task_data import TaskData
from gelora.tasks.train import make_trainer
from gelora.training.train import fit, train_in_float32


def finish_training(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: TaskData,
    folder: str | Path,
    *,
    arguments: TrainingArguments,
    steps: int,
    max_length: int | None = None,
) -> PeftModel:
    """Train a saved adapter for some steps, replace its weights in the folder, and return it.

    The folder keeps the weights of before until all steps are done.

    Args:
        model: With a head for the problem, not wrapped.
        tokenizer: The model's own.
        data: Its training rows are used.
        folder: The adapter, as PEFT saved it.
        arguments: The Trainer's own. It evaluates, saves and pushes nothing.
        steps: Optimizer steps; the learning rate warms up and falls within them.
        max_length: Tokens after which a text is cut; the tokenizer's and the model's limits hold.
    """
    adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    arguments = copy.copy(arguments)
    arguments.max_steps = steps
    arguments.eval_strategy, arguments.save_strategy = IntervalStrategy.NO, SaveStrategy.NO
    arguments.load_best_model_at_end = arguments.push_to_hub = False
    train_in_float32(adapted, has_autocast=arguments.bf16 or arguments.fp16)
    with TemporaryDirectory(dir=folder) as place:
        arguments.output_dir = place
        rows = replace(data, validation=None, more_validation={})
        fit(make_trainer(adapted, tokenizer, rows, arguments=arguments, max_length=max_length))
        adapted.save_pretrained(place, save_embedding_layers=False)
        trained, weights = Path(place) / WEIGHTS_NAME, Path(folder) / WEIGHTS_NAME
        shutil.copymode(weights, trained)  # safetensors' own would hide them from a server
        trained.replace(weights)
    return adapted
