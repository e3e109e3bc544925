"""Load what the flags name: the texts, the model with or without its head, and where it runs."""

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
    """Load the texts, and refuse those without labels or training rows where these are needed."""
    return load_task_data(
        **data_arguments(config), labels_required=labels_required, train_required=train_required
    )


def data_arguments(config: Config) -> dict[str, Any]:
    """Return what `load_task_data` takes of the flags."""
    flags = {name: v for name, v in asdict(config.data).items() if name != "max_length"}
    return {
        **flags,
        "task_name": config.task_name,
        "seed": config.run.seed,
        "question_answering": config.question_answering,
    }


def model_source(config: Config) -> ModelSource:
    """Return the model that the flags name, and how to load it."""
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
    """Load the model without a head, all that measuring needs, and its tokenizer."""
    return model_source(config).load(device=device(), task=None)


def load_with_head(
    config: Config, data: TaskData
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the model with a head for the data's labels, new unless it has one, and its tokenizer.

    The seed decides a new head's weights. `--dtype auto` is float32 here, whatever the checkpoint's
    own: small steps are lost to rounding in half precision.
    """
    set_seed(config.run.seed)
    return model_source(config).load(
        device=device(),
        task=data.problem,
        num_labels=data.num_labels,
        label_names=data.label_names,
    )


def load_causal(config: Config) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the model as one that writes texts, and its tokenizer; float32, as above."""
    return model_source(config).load(device=device(), task="instruction_tuning")


def tokenizer_of(config: Config) -> PreTrainedTokenizerBase:
    """Load the tokenizer alone, with the chat template that was named."""
    return model_source(config).load_tokenizer()


def is_main_process() -> bool:
    """Return whether this is the process that writes, of those that were launched together."""
    return _processes().is_main_process


def wait_for_all_processes() -> None:
    """Wait until all processes that were launched together are here."""
    _processes().wait_for_everyone()


def device() -> torch.device:
    """Return where models run: the accelerator that there is, or the CPU."""
    return torch.device(_processes().device or "cpu")


def _processes() -> PartialState:
    """Return what accelerate knows of this process; without an accelerator they meet over gloo."""
    return PartialState(cpu=not torch.accelerator.is_available())


def facts(model: PreTrainedModel, data: TaskData) -> dict[str, Any]:
    """Return what environment.json says of the device, the model and the data."""
    return {
        "device": device_name(device()),
        "model_revision": getattr(model.config, "_commit_hash", None),  # of models from the Hub
        "data": data.provenance,
    }


def columns_of(dataset: "Dataset | None") -> list[list[Any]]:
    """Return a split's columns as lists, to tell it from another."""
    return [] if dataset is None else [list(dataset[name]) for name in dataset.column_names]
