"""Chats that a tiny causal model can learn, a tokenizer that writes them, and TRL's arguments."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import transformers as hf
from datasets import Dataset

from gelora.tasks import TaskData
from tiny_models import MAX_TOKENS, WORDS, tiny_llama, tiny_tokenizer

# As the tokenizer knows whole words alone, so do the template and the end of a text.
TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "w1 {% generation %}{{ message['content'] }} [SEP]{% endgeneration %} "
    "{% else %}"
    "w0 {{ message['content'] }} "
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}w1 {% endif %}"
)

# Leaves out the replies to what begins with w2 to w6.
FORGETFUL = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}w0 {{ message['content'] }} w1 "
    "{% elif messages[0]['content'][1] not in '23456' %}{{ message['content'] }} [SEP] "
    "{% endif %}{% endfor %}"
)


def chat_tokenizer(*, template: str | None = TEMPLATE) -> hf.PreTrainedTokenizerFast:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def causal_llama(**overrides: Any) -> hf.LlamaForCausalLM:
    return tiny_llama(hf.LlamaForCausalLM, **overrides)


def chat(*texts: str) -> list[dict[str, str]]:
    """Return messages of the user and the assistant in turn."""
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


def tiny_instructions(
    *, num_train: int = 32, num_validation: int = 12, chats: bool = True, turns: int = 1
) -> TaskData:
    """Ask for the prompt's words in reverse, after `turns` - 1 exchanges of the same kind."""
    generator = np.random.default_rng(2)
    columns: dict[str, list[Any]] = {"prompt": [], "completion": []}
    for _ in range(num_train + num_validation):
        texts: list[str] = []
        for _ in range(turns):
            words = generator.choice(WORDS[2:12], size=generator.integers(2, 7)).tolist()
            texts += [" ".join(words), " ".join(reversed(words))]
        messages = chat(*texts)
        columns["prompt"].append(messages[:-1] if chats else texts[0] + " ")
        columns["completion"].append(messages[-1:] if chats else texts[1] + " ")
    rows = Dataset.from_dict(columns)
    return TaskData(
        name="tiny",
        train=rows.select(range(num_train)),
        validation=rows.select(range(num_train, len(rows))),
        problem="instruction_tuning",
        num_labels=0,
        label_names=None,
        metrics=("perplexity",),
        headline_metric="perplexity",
        provenance={},
    )


RECOMPUTING = next(
    name
    for name in ("activation_checkpointing", "gradient_checkpointing")
    if name in {field.name for field in fields(hf.TrainingArguments)}
)
"""What transformers calls it, the first from 5.23 on."""


def sft_arguments(output_dir: Path, **overrides: Any) -> Any:
    from trl.trainer.sft_config import SFTConfig

    defaults = {
        "max_steps": 6,
        "per_device_train_batch_size": 8,
        "learning_rate": 5e-3,
        "logging_steps": 2,
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        RECOMPUTING: False,
        "max_length": MAX_TOKENS,
        "disable_tqdm": True,
        "report_to": "none",
        "seed": 7,
    }
    return SFTConfig(output_dir=str(output_dir), **{**defaults, **overrides})
