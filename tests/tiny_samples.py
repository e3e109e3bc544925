"""Tiny models with heads in float64, and labelled samples of one row each."""

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from peft import LoraConfig, get_peft_model

from tiny_models import VOCAB_SIZE, tiny_bert, tiny_gpt2, tiny_llama, tiny_t5

Samples = list[dict[str, torch.Tensor]]

# A block's attention has 256 entries at most: its Fisher information can be written out.
NARROW = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16}


def classifier() -> Any:
    return tiny_bert(hf.BertForSequenceClassification, num_labels=3, **NARROW).double()


def regressor() -> Any:
    return tiny_bert(hf.BertForSequenceClassification, num_labels=1, **NARROW).double()


def answerer() -> Any:
    return tiny_bert(hf.BertForQuestionAnswering, **NARROW).double()


def writer() -> Any:
    """Return a Llama whose keys and values have one head of width 4."""
    return tiny_llama(hf.LlamaForCausalLM, **NARROW, num_key_value_heads=1).double()


def transposed_writer() -> Any:
    """Return a GPT-2, whose matrices are Conv1D's and one of them is fused."""
    return tiny_gpt2(hf.GPT2LMHeadModel, n_embd=8, n_head=2).double()


def two_stacks() -> Any:
    model = tiny_t5(
        hf.T5ForSequenceClassification, num_labels=3, d_model=8, d_kv=4, d_ff=16, num_heads=2
    )
    return model.double()


HEADS: dict[str, Callable[[], Any]] = {
    "classifier": classifier,
    "regressor": regressor,
    "answerer": answerer,
    "writer": writer,
    "transposed_writer": transposed_writer,
    "two_stacks": two_stacks,
}


def with_adapter(model: Any, *, is_trained: bool = True, **lora: Any) -> Any:
    """Adapt attention and MLP; B is zero before training."""
    config = LoraConfig(r=2, target_modules="all-linear", **lora)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        wrapped = get_peft_model(model, config).double()
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name and is_trained:
                torch.nn.init.normal_(parameter, std=0.3)
    return wrapped.eval()


LOSS_TERMS = {"answerer": 2.0, "regressor": 0.5}
"""What the model's own loss is to be multiplied by, where it is no mean over tokens."""


def samples_for(name: str, num_samples: int, *, seed: int = 0) -> Samples:
    """Draw texts of 5 to 9 tokens with labels as the head's own loss takes them.

    A language model's first two tokens are a prompt.
    """
    generator = torch.Generator().manual_seed(seed)

    def number(below: int) -> torch.Tensor:
        return torch.randint(below, (1,), generator=generator)

    samples: Samples = []
    for _ in range(num_samples):
        length = 5 + int(number(5))
        tokens = torch.randint(4, VOCAB_SIZE, (1, length), generator=generator)
        sample = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
        if "writer" in name:
            sample["labels"] = tokens.clone()
            sample["labels"][:, :2] = -100
        elif name == "answerer":
            sample["start_positions"], sample["end_positions"] = number(length), number(length)
        elif name == "regressor":
            sample["labels"] = torch.randn(1, generator=generator, dtype=torch.float64)
        else:
            if name == "two_stacks":  # it reads at the end of the text
                tokens[:, -1] = 2
            sample["labels"] = number(3)
        samples.append(sample)
    return samples


def likelihood_by_loss(name: str, model: Any, sample: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return log p(y|x) as the model's own loss gives it."""
    terms = LOSS_TERMS.get(name, 1.0)
    if "writer" in name:
        terms = float((sample["labels"][:, 1:] != -100).sum())
    return -terms * model(**sample).loss
