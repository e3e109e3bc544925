"""SoRA's gates really close, by proximal steps that meet the budget, and plain LoRA is left."""

import torch
from transformers import (
    BertForSequenceClassification,
    LlamaForCausalLM,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from gelora.adapters import adapter_parameters
from gelora.lab.baselines import Setting, Size, find_method
from gelora.lab.baselines.gates import gated_layers
from gelora.lab.baselines.sora import ProximalStep, smallest_surplus, soft_threshold
from tiny_adapters import logits
from tiny_methods import (
    SETTING,
    apply_method,
    changed,
    fit_tiny,
    fit_whole_and_resumed,
    reloaded,
    trainable,
    values,
)
from tiny_models import tiny_bert, tiny_llama

COST = 32 + 32
MODULES = 3 * 4
BUDGET = 24 * COST  # two ranks in every module


def bert():
    return tiny_bert(BertForSequenceClassification)


class Watch(TrainerCallback):
    """Remembers how many gates are open after every step."""

    def __init__(self, model):
        self.layers, self.num_open = gated_layers(model), []

    def on_step_end(self, args, state, control, **kwargs):
        self.num_open.append(sum(int((one.gates.values != 0).sum()) for one in self.layers))


def test_the_threshold_is_the_proximal_map_of_the_l1_norm(seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(20, generator=generator, dtype=torch.float64)
    strength = torch.rand((), generator=generator, dtype=torch.float64)

    def objective(x):
        return (x - values) ** 2 / 2 + strength * x.abs()

    nearest = soft_threshold(values, strength)
    for move in (-1e-3, 1e-3):
        assert (objective(nearest + move) > objective(nearest)).all()


def test_what_is_above_the_surplus_fits_the_budget_and_one_more_does_not(seed):
    generator = torch.Generator().manual_seed(seed)
    magnitudes = torch.rand(30, generator=generator)
    costs = torch.randint(1, 9, (30,), generator=generator)
    budget = int(torch.randint(1, int(costs.sum()), (), generator=generator))
    surplus = smallest_surplus(magnitudes, costs, budget)
    assert costs[magnitudes > surplus].sum() <= budget
    assert costs[magnitudes >= surplus].sum() > budget


def test_gates_that_the_loss_leaves_alone_close_at_one_pace_to_the_budget():
    applied = apply_method("sora", bert(), budget=BUDGET)
    layers, (step,) = gated_layers(applied.model), applied.callbacks
    initial = torch.stack([one.gates.values.detach().clone() for one in layers])
    closing = initial.abs().flatten().sort(descending=True).values[24]
    for done in range(10):
        state = TrainerState(max_steps=10, global_step=done)
        step.on_optimizer_step(TrainingArguments("unused"), state, TrainerControl())
        now = torch.stack([one.gates.values.detach() for one in layers])
        expected = soft_threshold(initial, closing * (done + 1) / 10)
        torch.testing.assert_close(now, expected, atol=1e-6, rtol=0)
    assert int((now != 0).sum()) == 24


def test_it_begins_with_the_budget_s_rank_over_seven_tenths():
    for ranks, initial in ((1, 2), (2, 3), (4, 6), (8, 12), (32, 32)):
        applied = apply_method("sora", bert(), budget=ranks * MODULES * COST)
        assert {len(one.gates.values) for one in gated_layers(applied.model)} == {initial}


def test_before_training_the_model_computes_what_it_did():
    expected = logits(bert())
    torch.testing.assert_close(logits(apply_method("sora", bert(), budget=BUDGET).model), expected)


def test_what_trains_is_a_b_the_gates_and_the_head():
    names = trainable(apply_method("sora", bert(), budget=BUDGET).model)
    heads = {name for name in names if ".classifier.modules_to_save" in name}
    assert len(heads) == 2
    assert len(names - heads) == 3 * MODULES
    assert all(".lora_" in name for name in names - heads)


def test_gates_close_in_training_to_the_budget_and_the_plain_adapter_is_the_same(tmp_path):
    applied = apply_method("sora", bert(), budget=BUDGET)
    model, before, watch = applied.model, values(applied.model), Watch(applied.model)
    losses = fit_tiny(model, tmp_path, callbacks=[*applied.callbacks, watch])
    assert losses[-1] < 0.8 * losses[0]
    assert changed(model, before) == trainable(model)
    assert watch.num_open[0] > 30
    assert watch.num_open[-1] == 24
    expected = logits(model.eval())

    plain = applied.finish(model)
    assert adapter_parameters(plain) == find_method("sora").size(bert(), BUDGET, SETTING).parameters
    torch.testing.assert_close(logits(plain), expected)
    torch.testing.assert_close(logits(reloaded(plain, bert(), tmp_path)), expected)


def test_resumed_training_is_the_same_bit_for_bit(tmp_path):
    whole, resumed = (apply_method("sora", bert(), budget=BUDGET) for _ in range(2))
    fit_whole_and_resumed(whole, resumed, tmp_path, max_steps=12, save_steps=4)
    assert changed(resumed.model, values(whole.model)) == set()


def test_where_ranks_differ_in_cost_the_budget_is_met_to_one_rank(tmp_path):
    setting = Setting(problem="instruction_tuning")
    model = tiny_llama(LlamaForCausalLM)
    assert find_method("sora").size(model, 1000, setting) == Size(18, 1008)
    applied = apply_method("sora", model, budget=1000, problem="instruction_tuning")
    (step,) = applied.callbacks
    assert isinstance(step, ProximalStep)
    step.on_optimizer_step(TrainingArguments("unused"), TrainerState(max_steps=1), TrainerControl())
    assert 1008 - 64 < adapter_parameters(applied.finish(applied.model)) <= 1008
