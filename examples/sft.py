"""Tune a causal model on chats with TRL's SFTTrainer, and watch the dimensions move in training.

    pip install 'gelora[sft]'
    python examples/sft.py MODEL chats.jsonl OUTPUT_FOLDER

Each line of the file is {"messages": [{"role": "user", "content": "..."}, ...]}, and the model's
tokenizer has a chat template. What is measured is what is trained on, token for token.
"""

import json
import sys
from pathlib import Path

import torch
from datasets import Dataset
from peft import get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
from trl import SFTConfig, SFTTrainer

import gelora

STEPS = 20
EVERY = 10


def main(name: str, file: str, folder: str) -> None:
    """Train an adapter of `name` on the chats of `file`, and save it."""
    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForCausalLM.from_pretrained(name)
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    chats = Dataset.from_list([json.loads(line) for line in lines])

    texts = gelora.Chats(chats["messages"])
    profile = gelora.measure_dimensions(model, tokenizer, texts)
    plan = gelora.plan_ranks(profile, budget="r=8")
    config = gelora.lora_config(model, plan)

    arguments = SFTConfig(
        output_dir=folder,
        max_steps=STEPS,
        logging_steps=5,
        bf16=torch.cuda.is_available(),
        report_to="none",
    )
    trainer = SFTTrainer(
        model=get_peft_model(model, config),
        args=arguments,
        train_dataset=chats,
        processing_class=tokenizer,
    )
    trainer.add_callback(gelora.DimensionCallback(trainer, plan, profile, texts=texts, every=EVERY))
    trainer.train()
    trainer.save_model()
    print(f"ranks {', '.join(map(str, plan.ranks))}; adapter in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
