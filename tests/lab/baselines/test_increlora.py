"""IncreLoRA's ranks really grow, where training finds it important, to the budget."""

import pytest
import torch
from transformers import (
    BertForSequenceClassification,
    GPT2ForSequenceClassification,
    LlamaForCausalLM,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from gelora.adapters import adapter_parameters, adapter_ranks
from gelora.lab.baselines import Setting, Size, find_method
from gelora.lab.baselines.gates import gated_layers
from gelora.lab.baselines.increlora import ROUNDS, Growth, orthogonality_gradient
from tiny_adapters import logits
from tiny_methods import (
    SETTING,
    apply_method,
    changed,
    fit_tiny,
    fit_whole_and_resumed,
    reloaded,
    tiny_batches,
    trainable,
    values,
)
from tiny_models import tiny_bert, tiny_gpt2, tiny_llama

COST = 32 + 32
MODULES = 3 * 4
BUDGET = 24 * COST  # two ranks in every module on average
CONTROL = TrainerControl()


def bert():
    return tiny_bert(BertForSequenceClassification)


def applied_increlora(model, *, budget=BUDGET, **setting):
    return apply_method("increlora", model, budget=budget, **{"total_steps": 80, **setting})


def ranks_of(model):
    return [int(one.gates.rank) for one in gated_layers(model)]


class Watch(TrainerCallback):
    """Remembers all ranks after every step."""

    def __init__(self, model):
        self.model, self.ranks = model, []

    def on_step_end(self, args, state, control, **kwargs):
        self.ranks.append(ranks_of(self.model))


def growth_of(applied):
    (growth,) = applied.callbacks
    assert isinstance(growth, Growth)
    return growth


def started(applied, folder, *, max_steps):
    """Return the callback as it is when training begins, and the arguments of its events."""
    arguments = TrainingArguments(str(folder), use_cpu=True)
    growth = growth_of(applied)
    growth.on_train_begin(arguments, TrainerState(max_steps=max_steps), CONTROL)
    return growth, arguments


def test_ranks_grow_in_training_to_the_budget_and_the_plain_adapter_is_the_same(tmp_path):
    applied = applied_increlora(bert())
    model, before, watch = applied.model, values(applied.model), Watch(applied.model)
    losses = fit_tiny(
        model, tmp_path, callbacks=[*applied.callbacks, watch], learning_rate=2e-2, max_steps=80
    )
    assert losses[-1] < 0.8 * losses[0]
    assert changed(model, before) == trainable(model)
    assert watch.ranks[0] == MODULES * [1]
    totals = [sum(ranks) for ranks in watch.ranks]
    assert totals == sorted(totals)
    assert len(set(totals)) == 1 + ROUNDS  # one triplet in each round
    assert totals[len(totals) // 2] == totals[-1] == 24
    assert len(set(watch.ranks[-1])) > 1
    expected = logits(model.eval())

    plain = applied.finish(model)
    assert list(adapter_ranks(plain).values()) == watch.ranks[-1]
    assert adapter_parameters(plain) == BUDGET
    torch.testing.assert_close(logits(plain), expected)
    torch.testing.assert_close(logits(reloaded(plain, bert(), tmp_path)), expected)


@pytest.mark.parametrize(
    "make",
    [
        bert,
        lambda: tiny_gpt2(GPT2ForSequenceClassification, pad_token_id=0),  # transposed weights
    ],
)
def test_a_module_s_importance_is_the_sum_of_its_update_times_the_gradient_there(make, tmp_path):
    applied = applied_increlora(make())
    growth, arguments = started(applied, tmp_path, max_steps=100)
    layers, weights = gated_layers(applied.model), []
    with torch.no_grad():
        for one in layers:
            one.gates.values[0] = 0.3
            weight = one.layer.get_base_layer().weight
            weights.append(weight.requires_grad_())
    batch = tiny_batches(4)[0]
    applied.model.eval()(**batch).loss.backward()
    for one, weight, importance in zip(layers, weights, growth.importances, strict=True):
        # What is added to a weight has the weight's own gradient.
        update = one.layer.get_delta_weight("default")
        expected = (update * weight.grad).abs().sum() / weight.numel() ** 0.5
        torch.testing.assert_close(importance, expected.detach(), rtol=1e-4, atol=0)
    growth.on_pre_optimizer_step(arguments, TrainerState(), CONTROL)
    for one, importance in zip(layers, growth.importances, strict=True):
        score = 0.15 * importance * 0.15 * 0.85 * importance  # as if it had been 0 before
        torch.testing.assert_close(one.gates.score(), score.item(), rtol=1e-4, atol=0)


def test_the_modules_with_the_highest_scores_grow_and_by_half_the_mean_rank(tmp_path):
    applied = applied_increlora(bert(), budget=8 * MODULES * COST)
    growth, arguments = started(applied, tmp_path, max_steps=2 * (ROUNDS + 1))
    assert (growth.modules, growth.number) == (2, 4)
    state = TrainerState(max_steps=26, global_step=1)
    growth.on_pre_optimizer_step(arguments, state, CONTROL)
    for index, (_, triplets) in enumerate(growth.layers):
        triplets.observe(torch.tensor(float(index % 5)), 0.85)
    growth.on_optimizer_step(arguments, state, CONTROL)
    assert [i for i, rank in enumerate(ranks_of(applied.model)) if rank == 5] == [4, 9]
    assert sum(ranks_of(applied.model)) == MODULES + 2 * 4


def test_the_gradient_of_the_penalty(seed):
    torch.manual_seed(seed)
    vectors = torch.randn(5, 7, requires_grad=True)
    is_open = torch.tensor([True, True, False, True, False])[:, None]
    (vectors[is_open.flatten()] @ vectors[is_open.flatten()].T - torch.eye(3)).norm().backward()
    found = orthogonality_gradient(vectors.detach(), is_open)
    torch.testing.assert_close(found, vectors.grad)
    orthogonal = torch.linalg.qr(torch.randn(7, 7))[0][:5]
    assert orthogonality_gradient(2 * orthogonal, is_open)[~is_open.flatten()].abs().max() == 0


def test_vectors_that_are_orthonormal_already_stay_as_they_are():
    is_open = torch.tensor([True, True, False])[:, None]
    assert torch.equal(orthogonality_gradient(torch.eye(3), is_open), torch.zeros(3, 3))


def test_the_penalty_is_a_tenth_of_the_mean_over_all_vectors(tmp_path):
    applied = applied_increlora(bert())
    growth, arguments = started(applied, tmp_path, max_steps=100)
    norms = []
    for one, triplets in growth.layers:
        number = int(triplets.is_open().sum())
        vectors = (one.a[:number], one.b[:, :number].T)
        norms += [(rows @ rows.T - torch.eye(number)).norm() for rows in vectors]
    (0.1 * torch.stack(norms).mean()).backward()
    expected = [(one.a.grad.clone(), one.b.grad.clone()) for one, _ in growth.layers]
    for one, _ in growth.layers:
        one.a.grad.zero_()
        one.b.grad.zero_()
    growth.on_pre_optimizer_step(arguments, TrainerState(), CONTROL)
    found = [(one.a.grad, one.b.grad) for one, _ in growth.layers]
    torch.testing.assert_close(found, expected)


def test_vectors_begin_small_and_at_random():
    applied = applied_increlora(bert())
    for one in gated_layers(applied.model):
        for vectors in (one.a, one.b):
            assert 0.017 < vectors.std() < 0.023


@pytest.mark.parametrize("grown_at", [8, 52], ids=["first round", "last round"])
def test_what_is_new_takes_shorter_steps(grown_at, tmp_path):
    applied = applied_increlora(bert())
    growth, arguments = started(applied, tmp_path, max_steps=8 * (ROUNDS + 1))
    assert growth.interval == 4
    growth.layers[3][1].grow(1, step=grown_at)
    state = TrainerState(max_steps=104, global_step=grown_at)
    growth.on_pre_optimizer_step(arguments, state, CONTROL)
    before = values(applied.model)
    with torch.no_grad():
        for one, _ in growth.layers:
            for parameter in (one.gates.values, one.a, one.b):
                parameter.add_(1)
    growth.on_optimizer_step(arguments, state, CONTROL)
    moved = {name: value - before[name] for name, value in values(applied.model).items()}
    first, grown = gated_layers(applied.model)[0].name, gated_layers(applied.model)[3].name

    def steps(name, part):
        return moved[f"base_model.model.{name}.{part}"]

    for name, value, vector in ((first, 1.0, 1.0), (grown, 0.25, 0.25)):
        of_values = steps(name, "lora_A.default.parametrizations.weight.0.values")
        of_a = steps(name, "lora_A.default.parametrizations.weight.original")
        of_b = steps(name, "lora_B.default.weight")
        torch.testing.assert_close(of_values[1].item(), value, atol=1e-6, rtol=0)
        for rows in (of_a, of_b.T):
            torch.testing.assert_close(rows[:2], torch.ones_like(rows[:2]), atol=1e-5, rtol=0)
            torch.testing.assert_close(rows[2].mean().item(), vector, atol=1e-5, rtol=0)


def test_what_trains_is_what_adalora_trains_and_the_head():
    names = trainable(applied_increlora(bert()).model)
    heads = {name for name in names if ".classifier.modules_to_save" in name}
    assert len(heads) == 2
    assert len(names - heads) == 3 * MODULES


def test_before_training_the_model_computes_nearly_what_it_did():
    expected = logits(bert())
    model = applied_increlora(bert()).model
    torch.testing.assert_close(logits(model), expected, atol=1e-5, rtol=0)


def test_every_module_has_a_rank_whatever_the_budget():
    size = find_method("increlora").size
    assert size(bert(), 1, SETTING) == Size(MODULES, MODULES * COST)
    assert size(bert(), BUDGET + COST, SETTING) == Size(25, BUDGET + COST)


def test_at_one_rank_a_module_there_is_nothing_to_grow(tmp_path):
    applied = applied_increlora(bert(), budget=1)
    fit_tiny(applied.model, tmp_path, callbacks=applied.callbacks, max_steps=3)
    assert set(adapter_ranks(applied.finish(applied.model)).values()) == {1}


def test_where_ranks_differ_in_cost_the_budget_is_met_to_one_rank(tmp_path):
    model = tiny_llama(LlamaForCausalLM)
    setting = Setting(problem="instruction_tuning")
    budget = find_method("increlora").size(model, 1500, setting).parameters
    applied = applied_increlora(model, budget=1500, problem="instruction_tuning")
    growth, arguments = started(applied, tmp_path, max_steps=40)
    for step in range(20):
        growth.on_optimizer_step(arguments, TrainerState(global_step=step + 20), CONTROL)
    assert budget - 48 < adapter_parameters(applied.finish(applied.model)) <= budget


def test_resumed_training_is_the_same_bit_for_bit(tmp_path):
    whole, resumed = (applied_increlora(bert()) for _ in range(2))
    fit_whole_and_resumed(whole, resumed, tmp_path, max_steps=24, save_steps=8)
    assert ranks_of(resumed.model) == ranks_of(whole.model)
    assert sum(ranks_of(whole.model)) == 24
    assert changed(resumed.model, values(whole.model)) == set()


@pytest.mark.parametrize("steps", [3, 4, 6, 10, 30])
def test_the_budget_is_met_in_few_steps_too(steps, tmp_path):
    applied = applied_increlora(bert(), budget=8 * MODULES * COST, total_steps=steps)
    fit_tiny(applied.model, tmp_path, callbacks=applied.callbacks, max_steps=steps)
    assert sum(ranks_of(applied.model)) == 8 * MODULES


def test_no_hook_is_left_on_the_model(tmp_path):
    applied = applied_increlora(bert())
    fit_tiny(applied.model, tmp_path, callbacks=applied.callbacks, max_steps=2)
    assert not any(module._forward_hooks for module in applied.model.modules())
