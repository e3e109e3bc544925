"""Measuring is deterministic, keeps rows in order, and refuses what it cannot measure."""

import warnings

import numpy as np
import pytest
import torch
import transformers as hf
from peft import LoraConfig, get_peft_model
from torch import nn

from gelora.artifacts import canonical_json
from gelora.dimension.layers import estimate_layers
from gelora.dimension.profile import DimensionProfile
from gelora.errors import (
    ConfigError,
    DataError,
    DuplicateSamplesWarning,
    NonFiniteStatesError,
    RankError,
    SkippedRowsWarning,
    TooFewSamplesError,
)
from gelora.hidden_states import measure_dimensions
from gelora.hidden_states.activations import hidden_states
from gelora.hidden_states.architectures import check_fingerprint, find_architecture
from gelora.hidden_states.batches import encode_texts, padded_batch
from gelora.hidden_states.hook_points import layer_names
from gelora.ranks import plan_ranks
from tiny_models import (
    NUM_BLOCKS,
    TINY_MODELS,
    tiny_bert,
    tiny_gpt2,
    tiny_llama,
    tiny_t5,
    tiny_texts,
    tiny_tokenizer,
)

pytestmark = [
    # Random models on random texts: line and likelihood need not agree, and a last token that is
    # the same in every text makes a constant layer.
    pytest.mark.filterwarnings("ignore::gelora.errors.UnstableDimensionWarning"),
    pytest.mark.filterwarnings("ignore::gelora.errors.ConstantStatesWarning"),
    # peft 0.21 calls what transformers 5.23 is about to rename.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]


def measure(model=None, texts=None, **arguments):
    texts = tiny_texts(120) if texts is None else texts
    return measure_dimensions(model or tiny_bert(), tiny_tokenizer(), texts, **arguments)


@pytest.mark.parametrize("name", [name for name in TINY_MODELS if name != "vit"])
def test_twice_the_same_json_byte_for_byte(name):
    first = measure(TINY_MODELS[name](), num_samples=80, seed=3)
    second = measure(TINY_MODELS[name](), num_samples=80, seed=3)
    assert canonical_json(first.to_dict()) == canonical_json(second.to_dict())
    check_fingerprint(TINY_MODELS[name](), first.fingerprint)


def test_states_are_estimated_on_in_the_order_of_the_draw(monkeypatch):
    model, tokenizer, texts = tiny_bert(), tiny_tokenizer(), tiny_texts(120)
    seen = []

    def estimate_and_keep(states, **arguments):
        seen.extend(map(torch.from_numpy, states))
        return estimate_layers(states, **arguments)

    monkeypatch.setattr("gelora.hidden_states.measure.estimate_layers", estimate_and_keep)
    profile = measure(model, texts, measure_batch_tokens=60, seed=4)
    drawn = encode_texts(tokenizer, model, texts, num_samples=len(texts), max_length=None, seed=4)
    by_hand = hidden_states(model, [padded_batch([row], tokenizer) for row in drawn])
    for found, expected in zip(seen, by_hand, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    estimates = estimate_layers(by_hand, layer_names=layer_names(find_architecture(model)))
    for name, series in estimates.series.items():
        found = profile.series[name]
        np.testing.assert_allclose(found.dimensions, series.dimensions, rtol=1e-3)
        np.testing.assert_allclose(found.increments, series.increments, rtol=1e-2, atol=1e-2)


def test_what_a_profile_says():
    model, texts = tiny_bert(), tiny_texts(120)
    profile = measure(model, texts, num_samples=100, measure_batch_tokens=1400, seed=5)
    architecture = find_architecture(model)
    assert profile.layers == ("embeddings", *architecture.blocks)
    assert profile.blocks == architecture.blocks
    assert profile.modules == architecture.modules
    assert (profile.num_texts, profile.num_used, profile.num_duplicates) == (100, 100, 0)
    assert (profile.settings.pooling, profile.settings.estimator, profile.seed) == (
        "mean",
        "twonn_linfit",
        5,
    )
    assert profile.forward_tokens == 100 * 14  # one batch, padded to 12 words and 2 more
    assert len(profile.dimensions) == NUM_BLOCKS + 1
    assert len(profile.increments) == NUM_BLOCKS
    assert all(dimension > 1 for dimension in profile.dimensions)
    np.testing.assert_allclose(np.diff(profile.dimensions), profile.increments)


def test_profile_survives_a_folder(tmp_path):
    profile = measure()
    profile.save_pretrained(tmp_path)
    assert DimensionProfile.from_pretrained(tmp_path) == profile


def test_two_stacks_have_two_embeddings_and_no_increment_between_them():
    profile = measure(tiny_t5())
    starts = [i for i, layer in enumerate(profile.layers) if layer.endswith("embeddings")]
    assert starts == [0, NUM_BLOCKS + 1]
    assert len(profile.increments) == len(profile.blocks) == 2 * NUM_BLOCKS
    for block, increment in enumerate(profile.increments):
        layer = profile.layer_of(block)
        grown = profile.dimensions[layer] - profile.dimensions[layer - 1]
        assert increment == pytest.approx(grown)


@pytest.mark.parametrize(
    ("model", "pooling"), [(tiny_bert(), "mean"), (tiny_gpt2(), "last"), (tiny_t5(), "mean")]
)
def test_default_pooling(model, pooling):
    profile = measure(model)
    assert profile.settings.pooling == pooling
    assert profile == measure(model, pooling=pooling)
    assert profile != measure(model, pooling="first" if pooling == "mean" else "mean")


def test_the_estimator_is_chosen_and_both_are_kept():
    line, likelihood = measure(), measure(estimator="twonn_mle")
    assert line.series == likelihood.series
    assert likelihood.dimensions == likelihood.series["twonn_mle"].dimensions
    assert line.dimensions != likelihood.dimensions


def test_copies_do_not_pass_the_model_and_change_no_estimate():
    texts = tiny_texts(100)
    model = tiny_bert()
    rows = []
    handle = model.register_forward_pre_hook(
        lambda _module, _args, inputs: rows.append(len(inputs["input_ids"])), with_kwargs=True
    )
    plain = measure(model, texts)
    assert rows.pop(0) == 1  # which modules a gradient reaches is seen on one text
    assert sum(rows) == 100
    expected = "60 of the 160 texts drawn are copies .* the estimates rest on the other 100"
    with pytest.warns(DuplicateSamplesWarning, match=expected):
        repeated = measure(model, [*texts[:60], *texts])
    handle.remove()
    assert sum(rows) == 100 + 1 + 100
    assert (repeated.num_texts, repeated.num_used, repeated.num_duplicates) == (160, 100, 60)
    np.testing.assert_allclose(repeated.dimensions, plain.dimensions, rtol=1e-4)


def test_copies_after_truncation_count_and_a_few_give_no_warning():
    texts = tiny_texts(100)
    texts[7] = texts[7] + " " + " ".join(["w1"] * 20)
    texts.append(texts[7] + " w2")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DuplicateSamplesWarning)
        with pytest.warns(SkippedRowsWarning, match="Measuring: 2 of 101 texts are longer than 16"):
            assert measure(texts=texts, max_length=16).num_duplicates == 1
        assert measure(texts=texts, max_length=60).num_duplicates == 0


def test_pairs():
    texts = tiny_texts(120)
    profile = measure(texts=list(zip(texts[::2], texts[1::2], strict=True)))
    assert profile.num_texts == 60


@pytest.mark.parametrize("head", [hf.BertForSequenceClassification, hf.BertForMaskedLM])
def test_a_head_or_an_untrained_adapter_changes_nothing(head):
    model = tiny_bert(head)
    plain = measure(model.bert)
    assert measure(model) == plain
    wrapped = get_peft_model(model, LoraConfig(target_modules=["query", "value"]))
    assert measure(wrapped) == plain


def test_copies_of_one_text_are_said_to_be_that():
    expected = r"119 of the 120 texts drawn are copies of others. No layer varies \(samples: 1\)"
    with pytest.raises(TooFewSamplesError, match=expected):
        measure(texts=["w1 w2"] * 120)


def test_tokenizer_leaves_as_it_came():
    tokenizer = tiny_tokenizer(padding_side="left")
    tokenizer.pad_token = None
    measure_dimensions(tiny_llama(), tokenizer, tiny_texts(60))
    assert tokenizer.padding_side == "left"
    assert tokenizer.pad_token is None


@pytest.mark.parametrize(("progress", "shown"), [(True, True), (False, False)])
def test_progress_is_a_bar_on_stderr(progress, shown, capfd):
    measure(measure_batch_tokens=500, progress=progress)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert ("Measuring: 100%" in captured.err) == shown
    assert ("120/120" in captured.err) == shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 0}, "num_samples must be a whole number, at least 1. Got 0"),
        (
            {"measure_batch_tokens": -2},
            "measure_batch_tokens must be a whole number, at least 1. Got -2",
        ),
        ({"max_length": 0}, "max_length must be a whole number, at least 1. Got 0"),
        ({"pooling": "max"}, "pooling must be one of mean, last, first. Got 'max'"),
        ({"estimator": "mle"}, "estimator must be one of twonn_linfit, .* Got 'mle'"),
        ({"precision": -0.1}, "precision must be 0 or more dimensions. Got -0.1"),
        ({"discard_fraction": 1.5}, "discard_fraction must be .* Got 1.5"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ConfigError, match=message):
        measure(**arguments)


def test_too_few_texts():
    with pytest.raises(TooFewSamplesError, match="needs 50 samples, and 40 of 40 are left"):
        measure(texts=tiny_texts(40))


def test_empty_texts():
    with pytest.raises(DataError, match="120 of 120 texts drawn are empty"):
        measure(texts=[""] * 120)


def test_overflow_in_half_precision():
    model = tiny_llama().half()
    with torch.no_grad():
        model.layers[1].mlp.down_proj.weight.fill_(30_000)
    with pytest.raises(NonFiniteStatesError, match=r"layers\.1"):
        measure(model)


def test_attention_of_unknown_names_is_adapted_with_the_names_that_are_known():
    model = tiny_bert()
    for layer in model.encoder.layer:
        layer.attention.self.query, layer.attention.self.strange = None, layer.attention.self.query
    for layer in model.encoder.layer:
        layer.attention.self.query = Borrowed(layer.attention.self.strange)
    profile = measure(model)
    assert profile.dimensions == measure().dimensions
    roles = {module.name.rpartition(".")[2]: module.role for module in profile.modules}
    assert roles["strange"] == "mixer"
    assert plan_ranks(profile).modules.keys() == {
        module.name for module in profile.modules if module.role != "mlp"
    }


class Borrowed(nn.Module):
    """Calls a module that is registered elsewhere."""

    def __init__(self, module):
        super().__init__()
        self.elsewhere = [module]

    def forward(self, states):
        return self.elsewhere[0](states)


def test_an_unknown_target_stops_before_the_model_runs():
    with pytest.raises(RankError, match="No module of the blocks is named 'q_proj'"):
        measure(target_modules=["q_proj"])


def test_halves_of_blocks_and_normalized_states():
    whole, halves = measure(tiny_llama()), measure(tiny_llama(), granularity="sublayer")
    assert halves.settings.granularity == "sublayer"
    assert halves.sublayers == tuple(
        f"{block}/{half}" for block in whole.blocks for half in ("attention", "mlp")
    )
    assert len(halves.increments) == 2 * NUM_BLOCKS
    assert halves.dimensions[::2] == whole.dimensions
    normalized = measure(tiny_llama(), states="normalized")
    assert (whole.settings.states, normalized.settings.states) == ("raw", "normalized")
    assert normalized.dimensions != whole.dimensions
