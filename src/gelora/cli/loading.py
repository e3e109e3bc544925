"""Load what the flags name: the texts, the model with or without its head, and where it runs."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from gelora.cli.config import Config
from gelora.data import TaskData, load_task_data
from gelora.model.loading import load_model, load_tokenizer, set_pad_token
from gelora.question_answering.settings import QuestionAnsweringSettings

if TYPE_CHECKING:
    from datasets import Dataset


def load_data(config: Config, *, labels_required: bool, train_required: bool = True) -> TaskData:
    """Load the texts, and refuse those without labels or training rows where these are needed."""
    flags = config.data
    return load_task_data(
        task_name=config.task_name,
        dataset_name=flags.dataset_name,
        dataset_config=flags.dataset_config,
        dataset_train_split=flags.dataset_train_split,
        dataset_test_split=flags.dataset_test_split,
        train_file=flags.train_file,
        validation_file=flags.validation_file,
        validation_mismatched_file=flags.validation_mismatched_file,
        text_columns=flags.text_columns,
        label_column=flags.label_column,
        problem_type=flags.problem_type,
        max_train_samples=flags.max_train_samples,
        max_eval_samples=flags.max_eval_samples,
        seed=config.run.seed,
        labels_required=labels_required,
        train_required=train_required,
        question_answering=QuestionAnsweringSettings(**asdict(config.question_answering)),
    )


def load_backbone(config: Config) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the model without a head, all that measuring needs, and its tokenizer."""
    return _load(config, task=None)


def load_with_head(
    config: Config, data: TaskData
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the model with a head for the data's labels, new unless it has one, and its tokenizer.

    The seed decides a new head's weights. `--dtype auto` is float32 here, whatever the checkpoint's
    own: small steps are lost to rounding in half precision.
    """
    set_seed(config.run.seed)
    return _load(
        config, task=data.problem, num_labels=data.num_labels, label_names=data.label_names
    )


def load_causal(config: Config) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the model as one that writes texts, and its tokenizer; float32, as above."""
    return _load(config, task="instruction_tuning")


def tokenizer_of(config: Config) -> PreTrainedTokenizerBase:
    """Load the tokenizer alone, with the chat template that was named."""
    flags = config.model
    return load_tokenizer(
        config.model_name,
        chat_template_path=flags.chat_template_path,
        revision=flags.model_revision,
        trust_remote_code=flags.trust_remote_code,
    )


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


def device_name() -> str:
    """Return the device for people: cpu, or the name of the GPU."""
    where = device()
    return torch.cuda.get_device_name(where) if where.type == "cuda" else where.type


def facts(model: PreTrainedModel, data: TaskData) -> dict[str, Any]:
    """Return what environment.json says of the device, the model and the data."""
    return {
        "device": device_name(),
        "model_revision": getattr(model.config, "_commit_hash", None),  # of models from the Hub
        "data": data.provenance,
    }


def columns_of(dataset: "Dataset | None") -> list[list[Any]]:
    """Return a split's columns as lists, to tell it from another."""
    return [] if dataset is None else [list(dataset[name]) for name in dataset.column_names]


def _load(config: Config, **head: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    flags = config.model
    where = device()  # first, for quantised weights go to the device that this chooses
    tokenizer = tokenizer_of(config)
    model = load_model(
        config.model_name,
        **head,
        bits=4 if flags.load_in_4bit else 8 if flags.load_in_8bit else None,
        config_overrides=flags.config_overrides,
        dtype="float32" if flags.dtype == "auto" and head["task"] else flags.dtype,
        revision=flags.model_revision,
        attn_implementation=flags.attn_implementation,
        trust_remote_code=flags.trust_remote_code,
    )
    set_pad_token(model, tokenizer)
    torch.nn.Module.to(model, where)
    return model, tokenizer
