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
from gelora.ranks.advice import plan_advice
from tiny_models import MORE_MODELS, TINY_MODELS, tiny_texts, tiny_tokenizer


def make(name):
    torch.manual_seed(0)
    if name in SWEEP:
        model_class = getattr(hf, name)
        return model_class(model_class.config_class(**SWEEP[name][0])).eval()
    return {**TINY_MODELS, **MORE_MODELS}[name]()


USUAL = sorted({*TINY_MODELS, *MORE_MODELS} - {"vit"})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=pytest.mark.slow) for name in SWEEP), *USUAL]
)
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
    wrapped = get_peft_model(model, gelora.lora_config(model, plan))
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
    gelora.verify_ranks(get_peft_model(model, gelora.lora_config(model, plan)), plan)


REWRITTEN = ["Qwen3NextForCausalLM", "DeepseekV3ForCausalLM", "Glm4MoeForCausalLM"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*REWRITTEN, "MambaForCausalLM", "FalconH1ForCausalLM"])
def test_all_linear_leaves_out_what_peft_refuses_or_rewrites_and_names_it(name):
    model = make(name)
    profile = gelora.measure_dimensions(
        model, tiny_tokenizer(), tiny_texts(60), target_modules="all-linear"
    )
    reason = "taken by PEFT for the experts" if name in REWRITTEN else "refused by PEFT"
    assert reason in {part.reason for part in profile.left_out}
    plan = gelora.plan_ranks(profile, target_modules="all-linear")
    gelora.verify_ranks(get_peft_model(model, gelora.lora_config(model, plan)), plan)


@pytest.mark.filterwarnings("ignore")
def test_a_plan_of_the_text_part_holds_for_the_whole_multimodal_model():
    whole = make("Gemma3ForConditionalGeneration")
    part = whole.model.language_model
    plan = gelora.plan_ranks(gelora.measure_dimensions(part, tiny_tokenizer(), tiny_texts(60)))
    for_part = gelora.lora_config(part, plan)
    wrapped = get_peft_model(whole, gelora.lora_config(whole, plan))
    gelora.verify_ranks(wrapped, plan)
    adapted = [path for path, _ in wrapped.named_modules() if path.endswith("lora_A")]
    assert all("language_model" in path for path in adapted)
    of_whole = gelora.measure_dimensions(
        make("Gemma3ForConditionalGeneration"), tiny_tokenizer(), tiny_texts(60)
    )
    whole = make("Gemma3ForConditionalGeneration")
    with pytest.raises(GeloraError, match="pass the whole model"):
        gelora.lora_config(whole.model.language_model, gelora.plan_ranks(of_whole))
    wrapped = get_peft_model(whole, for_part)  # PEFT takes the names for endings
    with pytest.raises(GeloraError, match=r"lora_config\(model, plan\) with the whole model"):
        gelora.verify_ranks(wrapped, plan)


MIXTURES = ["Qwen3MoeForCausalLM", "GptOssForCausalLM", "OlmoeForCausalLM", "Glm4MoeForCausalLM"]
MIXTURES += ["JambaForCausalLM"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", ["mixtral", *(pytest.param(name, marks=pytest.mark.slow) for name in MIXTURES)]
)
def test_the_experts_that_a_plan_says_it_leaves_out_can_be_named(name):
    model = make(name)
    profile = gelora.measure_dimensions(
        model, tiny_tokenizer(), tiny_texts(60), target_modules="all-linear"
    )
    plan = gelora.plan_ranks(profile, target_modules="all-linear")
    [advice] = [line for line in plan_advice(plan, profile) if "--target_parameters" in line]
    names = advice.partition("--target_parameters ")[2].partition(" adapts")[0].split()
    wrapped = get_peft_model(model, gelora.lora_config(model, plan, target_parameters=names))
    gelora.verify_ranks(wrapped, plan)
    adapted = sum(1 for path, _ in wrapped.named_modules() if path.endswith("lora_A"))
    assert adapted > len(plan.modules)
