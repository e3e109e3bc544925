"""EVA is PEFT's: its ranks and directions to the bit, at the cost that it says."""

import re
from collections import Counter

import pytest
import torch
from peft import EvaConfig, LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.eva import initialize_lora_eva_weights
from transformers import (
    BertForSequenceClassification,
    DebertaV2ForSequenceClassification,
    GPT2ForSequenceClassification,
    LlamaForCausalLM,
)

from gelora.adapters import adapter_parameters, adapter_ranks
from gelora.errors import DataError, HiddenStatesError
from gelora.lab.baselines import Size, eva, find_method
from gelora.settings import RankSettings
from tiny_adapters import logits
from tiny_methods import (
    SETTING,
    apply_method,
    changed,
    fit_tiny,
    reloaded,
    tiny_batches,
    trainable,
    values,
)
from tiny_models import tiny_bert, tiny_deberta, tiny_gpt2, tiny_llama

MODULES = 12
PER_RANK = MODULES * (32 + 32)


def bert():
    return tiny_bert(BertForSequenceClassification)


def applied_eva(model, *, rank=3, **given):
    return apply_method("eva", model, budget=rank * PER_RANK, batches=tiny_batches, **given)


def without_labels():
    return [{n: t for n, t in batch.items() if n != "labels"} for batch in tiny_batches()]


@pytest.fixture
def peft_alone():
    """The same, by a user of PEFT who has read its page on EVA."""
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=["query", "key", "value", "attention.output.dense"],
        init_lora_weights="eva",
        eva_config=EvaConfig(rho=2.0),
        task_type="SEQ_CLS",
    )
    model = get_peft_model(bert(), config, low_cpu_mem_usage=True)
    initialize_lora_eva_weights(model, without_labels(), show_progress_bar=False)
    return model


def test_ranks_and_directions_are_peft_s_own(peft_alone):
    applied = applied_eva(bert(), rank=4)
    assert applied.ranks == adapter_ranks(peft_alone)
    assert len(set(applied.ranks.values())) > 1
    ours, theirs = (
        {n: m for n, m in each.named_modules() if isinstance(m, LoraLayer)}
        for each in (applied.model, peft_alone)
    )
    assert ours.keys() == theirs.keys()
    for name, layer in ours.items():
        assert layer.scaling["default"] == theirs[name].scaling["default"] == 2
        for matrix in ("lora_A", "lora_B"):
            mine, other = (getattr(each, matrix)["default"] for each in (layer, theirs[name]))
            assert torch.equal(mine.weight, other.weight)


@pytest.mark.parametrize(
    "model",
    [
        lambda: tiny_bert(BertForSequenceClassification),
        lambda: tiny_deberta(DebertaV2ForSequenceClassification),
        lambda: tiny_gpt2(GPT2ForSequenceClassification),
    ],
    ids=["bert", "deberta", "gpt2"],
)
@pytest.mark.parametrize("rank", [1, 4])
def test_the_ranks_add_up_to_those_of_uniform_lora(model, rank):
    applied = applied_eva(model(), rank=rank)
    modules = len(apply_method("lora", model()).ranks)
    budget = find_method("eva").size(model(), rank * PER_RANK, SETTING).value * modules
    assert sum(applied.ranks.values()) == budget
    assert max(applied.ranks.values()) <= 2 * budget / modules


def test_what_gets_no_rank_gets_no_adapter_and_still_loads(tmp_path):
    applied = applied_eva(bert(), rank=1)
    assert len(applied.ranks) < MODULES
    assert sum(applied.ranks.values()) == MODULES
    assert adapter_parameters(applied.model) == PER_RANK
    named = applied.model.peft_config["default"].target_modules
    assert named == sorted(f"bert.{name}" for name in applied.ranks)  # the same in every process
    loaded = reloaded(applied.model, bert(), tmp_path)
    torch.testing.assert_close(logits(loaded), logits(applied.model.eval()))


def test_its_size_is_uniform_lora_s_with_room_for_twice_the_directions():
    size = find_method("eva").size
    assert size(bert(), 3 * PER_RANK, SETTING) == Size(3, 3 * PER_RANK)
    assert size(bert(), 10**9, SETTING) == Size(16, 16 * PER_RANK)


def test_what_trains_is_the_adapter_and_the_head():
    applied = applied_eva(bert())
    assert adapter_parameters(applied.model) == 3 * PER_RANK
    for parameter in trainable(applied.model):
        assert ".lora_" in parameter or ".classifier.modules_to_save" in parameter


def test_it_learns_leaves_the_rest_alone_and_loads_as_it_was_saved(tmp_path):
    model = applied_eva(bert()).model
    before = values(model)
    losses = fit_tiny(model, tmp_path)
    assert losses[-1] < 0.8 * losses[0]
    assert changed(model, before) == trainable(model)
    loaded = reloaded(model, bert(), tmp_path)
    torch.testing.assert_close(logits(loaded), logits(model.eval()))


def test_before_training_the_model_computes_what_it_did():
    model = bert()
    expected = logits(model)
    assert torch.equal(logits(applied_eva(model).model.eval()), expected)


def test_every_token_that_went_through_the_model_is_counted():
    model, seen = bert(), []
    model.bert.embeddings.register_forward_hook(
        lambda module, args, kwargs, output: seen.append(kwargs["input_ids"].numel()),
        with_kwargs=True,
    )
    applied = applied_eva(model)
    assert applied.forward_tokens == sum(seen)
    assert len(seen) > len(tiny_batches())  # it goes round them more than once
    assert applied.selection_seconds > 0


def test_padding_does_not_count():
    def padded():
        return [
            {n: torch.nn.functional.pad(t, (0, 5)) for n, t in batch.items()}
            for batch in without_labels()
        ]

    plain = apply_method("eva", bert(), budget=PER_RANK * 3, batches=tiny_batches)
    wide = apply_method("eva", bert(), budget=PER_RANK * 3, batches=padded)
    assert wide.ranks == plain.ranks
    assert wide.forward_tokens > plain.forward_tokens


def test_labels_say_which_tokens_count_in_instruction_tuning_alone():
    def batches():
        found = without_labels()
        for batch in found:
            batch["labels"] = batch["input_ids"].clone()
            batch["labels"][:, :6] = -100
        return found

    model = tiny_llama(LlamaForCausalLM)
    ranks = RankSettings(("q_proj",))
    given = {"budget": 3000, "problem": "instruction_tuning", "ranks": ranks}
    all_tokens = apply_method("eva", model, batches=without_labels, **given)
    answers = apply_method("eva", tiny_llama(LlamaForCausalLM), batches=batches, **given)
    first, second = (
        next(m for m in each.model.modules() if isinstance(m, LoraLayer)).lora_A["default"].weight
        for each in (all_tokens, answers)
    )
    # The first principal direction alone, whose sign is free, tells them apart.
    assert abs(torch.cosine_similarity(first[0], second[0], dim=0)) < 0.999


def test_without_batches_there_are_no_directions():
    with pytest.raises(DataError, match="from training batches, and there are none"):
        apply_method("eva", bert(), budget=PER_RANK)


def test_directions_that_never_rest_end_in_an_error(monkeypatch):
    monkeypatch.setattr(eva, "MAX_PASSES", 20)
    small = [{name: tensor[:1, :4] for name, tensor in without_labels()[0].items()}]
    message = "EVA's directions still turn after 20 batches, the last of 4 tokens"
    with pytest.raises(HiddenStatesError, match=re.escape(message)):
        apply_method("eva", bert(), budget=8 * PER_RANK, batches=lambda: small)


def test_nothing_is_printed(capsys):
    applied_eva(tiny_deberta(DebertaV2ForSequenceClassification))
    assert Counter(capsys.readouterr()) == {"": 2}
