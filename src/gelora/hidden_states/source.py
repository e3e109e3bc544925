"""Where a model comes from and how it is loaded: one frozen value that other processes can take."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from gelora.hidden_states.devices import computes_fast_in, default_device
from gelora.hidden_states.loading import (
    EMBEDDED_MODEL,
    Dtype,
    load_model,
    load_outline,
    load_tokenizer,
    set_pad_token,
    stored_dtype,
)
from gelora.hidden_states.quantization import Bits
from gelora.problems import Problem

logger = logging.getLogger(__name__)


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

    def outline(self, *, task: Problem | None, num_labels: int = 2) -> PreTrainedModel:
        """Make the model without its weights, as `load_outline` does."""
        return load_outline(
            self.name_or_path,
            task=task,
            num_labels=num_labels,
            config_overrides=self.config_overrides,
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
        where = device or default_device()
        model = load_model(
            self.name_or_path,
            task=task,
            num_labels=num_labels,
            label_names=label_names,
            bits=self.bits,
            config_overrides=self.config_overrides,
            dtype="float32" if self.dtype == "auto" and task else self._dtype_on(where),
            revision=self.revision,
            attn_implementation=self.attn_implementation,
            trust_remote_code=self.trust_remote_code,
        )
        set_pad_token(model, tokenizer)
        torch.nn.Module.to(model, where)
        return model, tokenizer

    def _dtype_on(self, device: torch.device) -> Dtype:
        """Return the format of the weights: float32 where the stored one is slow, unless named."""
        if self.bits is not None or device.type != "cpu":
            return self.dtype
        if self.dtype == "auto":
            stored = stored_dtype(
                self.name_or_path, revision=self.revision, trust_remote_code=self.trust_remote_code
            )
            if stored is None or computes_fast_in(stored, device):
                return "auto"
            logger.info(
                "The weights are stored in %s, in which this processor is slow, so they are loaded "
                "in float32.",
                str(stored).removeprefix("torch."),
            )
            return "float32"
        if not computes_fast_in(getattr(torch, self.dtype), device):
            logger.warning(
                "Warning: this processor does not multiply %s by itself, so it is many times "
                "slower than --dtype float32.",
                self.dtype,
            )
        return self.dtype
