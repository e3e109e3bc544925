"""A cut adapter is plain PEFT, computes the truncated function, and says what it lost."""

import json

import pytest
import torch
import transformers as hf
from peft import LoraConfig, PeftModel, VeraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

import gelora
from gelora.artifacts import CUT_FILE, PLAN_FILE
from gelora.cutting.adapter import read_for_cut, verify_cut
from gelora.cutting.directions import cut_factors, find_directions
from gelora.cutting.record import AdapterCut
from gelora.errors import (
    ArtifactError,
    ConfigError,
    DataError,
    ModelMismatchError,
    OutputExistsError,
    RankError,
)
from gelora.exports.saved import SavedAdapter, read_adapter, write_adapter
from tiny_adapters import logits, peft_updates, save_tiny_adapter, tiny_plan
from tiny_models import tiny_batch, tiny_bert, tiny_gpt2, tiny_llama

LABELS = {"task_type": "SEQ_CLS"}
KINDS = {
    "llama": (lambda: tiny_llama(hf.LlamaForCausalLM), {}),
    "gpt2, which is transposed": (lambda: tiny_gpt2(hf.GPT2LMHeadModel), {}),
    "bert with a head": (lambda: tiny_bert(hf.BertForSequenceClassification), LABELS),
    "rsLoRA": (lambda: tiny_llama(hf.LlamaForCausalLM), {"use_rslora": True}),
    "gaussian": (lambda: tiny_llama(hf.LlamaForCausalLM), {"init_lora_weights": "gaussian"}),
}


@pytest.fixture
def folder(tmp_path):
    save_tiny_adapter(tmp_path / "adapter", tiny_llama(hf.LlamaForCausalLM))
    return tmp_path / "adapter"


@pytest.fixture
def model(folder):
    return PeftModel.from_pretrained(tiny_llama(hf.LlamaForCausalLM), str(folder))


def labelled(architecture="llama"):
    batch = tiny_batch(architecture)
    return {**batch, "labels": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)}


def changed(folder, tensors=None, **settings):
    before = read_adapter(folder)
    write_adapter(
        SavedAdapter({**before.config, **settings}, {**before.tensors, **(tensors or {})}), folder
    )
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_adapter_is_the_truncated_function(kind, tmp_path):
    make, lora = KINDS[kind]
    whole = save_tiny_adapter(tmp_path / "adapter", make(), **lora)
    updates = peft_updates(whole)
    record = gelora.cut(tmp_path / "adapter", tmp_path / "cut", budget="r=3")
    loaded = PeftModel.from_pretrained(make(), str(tmp_path / "cut")).eval()

    cut = peft_updates(loaded)
    assert cut.keys() == record.ranks.keys()
    for name, update in updates.items():
        rank = record.modules[name].rank
        u, singular, vh = torch.linalg.svd(update.double(), full_matrices=False)
        expected = (u[:, :rank] * singular[:rank] @ vh[:rank]).float()
        assert_close(cut.get(name, torch.zeros_like(update)), expected, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        for name, layer in whole.get_base_model().named_modules():
            if hasattr(layer, "lora_A"):
                factors = read_adapter(tmp_path / "adapter").factors()[name]
                kept = cut_factors(factors, find_directions(factors), record.modules[name].rank)
                layer.lora_A["default"].weight.zero_()[: len(kept.a)] = kept.a
                layer.lora_B["default"].weight.zero_()[:, : len(kept.a)] = kept.b
    assert_close(logits(loaded), logits(whole), rtol=1e-4, atol=1e-5)


def test_the_ranks_that_are_there_leave_the_function(folder, model, tmp_path):
    ranks = {name: len(part.a) for name, part in read_adapter(folder).factors().items()}
    record = gelora.cut(folder, tmp_path / "cut", plan=ranks)
    loaded = PeftModel.from_pretrained(tiny_llama(hf.LlamaForCausalLM), str(tmp_path / "cut"))
    assert_close(logits(loaded), logits(model), rtol=0, atol=1e-6)
    assert record.parameters == record.parameters_before
    assert record.kept == 1


def test_a_budget_is_met_and_recorded(folder, tmp_path):
    record = gelora.cut(folder, tmp_path / "cut", budget="r=2")
    factors = read_adapter(tmp_path / "cut").factors()
    assert record.ranks == {name: len(part.a) for name, part in factors.items()}
    assert record.parameters == sum(part.a.numel() + part.b.numel() for part in factors.values())
    budget = 2 * sum(module.cost for module in record.modules.values())
    assert budget - max(m.cost for m in record.modules.values()) < record.parameters <= budget
    assert AdapterCut.from_pretrained(tmp_path / "cut") == record
    number = gelora.cut(folder, tmp_path / "number", budget=budget)
    assert number.ranks == record.ranks


def test_modules_without_rank_leave_the_adapter(folder, tmp_path):
    record = gelora.cut(folder, tmp_path / "cut", budget="r=0.5")
    config = LoraConfig.from_pretrained(str(tmp_path / "cut"))
    assert 0 < len(record.ranks) < len(record.modules)
    assert config.target_modules == set(record.ranks)
    loaded = PeftModel.from_pretrained(tiny_llama(hf.LlamaForCausalLM), str(tmp_path / "cut"))
    assert peft_updates(loaded).keys() == record.ranks.keys()


def test_energy_keeps_its_share(folder, tmp_path):
    record = gelora.cut(folder, tmp_path / "cut", energy=0.9)
    assert 0.9 <= record.kept < 1
    before, after = read_adapter(folder).factors(), read_adapter(tmp_path / "cut").factors()
    size = {n: part.update().square().sum().item() for n, part in before.items()}
    kept = {n: part.update().square().sum().item() for n, part in after.items()}
    assert record.kept == pytest.approx(sum(kept.values()) / sum(size.values()), rel=1e-4)


def test_a_plan_gives_the_ranks(folder, tmp_path):
    plan = tiny_plan(tiny_llama(hf.LlamaForCausalLM), budget="r=2")
    record = gelora.cut(folder, tmp_path / "cut", plan=plan)
    assert {n.removeprefix("model."): r for n, r in record.ranks.items()} == plan.modules


@pytest.mark.parametrize("importance", ["weights", "inputs", "fisher"])
def test_a_planted_update_is_cut_to_its_rank_by_tolerance(importance, folder, tmp_path):
    """Rank 2 in one module and 1 in another is all that is planted, beside noise.

    The score of a row is how far its logits are from those of the planted adapter.
    """
    planted = {"model.layers.0.self_attn.q_proj": 2, "model.layers.2.self_attn.v_proj": 1}
    adapter = read_adapter(folder)
    torch.manual_seed(0)
    tensors = {}
    for name, factors in adapter.factors().items():
        strength = torch.full((len(factors.a),), 1e-5)
        strength[: planted.get(name, 0)] = 3
        key = f"base_model.model.{name}"
        tensors[f"{key}.lora_A.weight"] = torch.randn_like(factors.a)
        tensors[f"{key}.lora_B.weight"] = torch.randn_like(factors.b) * strength
    changed(folder, tensors)
    model = PeftModel.from_pretrained(tiny_llama(hf.LlamaForCausalLM), str(folder))
    rows = [labelled()]
    with torch.no_grad():
        target = model.eval()(**rows[0]).logits
    record = gelora.cut(
        model,
        tmp_path / "cut",
        tolerance=0.01,
        importance=importance,
        batches=None if importance == "weights" else rows,
        validation=rows,
        score_rows=lambda m, batch: (m(**batch).logits - target).square().mean((1, 2)),
    )
    assert record.ranks == planted
    assert 0 < record.point.difference <= 0.01
    assert record.num_rows == len(target)


def test_the_curve_says_what_a_cut_adapter_loses(folder, model, tmp_path):
    """Its losses are those of adapters that are loaded anew, and differences are paired."""
    rows = [labelled()]
    record = gelora.cut(model, tmp_path / "cut", budget="r=2", validation=rows)
    loaded = PeftModel.from_pretrained(tiny_llama(hf.LlamaForCausalLM), str(tmp_path / "cut"))
    before, after = ([gelora.likelihood.row_losses(m.eval(), rows[0])[0]] for m in (model, loaded))
    difference = (after[0] - before[0]).double()
    point = record.point
    assert point.loss == pytest.approx(after[0].mean().item(), rel=1e-5)
    assert point.difference == pytest.approx(difference.mean().item(), abs=1e-5)
    expected = difference.std().item() / len(difference) ** 0.5
    assert point.standard_error == pytest.approx(expected, rel=1e-3)
    assert record.curve[-1].parameters == record.parameters_before
    assert record.curve[-1].difference == 0
    assert [p.parameters for p in record.curve] == sorted(p.parameters for p in record.curve)


def test_a_model_in_memory_is_cut_by_its_adapters_name(tmp_path):
    wrapped = save_tiny_adapter(tmp_path / "a", tiny_llama(hf.LlamaForCausalLM))
    other = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    wrapped.add_adapter("other", other)
    before = {name: p.detach().clone() for name, p in wrapped.named_parameters()}
    wrapped.set_adapter("other")
    record = gelora.cut(
        wrapped,
        tmp_path / "cut",
        budget="r=1",
        importance="inputs",
        adapter_name="other",
        batches=[tiny_batch("llama")],
    )
    assert all("q_proj" in name for name in record.modules)
    assert sum(record.ranks.values()) == 3
    assert all(torch.equal(p, before[name]) for name, p in wrapped.named_parameters())


def test_an_adapter_that_the_model_lacks_is_refused(model, tmp_path):
    with pytest.raises(ConfigError, match="has no adapter 'other'; it has default"):
        gelora.cut(model, tmp_path / "cut", budget="r=1", adapter_name="other")


def test_another_active_adapter_is_refused(model, tmp_path):
    model.add_adapter("other", LoraConfig(r=4, target_modules=["q_proj"]))
    model.set_adapter("other")
    with pytest.raises(ConfigError, match=r"active adapter is other: call model.set_adapter"):
        gelora.cut(model, tmp_path / "cut", budget="r=1", validation=[labelled()])


def test_rows_that_come_once_are_enough(model, tmp_path):
    rows = [labelled()]
    once = gelora.cut(model, tmp_path / "once", budget="r=1", validation=iter(rows))
    again = gelora.cut(model, tmp_path / "again", budget="r=1", validation=rows)
    assert once == again


def test_a_plan_that_cannot_be_read_hides_the_bounds_alone(folder, tmp_path, caplog):
    (folder / PLAN_FILE).write_text("{}")
    record = gelora.cut(folder, tmp_path / "cut", budget="r=1")
    assert record.bounds == ()
    assert record.blocks == ("model.layers.0", "model.layers.1", "model.layers.2")
    assert "the bounds are not shown" in caplog.text


def test_a_folder_of_several_adapters_names_them(tmp_path):
    wrapped = save_tiny_adapter(tmp_path / "a", tiny_llama(hf.LlamaForCausalLM))
    wrapped.add_adapter("other", LoraConfig(r=4, target_modules=["q_proj"]))
    wrapped.save_pretrained(str(tmp_path / "both"), selected_adapters=["other"])
    with pytest.raises(
        RankError, match=r"several names, other: give the folder of one, as .*other"
    ):
        gelora.cut(tmp_path / "both", tmp_path / "cut", budget="r=1")


def test_the_bounds_of_the_plan_are_recorded_and_its_files_are_left(folder, tmp_path):
    plan = tiny_plan(tiny_llama(hf.LlamaForCausalLM))
    plan.save_pretrained(folder)
    record = gelora.cut(folder, tmp_path / "cut", budget="r=2")
    assert not (tmp_path / "cut" / PLAN_FILE).exists()  # its ranks are the uncut adapter's
    assert record.bounds == plan.bounds
    assert record.blocks == tuple(f"model.{block}" for block in plan.blocks)


FORMS = {
    "DoRA": {"use_dora": True},
    "biases": {"lora_bias": True},
    "PiSSA": {"init_lora_weights": "pissa"},
    "experts": {"target_parameters": ["experts.gate_up_proj"]},
}


@pytest.mark.parametrize("form", FORMS)
def test_another_form_of_lora_is_refused(form, folder, tmp_path):
    with pytest.raises(RankError, match=r"cannot be cut. Convert it with peft.convert_to_lora"):
        gelora.cut(changed(folder, **FORMS[form]), tmp_path / "cut", budget="r=1")
    assert not (tmp_path / "cut").exists()


def test_embeddings_are_refused(folder, tmp_path):
    name = "base_model.model.model.embed_tokens.lora_embedding_A"
    with pytest.raises(RankError, match="only the matrices of Linear layers can be cut"):
        gelora.cut(changed(folder, {name: torch.ones(2, 3)}), tmp_path / "cut", budget="r=1")


def test_another_method_is_refused(tmp_path):
    wrapped = get_peft_model(tiny_llama(hf.LlamaForCausalLM), VeraConfig(target_modules=["q_proj"]))
    with pytest.raises(ArtifactError, match="no adapter"):
        gelora.cut(tmp_path, tmp_path / "cut", budget="r=1")
    wrapped.save_pretrained(str(tmp_path / "vera"))
    with pytest.raises(ArtifactError, match="type VERA"):
        gelora.cut(tmp_path / "vera", tmp_path / "cut", budget="r=1")


def test_weights_that_are_not_finite_are_refused(folder, tmp_path):
    name = next(iter(read_adapter(folder).tensors))
    broken = torch.full_like(read_adapter(folder).tensors[name], float("nan"))
    with pytest.raises(RankError, match="NaN or infinity"):
        gelora.cut(changed(folder, {name: broken}), tmp_path / "cut", budget="r=1")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "Nothing says how far to cut"),
        ({"budget": "r=2", "energy": 0.9}, "budget and energy both say"),
        ({"budget": "r=2", "plan": {}}, "plan and budget both say"),
        ({"energy": 1.5}, "energy must be above 0 and at most 1"),
        ({"tolerance": -1.0}, "tolerance must be 0 or a positive number"),
        ({"tolerance": 0.1}, "tolerance needs model"),
        ({"budget": "r=2", "importance": "inputs"}, "importance 'inputs' needs model"),
        ({"budget": "r=2", "importance": "size"}, "importance must be one of weights"),
        ({"budget": "r=2", "batches": []}, "importance 'weights' reads no batches"),
        ({"budget": "r=x"}, "budget must be a positive number"),
        ({"rank": 2}, "There is no setting rank"),
    ],
)
def test_settings_that_contradict_or_lack_something(settings, message, folder, tmp_path):
    with pytest.raises(ConfigError, match=message):
        gelora.cut(folder, tmp_path / "cut", **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": 10}, "budget of 10 parameters is below"),
        ({"budget": "r=64"}, "there is nothing to cut"),
        ({"plan": {"nowhere": 1}}, "which is 0 of the adapter's modules"),
        ({"plan": {"layers.0.self_attn.q_proj": 99}}, "a cut cannot add rank"),
        ({"plan": {"layers.0.self_attn.q_proj": 0}}, "leaves no module any rank"),
    ],
)
def test_a_size_that_cannot_be(settings, message, folder, tmp_path):
    with pytest.raises(RankError, match=message):
        gelora.cut(folder, tmp_path / "cut", **settings)
    assert not (tmp_path / "cut").exists()


def test_validation_without_rows_or_with_infinite_losses(folder, model, tmp_path):
    with pytest.raises(DataError, match="not all finite"):
        gelora.cut(model, tmp_path / "cut", tolerance=0.1, validation=[])
    with pytest.raises(DataError, match="not all finite"):
        gelora.cut(
            model,
            tmp_path / "cut",
            tolerance=0.1,
            validation=[labelled()],
            score_rows=lambda model, batch: torch.full((4,), float("inf")),
        )


def test_another_model_than_the_folders_is_refused(folder, tmp_path):
    other = save_tiny_adapter(tmp_path / "other", tiny_llama(hf.LlamaForCausalLM), budget="r=4")
    with pytest.raises(ModelMismatchError, match="is not the one in"):
        gelora.cut(folder, tmp_path / "cut", budget="r=1", model=other, validation=[labelled()])


def test_nothing_is_overwritten(folder, tmp_path):
    before = read_adapter(folder).tensors
    with pytest.raises(OutputExistsError):
        gelora.cut(folder, folder, budget="r=2", overwrite=True)
    gelora.cut(folder, tmp_path / "cut", budget="r=2")
    with pytest.raises(OutputExistsError, match="not empty"):
        gelora.cut(folder, tmp_path / "cut", budget="r=1")
    gelora.cut(folder, tmp_path / "cut", budget="r=1", overwrite=True)
    assert all(torch.equal(t, before[n]) for n, t in read_adapter(folder).tensors.items())


def test_an_edited_adapter_is_not_the_cut_one(folder, tmp_path):
    """verify_cut reads the files back: a changed rank or a changed weight is seen."""
    record = gelora.cut(folder, tmp_path / "cut", budget="r=2")
    source = read_for_cut(folder)
    directions = {name: find_directions(part) for name, part in source.factors().items()}
    ranks = {name: module.rank for name, module in record.modules.items()}
    verify_cut(tmp_path / "cut", source, directions, ranks)
    weights = tmp_path / "cut" / "adapter_model.safetensors"
    tensors = load_file(weights)
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name] * 1.01}, weights)
    with pytest.raises(RankError, match="differs from the one to be kept"):
        verify_cut(tmp_path / "cut", source, directions, ranks)
    save_file(tensors, weights)
    config = tmp_path / "cut" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "rank_pattern": {}}))
    with pytest.raises(RankError, match="PEFT would read"):
        verify_cut(tmp_path / "cut", source, directions, ranks)


def test_an_edited_record_is_refused(folder, tmp_path):
    gelora.cut(folder, tmp_path / "cut", budget="r=2")
    path = tmp_path / "cut" / CUT_FILE
    path.write_text(path.read_text().replace('"parameters": ', '"parameters": 1'))
    with pytest.raises(ArtifactError, match="it was edited"):
        AdapterCut.from_pretrained(path)
