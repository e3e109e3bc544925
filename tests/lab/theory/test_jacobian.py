import accelerate
import numpy as np
import pytest
import torch

from gelora.errors import ArchitectureError, ConfigError, DataError, RankError, SkippedRowsWarning
from gelora.hidden_states.architectures import find_architecture
from gelora.hidden_states.batches import encode_texts, padded_batch
from gelora.lab.theory.block_maps import block_calls, block_maps
from gelora.lab.theory.jacobian import block_jacobians, sample_jacobians
from tiny_models import (
    NUM_BLOCKS,
    TINY_MODELS,
    WIDTH,
    tiny_batch,
    tiny_bert,
    tiny_llama,
    tiny_texts,
    tiny_tokenizer,
)

TEXTS = tiny_texts(6)


def jacobians_of(model, texts=TEXTS, **settings):
    return block_jacobians(model, tiny_tokenizer(), texts, **{"num_samples": 2, **settings})


@pytest.mark.parametrize("name", ["bert", "roberta", "deberta", "llama", "qwen3", "gpt2", "t5"])
def test_of_every_kind_of_model_both_jacobians_of_every_block_are_found(name):
    model = TINY_MODELS[name]()
    blocks = find_architecture(model).blocks
    found = jacobians_of(model, num_samples=1)
    assert [(each.block, each.by) for each in found] == [
        (block, by) for block in blocks for by in ("input", "parameters")
    ]
    for each in found:
        (spectrum,) = each.spectra
        assert spectrum.size == WIDTH
        assert spectrum.is_whole
        # A residual connection leaves no direction out; a layer norm at the end takes one.
        assert spectrum.numerical_rank(1e-5) == (
            WIDTH - (name in {"bert", "roberta", "deberta"}),
            True,
        )


def test_they_are_the_singular_values_of_the_matrices_at_the_texts_drawn():
    model, tokenizer = tiny_bert(), tiny_tokenizer()
    rows = encode_texts(tokenizer, model, TEXTS, num_samples=2, max_length=None, seed=3)
    names = [m.name for m in find_architecture(model).modules if m.role != "mlp"]
    found = iter(jacobians_of(model, seed=3))
    calls = [block_calls(model, padded_batch([row], tokenizer)) for row in rows]
    for index in range(NUM_BLOCKS):
        maps = [block_maps(one[index], modules=names, pooling="mean") for one in calls]
        for by in ("input", "parameters"):
            for each, spectrum in zip(maps, next(found).spectra, strict=True):
                whole = each[by].adjoint(torch.eye(WIDTH, dtype=torch.float64))
                true = torch.linalg.svdvals(whole).numpy()
                values = np.pad(
                    spectrum.singular_values, (0, WIDTH - len(spectrum.singular_values))
                )
                assert values == pytest.approx(true, abs=1e-6 * true[0])


def test_no_more_is_found_than_asked_for_and_none_is_called_exact():
    for each in jacobians_of(tiny_bert(), num_samples=1, max_rank=8):
        for spectrum in each.spectra:
            assert len(spectrum.singular_values) == 8
            assert spectrum.numerical_rank() == (8, False)


def test_the_last_token_stands_for_a_text_where_it_alone_has_seen_all():
    model = tiny_llama()
    assert jacobians_of(model) == jacobians_of(model, pooling="last")
    assert jacobians_of(model) != jacobians_of(model, pooling="mean")


def test_the_seed_decides_all_and_the_first_texts_stay():
    model = tiny_bert()
    first = jacobians_of(model, num_samples=1)
    both = jacobians_of(model)
    assert jacobians_of(model) == both
    for one, two in zip(first, both, strict=True):
        assert two.spectra[0].singular_values == pytest.approx(one.spectra[0].singular_values)
    assert jacobians_of(model, seed=1) != both


def test_a_model_that_accelerate_placed_is_read_as_any():
    model = tiny_bert()
    plain = jacobians_of(model, num_samples=1)
    accelerate.dispatch_model(model, {"": "cpu"}, force_hooks=True)
    assert jacobians_of(model, num_samples=1) == plain


def test_modules_that_are_not_adapted_are_no_parameters():
    found = jacobians_of(tiny_bert(), num_samples=1, target_modules=["layer.1.output.dense"])
    sizes = [each.spectra[0].size for each in found if each.by == "parameters"]
    assert sizes == [0, WIDTH, 0]


def test_a_bar_is_shown_on_demand_alone(capsys):
    jacobians_of(tiny_bert(), num_samples=1, progress=True)
    assert "Differentiating: 100%" in capsys.readouterr().err
    jacobians_of(tiny_bert(), num_samples=1)
    assert capsys.readouterr().err == ""


def test_long_texts_are_cut():
    with pytest.warns(SkippedRowsWarning, match="2 of 2"):
        jacobians_of(tiny_bert(), max_length=3)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({"num_samples": 0}, ConfigError, "num_samples must be a whole number, at least 1. Got 0"),
        ({"max_length": 0}, ConfigError, "max_length must be a whole number, at least 1. Got 0"),
        ({"max_rank": 0}, ConfigError, "max_rank must be at least 1. Got 0"),
        ({"pooling": "median"}, ConfigError, "pooling must be one of .* Got 'median'"),
        ({"target_modules": ["nothing"]}, RankError, "No module .* is named 'nothing'"),
        ({"texts": []}, DataError, "no texts"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_measured_is_refused(bad, error, message):
    with pytest.raises(error, match=message):
        jacobians_of(tiny_bert(), **bad)


def test_attention_must_be_known_where_it_is_adapted():
    class Mixer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = torch.nn.ModuleList([torch.nn.Sequential(torch.nn.Linear(4, 4))])

        def forward(self, states):
            return self.blocks[0](states)

    torch.manual_seed(0)
    samples = [{"states": torch.randn(1, 3, 4)}]
    with pytest.raises(ArchitectureError, match="No module of the blocks is known to mix tokens"):
        sample_jacobians(Mixer(), samples, pooling="mean")
    found = sample_jacobians(Mixer(), samples, pooling="mean", target_modules="all-linear")
    assert [each.spectra[0].numerical_rank() for each in found] == [(4, True), (4, True)]


def test_samples_are_needed():
    with pytest.raises(DataError, match="no samples"):
        sample_jacobians(tiny_bert(), [], pooling="mean")
    with pytest.raises(DataError, match="Got 4 rows of input_ids"):
        sample_jacobians(tiny_bert(), [tiny_batch("bert")], pooling="mean")
