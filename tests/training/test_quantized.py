"""QLoRA by the real bitsandbytes, on the CPU: adapters learn, the frozen bytes stay as they are."""

import pytest
import torch
from peft import PeftModel

from example_profiles import profile_of
from gelora.adapters import verify_saved_ranks
from gelora.hidden_states.loading import load_model
from gelora.ranks import plan_ranks
from gelora.tasks.evaluate import evaluate
from gelora.tasks.train import train
from tiny_chats import causal_llama, chat_tokenizer, sft_arguments, tiny_instructions
from tiny_models import save_tiny, tiny_deberta, tiny_tokenizer
from tiny_tasks import quick_arguments, tiny_task

STEPS = {"max_steps": 40, "eval_strategy": "steps", "eval_steps": 20, "logging_steps": 10}


@pytest.fixture(params=["classification", "instruction_tuning"])
def case(request, tmp_path):
    """Return the problem, the model's folder, the tokenizer, the data and the arguments' maker."""
    if request.param == "classification":
        model, tokenizer, data = tiny_deberta(), tiny_tokenizer(), tiny_task(num_train=128)
        arguments = quick_arguments
    else:
        model, tokenizer = causal_llama(), chat_tokenizer()
        data, arguments = tiny_instructions(num_train=64), sft_arguments
    return request.param, str(save_tiny(model, tokenizer, tmp_path)), tokenizer, data, arguments


@pytest.mark.parametrize("bits", [4, 8])
def test_adapters_learn_on_quantised_weights_and_load_with_plain_peft(case, bits, tmp_path):
    problem, folder, tokenizer, data, arguments = case
    torch.manual_seed(0)  # of a new head
    model = load_model(folder, task=problem, bits=bits, dtype="float32")
    plan = plan_ranks(profile_of(model))
    before = evaluate(model, tokenizer, data)[data.headline_metric].value  # as baselines do
    result = train(model, tokenizer, data, plan, arguments=arguments(tmp_path / "run", **STEPS))
    losses = [entry["eval_loss"] for entry in result.history if "eval_loss" in entry]
    assert len(losses) == 2
    assert losses[1] < losses[0]
    trainable = [p for p in result.model.parameters() if p.requires_grad]
    assert {p.dtype for p in trainable} == {torch.float32}
    after = evaluate(result.model, tokenizer, data)
    verify_saved_ranks(tmp_path / "run/adapter", plan)
    fresh = load_model(folder, task=problem, bits=bits, dtype="float32")
    loaded = PeftModel.from_pretrained(fresh, str(tmp_path / "run/adapter"))
    assert evaluate(loaded, tokenizer, data) == after
    assert after[data.headline_metric].value != before
    kept = dict(result.model.get_base_model().named_parameters())
    packed = {
        name: p
        for name, p in load_model(folder, task=problem, bits=bits).named_parameters()
        if p.dtype in (torch.uint8, torch.int8)
    }
    assert len(packed) >= 18
    for name, p in packed.items():
        adapted = name.replace(".weight", ".base_layer.weight")
        assert torch.equal(kept[adapted if adapted in kept else name], p), name
