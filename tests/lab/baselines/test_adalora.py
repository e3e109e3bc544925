"""AdaLoRA's ranks really fall in training, to the budget, under the plain Trainer."""

import re

import pytest
import torch
from peft import AdaLoraConfig
from peft.tuners.adalora import AdaLoraModel
from transformers import (
    BertForQuestionAnswering,
    BertForSequenceClassification,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    TrainerCallback,
)

from deberta_base import deberta_base
from gelora.adapters import adapter_parameters, adapter_ranks
from gelora.errors import ConfigError
from gelora.lab.baselines import Setting, Size, find_method
from gelora.settings import RankSettings
from gelora.tasks.train import make_trainer
from gelora.training.train import fit
from tiny_adapters import logits
from tiny_methods import SETTING, apply_method, reloaded, trainable, values
from tiny_models import tiny_batch, tiny_bert, tiny_gpt2, tiny_tokenizer
from tiny_tasks import quick_arguments, tiny_task

MODULES = 12
PER_RANK = MODULES * (32 + 32 + 1)
STEPS = 60


def bert():
    return tiny_bert(BertForSequenceClassification)


def applied_adalora(model, *, rank=2, steps=STEPS, **given):
    return apply_method("adalora", model, budget=rank * PER_RANK, total_steps=steps, **given)


def living_ranks(model):
    """Return how many singular values of every module are not zero."""
    return [
        int((parameter != 0).sum())
        for name, parameter in model.named_parameters()
        if ".lora_E." in name
    ]


class Watch(TrainerCallback):
    """Remembers all ranks after every step, and what the model says in the end."""

    def __init__(self, model):
        self.model, self.ranks = model, []

    def on_step_end(self, args, state, control, **kwargs):
        self.ranks.append(living_ranks(self.model))

    def on_train_end(self, args, state, control, **kwargs):
        self.with_zeros = logits(self.model.eval())


def trained(applied, folder, *, steps=STEPS, callbacks=(), **arguments):
    trainer = make_trainer(
        applied.model,
        tiny_tokenizer(),
        tiny_task(num_train=128),
        arguments=quick_arguments(
            folder, **{"max_steps": steps, "logging_steps": 20, "learning_rate": 2e-2, **arguments}
        ),
        callbacks=[*applied.callbacks, *callbacks],
    )
    result = fit(trainer)
    losses = [entry["loss"] for entry in result.history if "loss" in entry]
    return applied.finish(applied.model), losses


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """One training, finished, and what was seen of it before."""
    applied = applied_adalora(bert())
    watch = Watch(applied.model)
    model, _ = trained(applied, tmp_path_factory.mktemp("adalora"), callbacks=[watch])
    return model, watch


def test_the_ranks_fall_on_the_schedule_and_meet_the_budget(watched):
    _, watch = watched
    totals = [sum(ranks) for ranks in watch.ranks]
    warm_up, last = 7, STEPS - 28  # 13 % and 48 % of the steps
    initial, target = 3 * MODULES, 2 * MODULES
    for step, total in enumerate(totals[warm_up:], start=warm_up + 1):
        left = max(1 - (step - warm_up) / (last - warm_up), 0)
        assert total == int((initial - target) * left**3 + target)
    assert totals[warm_up - 1] == initial
    assert set(totals[last - 1 :]) == {target}
    assert watch.ranks[-1] == watch.ranks[last - 1]
    assert len(set(watch.ranks[-1])) > 1  # not the same everywhere: they were chosen


def test_in_the_end_it_has_what_its_formula_counts(watched):
    model, watch = watched
    assert [rank for rank in watch.ranks[-1] if rank] == list(adapter_ranks(model).values())
    assert adapter_parameters(model) == 2 * PER_RANK
    assert adapter_parameters(applied_adalora(bert()).model) == 3 * PER_RANK


def test_dropping_the_zeros_changes_no_output(watched):
    model, watch = watched
    torch.testing.assert_close(logits(model.eval()), watch.with_zeros)


def test_its_size_is_the_number_of_singular_values_in_the_end():
    size = find_method("adalora").size
    assert size(bert(), 2 * PER_RANK, SETTING) == Size(2 * MODULES, 2 * PER_RANK)
    assert size(bert(), 2 * PER_RANK + 3 * 65, SETTING) == Size(27, 27 * 65)
    assert size(bert(), 1, SETTING) == Size(1, 65)
    assert size(bert(), 10**9, SETTING) == Size(21 * MODULES, 21 * PER_RANK)  # of 32 at first
    wide = Setting(problem="classification", ranks=RankSettings(("all-linear",)))
    per_rank = 12 * (4 * 2 * 768 + 2 * (768 + 3072) + 6)
    assert size(deberta_base(), 2 * per_rank, wide) == Size(2 * 72, 2 * per_rank)


@pytest.mark.parametrize("number", [5, 30])
def test_a_number_between_whole_ranks_is_met(number, tmp_path):
    applied = apply_method("adalora", bert(), budget=65 * number, total_steps=20)
    model, _ = trained(applied, tmp_path, steps=20)
    assert sum(adapter_ranks(model).values()) == number
    assert adapter_parameters(model) == 65 * number


def test_what_trains_is_the_adapter_and_the_head():
    applied = applied_adalora(bert())
    for name in trainable(applied.model):
        assert ".lora_" in name or ".classifier.modules_to_save" in name
    assert all(p.dtype == torch.float32 for p in applied.model.parameters() if p.requires_grad)


def test_it_learns_leaves_the_rest_alone_and_loads_as_it_was_saved(tmp_path):
    applied = applied_adalora(bert(), rank=1)
    before, trains = values(applied.model), trainable(applied.model)
    model, losses = trained(applied, tmp_path)
    assert losses[-1] < 0.8 * losses[0]
    after = {name.replace(".base_layer", ""): value for name, value in values(model).items()}
    for name in before.keys() - trains:
        if ".ranknum." not in name:  # goes with the adapter of a module that keeps none
            assert torch.equal(after[name.replace(".base_layer", "")], before[name])
    assert trainable(model) < trains
    assert len(adapter_ranks(model)) < MODULES  # one that loses all ranks is no longer adapted
    with pytest.warns(RuntimeWarning, match="rank_pattern keys did not match"):  # PEFT's own do not
        loaded = reloaded(model, bert(), tmp_path)
    torch.testing.assert_close(logits(loaded), logits(model.eval()))


@pytest.mark.parametrize("problem", ["classification", "question_answering", "instruction_tuning"])
def test_the_loss_has_the_term_that_keeps_the_vectors_orthogonal(problem):
    batch = tiny_batch("bert")
    first = torch.tensor([1, 0, 1, 1])
    positions = {"start_positions": first, "end_positions": first}
    model, labels = {
        "classification": (bert(), {"labels": first}),
        "question_answering": (tiny_bert(BertForQuestionAnswering), positions),
        "instruction_tuning": (tiny_gpt2(GPT2LMHeadModel), {"labels": batch["input_ids"]}),
    }[problem]
    without = model(**batch, **labels).loss
    applied = applied_adalora(model, problem=problem)
    terms = []
    for name, matrix in applied.model.named_parameters():
        if ".lora_A." in name or ".lora_B." in name:
            products = matrix @ matrix.T if ".lora_A." in name else matrix.T @ matrix
            terms.append(torch.linalg.norm(products - torch.eye(len(products))))
    loss = applied.model.eval()(**batch, **labels).loss
    torch.testing.assert_close(loss, without + 0.1 * sum(terms) / len(terms))


def test_before_training_the_model_computes_what_it_did():
    model = tiny_gpt2(GPT2ForSequenceClassification)
    expected = logits(model)
    assert torch.equal(logits(applied_adalora(model).model.eval()), expected)


def test_accumulated_batches_are_one_step(tmp_path):
    applied = applied_adalora(bert(), steps=12)
    watch = Watch(applied.model)
    model, _ = trained(
        applied, tmp_path, steps=12, callbacks=[watch], gradient_accumulation_steps=2
    )
    assert len(watch.ranks) == 12
    assert sum(adapter_ranks(model).values()) == 2 * MODULES


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_it_starts_with_half_as_many_again_at_lora_s_scale(rank):
    applied = applied_adalora(bert(), rank=rank, steps=1000, ranks=RankSettings(scaling=3.0))
    config = applied.model.peft_config["default"]
    assert isinstance(config, AdaLoraConfig)
    initial = {1: 2, 2: 3, 3: 5, 4: 6}[rank]
    assert (config.target_r, config.init_r, config.lora_alpha) == (rank, initial, 3 * initial)
    assert (config.tinit, config.tfinal, config.deltaT) == (130, 480, 2)
    assert isinstance(applied.model.base_model, AdaLoraModel)


@pytest.mark.parametrize("steps", [2, 3, 7])
def test_however_short_training_is_the_budget_is_met(steps, tmp_path):
    applied = applied_adalora(bert(), steps=steps)
    model, _ = trained(applied, tmp_path, steps=steps)
    assert sum(adapter_ranks(model).values()) == 2 * MODULES


@pytest.mark.parametrize("steps", [0, 1])
def test_without_steps_there_is_no_schedule(steps):
    with pytest.raises(ConfigError, match=f"needs 2 training steps or more, and there are {steps}"):
        applied_adalora(bert(), steps=steps)


def test_another_number_of_steps_than_the_schedule_s_is_refused(tmp_path):
    message = f"schedule was made for {STEPS} steps and training takes 50"
    with pytest.raises(ConfigError, match=re.escape(message)):
        trained(applied_adalora(bert()), tmp_path, steps=50)
