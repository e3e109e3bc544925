"""What becomes of each architecture of transformers at the default targets.

All are tiny and have random weights, so this shows that blocks and modules are found and trained,
not that their dimensions mean much.
"""

import pytest
import torch
import transformers as hf
from peft import get_peft_model

import gelora
from architectures.sweep_table import SWEEP, WORKS
from gelora.errors import GeloraError
from tiny_models import MORE_MODELS, TINY_MODELS, tiny_texts, tiny_tokenizer


def make(name):
    torch.manual_seed(0)
    if name in SWEEP:
        model_class = getattr(hf, name)
        return model_class(model_class.config_class(**SWEEP[name][0])).eval()
    return {**TINY_MODELS, **MORE_MODELS}[name]()


USUAL = sorted({*TINY_MODELS, *MORE_MODELS} - {"vit"})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*SWEEP, *USUAL])
def test_architecture_verdict(name):
    model, tokenizer = make(name), tiny_tokenizer()
    verdict = SWEEP[name][1] if name in SWEEP else WORKS
    if verdict != WORKS:
        with pytest.raises(GeloraError) as raised:
            gelora.measure_dimensions(model, tokenizer, tiny_texts(60))
        assert verdict in str(raised.value)
        return
    profile = gelora.measure_dimensions(model, tokenizer, tiny_texts(60))
    plan = gelora.plan_ranks(profile, budget="r=2")
    wrapped = get_peft_model(model, gelora.lora_config(plan, model))
    gelora.verify_ranks(wrapped, plan)
    adapted = [path for path, _ in wrapped.named_modules() if path.endswith("lora_A")]
    assert len(adapted) == len(plan.modules)
    assert not [path for path in adapted if "vision" in path or "visual" in path]


def test_most_text_architectures_work_at_default_targets():
    works = [name for name, (_, verdict) in SWEEP.items() if verdict == WORKS]
    assert len(works) + len(USUAL) >= 75
    assert len(SWEEP) + len(USUAL) >= 95


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["FNetModel", "XLNetModel"])
def test_the_advice_to_adapt_all_linear_gets_past_the_refusal(name):
    model = make(name)
    profile = gelora.measure_dimensions(
        model, tiny_tokenizer(), tiny_texts(60), target_modules="all-linear"
    )
    plan = gelora.plan_ranks(profile, target_modules="all-linear")
    gelora.verify_ranks(get_peft_model(model, gelora.lora_config(plan, model)), plan)
