"""Measure, plan, and train with a loop of your own: after `lora_config` it is ordinary PEFT.

    python examples/own_loop.py MODEL reviews.jsonl OUTPUT_FOLDER

Each line of the file is {"text": "...", "label": 0}. The adapter that is saved loads where gelora
is not installed.
"""

import json
import sys
from pathlib import Path

import torch
from peft import get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed

import gelora

BATCH_SIZE = 16
EPOCHS = 3


def main(name: str, file: str, folder: str) -> None:
    """Train an adapter of `name` on `file`, and save it with its profile and plan."""
    rows = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]
    texts, labels = [row["text"] for row in rows], torch.tensor([row["label"] for row in rows])
    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForSequenceClassification.from_pretrained(
        name, num_labels=int(labels.max()) + 1
    )

    profile = gelora.measure_dimensions(model, tokenizer, texts)
    plan = gelora.plan_ranks(profile)
    config = gelora.lora_config(model, plan)  # the head is trained with it
    model = get_peft_model(model, config)
    gelora.verify_ranks(model, plan)

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3)
    model.train()
    for epoch in range(EPOCHS):
        total = 0.0
        for batch in torch.randperm(len(texts)).split(BATCH_SIZE):
            chosen = [texts[i] for i in batch.tolist()]
            inputs = tokenizer(chosen, padding=True, truncation=True, return_tensors="pt")
            loss = model(**inputs, labels=labels[batch]).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            total += loss.item() * len(batch)
        print(f"epoch {epoch + 1}: loss {total / len(texts):.3f}")

    model.save_pretrained(folder)
    profile.save_pretrained(folder)
    plan.save_pretrained(folder)
    print(f"ranks {', '.join(map(str, plan.ranks))}; adapter in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
