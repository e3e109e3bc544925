"""The assessment of all layers: warnings that say what to do, bias, outlier coordinates, files."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from gelora.dimension import LayerDiagnostics, assess_layers, estimate_layers
from gelora.dimension.layers import LayerEstimates
from gelora.errors import ConstantStatesWarning, DuplicateSamplesWarning, UnstableDimensionWarning
from gelora.hidden_states import measure_dimensions
from manifolds import gaussian, noisy, twins
from tiny_models import tiny_bert, tiny_texts, tiny_tokenizer


def measure(layers: list, **arguments) -> tuple[LayerEstimates, LayerDiagnostics]:
    names = [f"layer {i}" for i in range(len(layers))]
    found = estimate_layers(layers, layer_names=names)
    return found, assess_layers(layers, found, layer_names=names, **arguments)


def test_clean_layers_give_no_warning(seed: int) -> None:
    layers = [gaussian(1000, seed=seed, dimension=d) for d in (3, 5, 9)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, trust = measure(layers)
    assert trust.verdicts == ("stable", "stable", "stable")
    assert trust.biased_layers == (2,)
    assert trust.decimation[0].dimensions == found.series["twonn_linfit"].dimensions
    assert [scale.num_samples for scale in trust.decimation] == [1000, 500, 250]


@pytest.mark.unchecked
def test_one_warning_names_every_doubtful_layer_and_what_to_do(seed: int) -> None:
    layers = [
        gaussian(1000, seed=seed),
        noisy(1000, seed=seed, dimension=2, noise=0.02),
        twins(1000, seed=seed),
        twins(1000, seed=seed + 1),
    ]
    match = (
        r"at 'layer 1' \([\d.]+\) it falls from near .*gride_8\); "
        r"at 'layer 2' \([\d.]+\), 'layer 3' \([\d.]+\) it rests on texts that nearly repeat"
    )
    with pytest.warns(UnstableDimensionWarning, match=match) as caught:
        _, trust = measure(layers)
    assert trust.verdicts == ("stable", "noisy", "duplicated", "duplicated")
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.unchecked
def test_a_warning_points_at_who_called_gelora_however_deep_it_arises() -> None:
    with pytest.warns(UnstableDimensionWarning) as caught:
        measure_dimensions(tiny_bert(), tiny_tokenizer(), tiny_texts(120))
    assert {one.filename for one in caught} == {__file__}


def test_too_few_samples_for_halves(seed: int) -> None:
    with pytest.warns(UnstableDimensionWarning, match=r"at 'layer 0' \([\d.]+\) it has a large er"):
        _, trust = measure([gaussian(399, seed=seed)])
    assert trust.verdicts == ("too few samples",)
    assert len(trust.decimation) == 1


def test_a_constant_layer_is_told_once_at_the_end(seed: int) -> None:
    layers = [np.full((600, 4), 0.3), gaussian(600, seed=seed, dimension=3)]
    with pytest.warns(ConstantStatesWarning, match=r"over distinct samples: 'layer 0'\.") as caught:
        _, trust = measure(layers)
    assert len(caught) == 1
    assert trust.verdicts == ("constant", "stable")
    assert trust.biased_layers == ()
    assert [scale.dimensions[0] for scale in trust.decimation] == [0.0, 0.0]
    assert [scale.standard_errors[0] for scale in trust.decimation] == [0.0, 0.0]
    assert trust.top_variance_shares[0] == 0.0


def test_samples_set_aside_are_counted_in_a_warning(seed: int) -> None:
    layers = [gaussian(1000, seed=seed, dimension=3) for _ in range(2)]
    for layer in layers:
        layer[940:970] = layer[:30]
    layers[0][970:] = layers[0][30:60] * (1 + 1e-6)
    with pytest.warns() as caught:
        _, trust = measure(layers)
    messages = {one.category: str(one.message) for one in caught}
    assert set(messages) == {DuplicateSamplesWarning, UnstableDimensionWarning}
    assert (
        "60 of 1000 samples were set aside: 30 copies and 30 near-copies"
        in messages[DuplicateSamplesWarning]
    )
    assert "'layer 0'" in messages[UnstableDimensionWarning]
    assert trust.verdicts == ("duplicated", "stable")  # 6 % at the first layer, 3 % at the second


def test_copies_up_to_a_twentieth_are_no_reason_to_warn(seed: int) -> None:
    layer = gaussian(1000, seed=seed, dimension=3)
    layer[950:] = layer[:50]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, trust = measure([layer])
    assert found.num_duplicates == 50
    assert trust.verdicts == ("stable",)


# Beside three wide coordinates the others are noise, at times so told.
@pytest.mark.filterwarnings("ignore::gelora.errors.UnstableDimensionWarning")
def test_the_share_of_outlier_coordinates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plain = rng.normal(size=(600, 10))
    shares = measure([plain + 1e6, plain * ([30, 20, 10] + [1] * 7)])[1].top_variance_shares
    variances = [plain.var(axis=0), plain.var(axis=0) * ([900, 400, 100] + [1] * 7)]
    expected = [np.sort(each)[-3:].sum() / each.sum() for each in variances]
    np.testing.assert_allclose(shares, expected, rtol=1e-6)
    narrow = gaussian(600, seed=seed, dimension=2)
    assert measure([narrow])[1].top_variance_shares == pytest.approx((1.0,))


def test_tiles_of_any_size_give_the_same_share(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = gaussian(600, seed=seed, dimension=5)
    expected = measure([layer])[1].top_variance_shares
    monkeypatch.setattr("gelora.dimension.stability._TILE_BYTES", 1000)
    assert measure([layer])[1].top_variance_shares == pytest.approx(expected, rel=1e-12)


def test_tensors_arrays_and_files_give_the_same(seed: int, tmp_path: Path) -> None:
    layer = gaussian(600, seed=seed, dimension=5).astype(np.float32)
    np.save(tmp_path / "layer.npy", layer)
    mapped = np.load(tmp_path / "layer.npy", mmap_mode="r")
    expected = measure([layer])[1]
    assert measure([torch.from_numpy(layer)])[1] == expected
    assert measure([mapped])[1] == expected


def test_the_seed_draws_the_parts(seed: int) -> None:
    layers = [gaussian(600, seed=seed, dimension=5)]
    one, same, other = (measure(layers, seed=number)[1].decimation for number in (1, 1, 2))
    assert one == same
    assert one[0] == other[0]
    assert one[1].dimensions != other[1].dimensions
