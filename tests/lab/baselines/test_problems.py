"""The methods that adapt with ranks, where questions are answered and instructions followed."""

from dataclasses import replace
from functools import partial

import pytest
from transformers import BertForQuestionAnswering, set_seed

from example_profiles import profile_of
from gelora.adapters import adapter_parameters
from gelora.lab.baselines import Setting, find_method
from gelora.tasks.evaluate import evaluate
from gelora.tasks.train import make_trainer
from gelora.training.train import fit
from tiny_chats import causal_llama, chat_tokenizer, sft_arguments, tiny_instructions
from tiny_methods import trainable
from tiny_models import tiny_bert, tiny_tokenizer
from tiny_questions import tiny_questions
from tiny_tasks import quick_arguments

pytestmark = [
    pytest.mark.slow,
    # of torch, when TRL's imports have it compile
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]

STEPS = 30
NAMES = ("dora", "pissa", "eva", "adalora", "gelora-rslora")


def trained(name, problem, folder):
    """Train, and return the model before and after `finish`, its losses and its size."""
    if problem == "question_answering":
        model, tokenizer = tiny_bert(BertForQuestionAnswering), tiny_tokenizer()
        data, arguments = tiny_questions(num_train=64, max_words=24), quick_arguments
    else:
        model, tokenizer = causal_llama(), chat_tokenizer()
        data, arguments = tiny_instructions(num_train=64), sft_arguments
    arguments = arguments(folder, max_steps=STEPS, logging_steps=10, learning_rate=1e-2)
    maker = partial(make_trainer, tokenizer=tokenizer, data=data, arguments=arguments)
    trainer = maker(model)
    setting = Setting(
        problem=problem,
        total_steps=STEPS,
        profile=profile_of(model),
        batches=lambda: (dict(batch) for batch in trainer.get_train_dataloader()),
    )
    method = find_method(name)
    size = method.size(model, 2000, setting)
    set_seed(0)
    applied = method.apply(model, size, setting)
    fitted = fit(maker(applied.model, callbacks=applied.callbacks))
    losses = [entry["loss"] for entry in fitted.history if "loss" in entry]
    finished = applied.finish(applied.model)
    return replace(applied, model=finished), losses, size, evaluate(finished, tokenizer, data)


@pytest.mark.parametrize("name", NAMES)
def test_questions_are_learned(name, tmp_path):
    applied, losses, size, metrics = trained(name, "question_answering", tmp_path)
    assert losses[-1] < 0.95 * losses[0]
    assert metrics["f1"].value > 0
    assert adapter_parameters(applied.model) == size.parameters
    assert any("qa_outputs" in name for name in trainable(applied.model))


@pytest.mark.parametrize("name", NAMES)
def test_instructions_are_learned(name, tmp_path):
    applied, losses, _, metrics = trained(name, "instruction_tuning", tmp_path)
    assert losses[-1] < 0.95 * losses[0]
    assert metrics["perplexity"].value > 1
    assert all(".lora_" in name for name in trainable(applied.model))
