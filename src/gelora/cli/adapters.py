"""Find the adapter that the flags name, and put it on its model."""

import logging
from dataclasses import replace
from pathlib import Path

from peft import PeftConfig, PeftModel, TaskType
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.artifacts import ADAPTER_FOLDER
from gelora.cli import loading
from gelora.cli.config import Config
from gelora.errors import ConfigError
from gelora.exports.saved import check_files
from gelora.hidden_states.task_head import TASK_TYPES
from gelora.problems import Problem
from gelora.tasks import TaskData

logger = logging.getLogger(__name__)

TEMPLATE_NAME = "chat_template.jinja"


def adapter_of(config: Config) -> tuple[Path, PeftConfig, Config]:
    """Return the adapter that the flags name, or the run's adapter.

    Returns:
        The adapter's folder; its settings; and the flags. Flags without a model or a chat template
        get those of the adapter.

    Raises:
        ArtifactError: There is no adapter in the folder, or it cannot be read.
    """
    source = config.adapter_source.adapter
    folder = config.folder / ADAPTER_FOLDER if source is None else Path(source)
    check_files(folder)
    adapter = PeftConfig.from_pretrained(str(folder))
    model, template = config.model, folder / TEMPLATE_NAME
    if model.model_name_or_path is None:
        model = replace(model, model_name_or_path=adapter.base_model_name_or_path)
    if model.chat_template_path is None and template.is_file():
        logger.info("The chat template is the adapter's, %s.", template)
        model = replace(model, chat_template_path=str(template))
    return folder, adapter, replace(config, model=model)


def adapted_model(config: Config, data: TaskData) -> tuple[PeftModel, PreTrainedTokenizerBase]:
    """Load the model with a head for the data and the adapter that the flags name.

    Raises:
        ArtifactError: There is no adapter in the folder, or it cannot be read.
        ConfigError: The adapter was trained for another problem, or for a model of other shapes.
    """
    folder, adapter, config = adapter_of(config)
    model, tokenizer = loading.load_with_head(config, data)
    return with_adapter(model, folder, adapter, problem=data.problem, name=data.name), tokenizer


def with_adapter(
    model: PreTrainedModel, folder: Path, adapter: PeftConfig, *, problem: Problem, name: str
) -> PeftModel:
    """Load an adapter onto a model, after a check that it was trained for the problem of the data.

    Args:
        model: The model without adapter.
        folder: Folder of the adapter.
        adapter: Its settings.
        problem: Problem of the data.
        name: Name of the data, for the message.

    Raises:
        ConfigError: The adapter was trained for another problem, or for a model of other shapes.
    """
    trained = adapter.task_type or (adapter.auto_mapping or {}).get("base_model_class")
    head, kind = type(model).__name__, TASK_TYPES[problem] or TaskType.QUESTION_ANS
    if trained not in (None, head, kind):
        raise ConfigError(
            f"The adapter in {folder} was trained for {trained}, and {name} ({problem}) needs "
            f"{head}: evaluate on data like it was trained on."
        )
    try:
        return PeftModel.from_pretrained(model, str(folder)).to(loading.device())
    except RuntimeError as error:  # of torch, where tensors have other shapes than the model's
        has_labels = problem in ("classification", "regression")
        labels = f" with num_labels {model.config.num_labels}, as {name} has" if has_labels else ""
        raise ConfigError(
            f"The adapter in {folder} fits no {model.config.model_type} model{labels}: name the "
            "model and the data of its training."
        ) from error
