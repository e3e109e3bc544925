"""Where a model comes from and how it is loaded: one frozen value that other processes can take."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.model.devices import default_device
from gelora.model.loading import (
    EMBEDDED_MODEL,
    Dtype,
    load_model,
    load_tokenizer,
    set_pad_token,
)
from gelora.model.quantization import Bits
from gelora.tasks import Problem


@dataclass(frozen=True)
class ModelSource:
    """A model and its tokenizer, by name; the fields are as `load_model` takes them."""

    name_or_path: str = EMBEDDED_MODEL
    revision: str | None = None
    dtype: Dtype = "auto"
    bits: Bits | None = None
    attn_implementation: str | None = None
    trust_remote_code: bool = False
    config_overrides: str | None = None
    chat_template_path: str | None = None

    def load_tokenizer(self) -> PreTrainedTokenizerBase:
        """Load the tokenizer alone, with the chat template that was named."""
        return load_tokenizer(
            self.name_or_path,
            chat_template_path=self.chat_template_path,
            revision=self.revision,
            trust_remote_code=self.trust_remote_code,
        )

    def load(
        self,
        *,
        device: torch.device | None = None,
        task: Problem | None,
        num_labels: int = 2,
        label_names: Sequence[str] | None = None,
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Load the model onto a device, and its tokenizer.

        With a head, dtype "auto" is float32, whatever the checkpoint's own: small steps are lost to
        rounding in half precision. The caller has set the seed of a new head.

        Args:
            device: Where the model goes; None for the accelerator, or the CPU if there is none.
            task: Which head to put on it; None for the backbone alone.
            num_labels: Classes.
            label_names: Their names.
        """
        tokenizer = self.load_tokenizer()
        model = load_model(
            self.name_or_path,
            task=task,
            num_labels=num_labels,
            label_names=label_names,
            bits=self.bits,
            config_overrides=self.config_overrides,
            dtype="float32" if self.dtype == "auto" and task else self.dtype,
            revision=self.revision,
            attn_implementation=self.attn_implementation,
            trust_remote_code=self.trust_remote_code,
        )
        set_pad_token(model, tokenizer)
        where = device or default_device()
        torch.nn.Module.to(model, where)
        return model, tokenizer
