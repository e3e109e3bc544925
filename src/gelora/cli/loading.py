"""Load the texts and the model that the flags name, and choose the device."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from gelora.cli.config import Config
from gelora.hidden_states.devices import device_name
from gelora.hidden_states.source import ModelSource
from gelora.tasks import TaskData, load_task_data

if TYPE_CHECKING:
    from datasets import Dataset


def load_data(config: Config, *, labels_required: bool, train_required: bool = True) -> TaskData:
    """Load the texts; texts without needed labels or training rows are refused."""
    return load_task_data(
        **data_arguments(config), labels_required=labels_required, train_required=train_required
    )


def data_arguments(config: Config) -> dict[str, Any]:
    """Return the flags that are arguments of `load_task_data`."""
    flags = {name: v for name, v in asdict(config.data).items() if name != "max_length"}
    return {
        **flags,
        "task_name": config.task_name,
        "seed": config.run.seed,
        "question_answering": config.question_answering,
    }


def model_source(config: Config) -> ModelSource:
    """Return the name of the model and how to load it."""
    flags = config.model
    return ModelSource(
        config.model_name,
        revision=flags.model_revision,
        dtype=flags.dtype,
        bits=4 if flags.load_in_4bit else 8 if flags.load_in_8bit else None,
        attn_implementation=flags.attn_implementation,
        trust_remote_code=flags.trust_remote_code,
        config_overrides=flags.config_overrides,
        chat_template_path=flags.chat_template_path,
    )


def load_backbone(config: Config) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the model without a head, for measuring, and its tokenizer."""
    return model_source(config).load(device=device(), task=None)


def load_with_head(
    config: Config, data: TaskData
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the model with a head for the data's labels, and its tokenizer.

    A model without a head gets a new one, with weights by the seed. `--dtype auto` is float32 here:
    half precision loses small steps to rounding.
    """
    set_seed(config.run.seed)
    return model_source(config).load(
        device=device(),
        task=data.problem,
        num_labels=data.num_labels,
        label_names=data.label_names,
    )


def load_causal(config: Config) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the model as a causal language model in float32, and its tokenizer."""
    return model_source(config).load(device=device(), task="instruction_tuning")


def tokenizer_of(config: Config) -> PreTrainedTokenizerBase:
    """Load the tokenizer alone, with the chat template of the flags."""
    return model_source(config).load_tokenizer()


def is_main_process() -> bool:
    """Return whether this is the process that writes files for all processes."""
    return _processes().is_main_process


def wait_for_all_processes() -> None:
    """Wait for all processes that were launched together."""
    _processes().wait_for_everyone()


def device() -> torch.device:
    """Return the device of this process: an accelerator, or else the CPU."""
    return torch.device(_processes().device or "cpu")


def _processes() -> PartialState:
    """Return the state of the processes; without an accelerator they communicate over gloo."""
    return PartialState(cpu=not torch.accelerator.is_available())


def facts(model: PreTrainedModel, data: TaskData) -> dict[str, Any]:
    """Return device, model revision and data, as environment.json records them."""
    return {
        "device": device_name(device()),
        "model_revision": getattr(model.config, "_commit_hash", None),  # of models from the Hub
        "data": data.provenance,
    }


def columns_of(dataset: "Dataset | None") -> list[list[Any]]:
    """Return the columns of a split as lists, for a hash."""
    return [] if dataset is None else [list(dataset[name]) for name in dataset.column_names]
