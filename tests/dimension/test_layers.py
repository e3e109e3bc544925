"""All layers together: which samples count, which layers are constant, and paired increments."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gelora.dimension import ESTIMATORS, estimate_layers, two_nearest_neighbors
from gelora.dimension.estimators import make_estimator
from gelora.errors import ConfigError, HiddenStatesError, NonFiniteStatesError, TooFewSamplesError
from manifolds import gaussian


def residual_chain(
    num_samples: int, num_layers: int, *, seed: int, width: int = 48, sublayer: float = 1.0
) -> list[Tensor]:
    """Draw a manifold and send it through random residual layers."""
    rng = np.random.default_rng(seed)
    states = [gaussian(num_samples, seed=seed, dimension=8) @ rng.normal(size=(8, width)) / 3]
    layers = np.random.default_rng(0)  # the same network for all samples
    for _ in range(num_layers - 1):
        inner = np.tanh(states[-1] @ layers.normal(size=(width, width)) / np.sqrt(width))
        states.append(states[-1] + sublayer * inner)
    return [torch.from_numpy(layer).float() for layer in states]


def names(states: list[Tensor]) -> list[str]:
    return [f"layer {i}" for i in range(len(states))]


def test_each_layer_as_if_alone(seed: int) -> None:
    states = residual_chain(200, 3, seed=seed)
    estimates = estimate_layers(
        states, layer_names=names(states), all_estimators=True, discard_fraction=0.2
    )
    assert tuple(estimates.series) == ESTIMATORS
    for name, series in estimates.series.items():
        estimator = make_estimator(name, discard_fraction=0.2)
        expected = [estimator.estimate(layer) for layer in states]
        assert series.dimensions == tuple(one.dimension for one in expected)
        assert series.standard_errors == tuple(one.standard_error for one in expected)
        assert series.increments == tuple(np.diff(series.dimensions))
    np.testing.assert_array_equal(estimates.kept, np.arange(200))
    assert (estimates.num_used, estimates.num_duplicates, estimates.num_near_duplicates) == (
        200,
        0,
        0,
    )
    assert estimates.set_aside_by_layer == (0, 0, 0)
    assert estimates.constant_layers == ()


def test_both_twonn_are_always_there_and_the_one_asked_for(seed: int) -> None:
    states = residual_chain(100, 2, seed=seed)
    all_of_them = estimate_layers(states, layer_names=names(states), all_estimators=True).series
    for name in ESTIMATORS:
        found = estimate_layers(states, layer_names=names(states), estimator=name).series
        assert set(found) == {"twonn_linfit", "twonn_mle", name}
        assert all(series == all_of_them[one] for one, series in found.items())


def test_an_estimator_that_is_none() -> None:
    states = residual_chain(60, 2, seed=0)
    with pytest.raises(ConfigError, match="Got 'gride_3'"):
        estimate_layers(states, layer_names=names(states), estimator="gride_3")


def test_tensors_arrays_and_files_give_the_same(seed: int, tmp_path: Path) -> None:
    states = residual_chain(100, 2, seed=seed)
    expected = estimate_layers(states, layer_names=names(states))
    arrays = [layer.numpy() for layer in states]
    for i, array in enumerate(arrays):
        np.save(tmp_path / f"{i}.npy", array)
    mapped = [np.load(tmp_path / f"{i}.npy", mmap_mode="r") for i in range(2)]
    for same in (arrays, mapped):
        estimates = estimate_layers(same, layer_names=names(states))
        assert estimates.series == expected.series
        assert estimates.log_mu_quantiles == expected.log_mu_quantiles


def test_the_quantiles_are_those_of_the_ratios(seed: int) -> None:
    states = residual_chain(100, 1, seed=seed)
    (quantiles,) = estimate_layers(
        states, layer_names=names(states), num_quantiles=4
    ).log_mu_quantiles
    distances, _ = two_nearest_neighbors(states[0])
    log_mu = np.log(distances[:, 1] / distances[:, 0])
    expected = np.quantile(log_mu, [0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(quantiles, expected, rtol=1e-12)


def test_an_increment_has_the_error_of_paired_samples(seed: int) -> None:
    runs = []
    for i in range(60):
        states = residual_chain(300, 2, seed=1000 * seed + i)
        runs.append(estimate_layers(states, layer_names=names(states), all_estimators=True).series)
    for name in ESTIMATORS:
        spread = np.std([run[name].increments[0] for run in runs])
        stated = np.mean([run[name].increment_standard_errors[0] for run in runs])
        independent = np.mean([np.hypot(*run[name].standard_errors) for run in runs])
        assert 0.65 < stated / spread < 1.6
        assert independent > 1.5 * stated


@pytest.mark.slow
def test_intervals_hold_the_mean_as_often_as_they_say(seed: int) -> None:
    values, errors = {}, {}
    for i in range(100):
        states = residual_chain(500, 2, seed=1000 * seed + i, sublayer=0.5)
        found = estimate_layers(states, layer_names=names(states), all_estimators=True)
        for name, series in found.series.items():
            values.setdefault(name, []).append([*series.dimensions, *series.increments])
            errors.setdefault(name, []).append(
                [*series.standard_errors, *series.increment_standard_errors]
            )
    for name in ESTIMATORS:
        centered = np.array(values[name]) - np.mean(values[name], axis=0)
        covered = np.mean(np.abs(centered) < 1.96 * np.array(errors[name]), axis=0)
        assert covered.min() >= 0.84  # 0.95 nominally; 0.02 is one standard error over 100 draws


def test_backwards_an_increment_is_its_negative_with_the_same_error(seed: int) -> None:
    states = [torch.from_numpy(gaussian(200, seed=seed + i, dimension=4 + i)) for i in range(2)]
    forths = estimate_layers(states, layer_names=["a", "b"], all_estimators=True).series
    backs = estimate_layers(states[::-1], layer_names=["b", "a"], all_estimators=True).series
    for forth, back in zip(forths.values(), backs.values(), strict=True):
        assert forth.increments[0] == -back.increments[0]
        errors = (forth.increment_standard_errors[0], back.increment_standard_errors[0])
        assert errors[0] == pytest.approx(errors[1], rel=1e-9)


def test_a_layer_that_only_turns_and_stretches_adds_nothing_for_certain(seed: int) -> None:
    rng = np.random.default_rng(seed)
    states = [gaussian(200, seed=seed)]
    states.append(5 * states[0] @ np.linalg.qr(rng.normal(size=(8, 8)))[0] + 3)
    found = estimate_layers(states, layer_names=["in", "out"], all_estimators=True)
    for series in found.series.values():
        assert series.increments[0] == pytest.approx(0, abs=1e-9)
        assert series.increment_standard_errors[0] == pytest.approx(0, abs=1e-9)


def test_no_increment_belongs_to_the_start_of_a_stack(seed: int) -> None:
    states = residual_chain(100, 5, seed=seed)
    series = estimate_layers(states, layer_names=names(states), first_layers=(0, 3)).series
    dimensions = series["twonn_linfit"].dimensions
    expected = [dimensions[i] - dimensions[i - 1] for i in (1, 2, 4)]
    assert series["twonn_linfit"].increments == tuple(expected)


def test_a_constant_layer_has_dimension_0(seed: int) -> None:
    states = residual_chain(200, 2, seed=seed)
    states.insert(0, torch.full((200, 48), 0.3))
    estimates = estimate_layers(states, layer_names=names(states))
    assert estimates.constant_layers == (0,)
    assert estimates.log_mu_quantiles[0] == ()
    assert estimates.num_used == 200
    for series in estimates.series.values():
        assert (series.dimensions[0], series.standard_errors[0]) == (0.0, 0.0)
        assert series.increments[0] == series.dimensions[1]
        assert series.increment_standard_errors[0] == series.standard_errors[1]


def test_a_layer_of_few_values_is_constant_too(seed: int) -> None:
    states = residual_chain(200, 2, seed=seed)
    last_tokens = torch.from_numpy(gaussian(12, seed=seed)).float()
    states.insert(0, last_tokens[torch.arange(200) % 12])
    estimates = estimate_layers(states, layer_names=names(states))
    assert estimates.constant_layers == (0,)
    assert (estimates.num_used, estimates.num_duplicates) == (200, 0)


@pytest.mark.parametrize(("num_values", "constant"), [(191, ()), (189, (0,))])
def test_a_layer_is_constant_when_more_than_a_twentieth_coincide_there(num_values, constant, seed):
    states = residual_chain(200, 2, seed=seed)
    states.insert(0, states[0][torch.arange(200) % num_values].clone())
    estimates = estimate_layers(states, layer_names=names(states))
    assert estimates.constant_layers == constant
    assert estimates.num_used == (200 if constant else num_values)


def test_texts_given_often_make_no_layer_constant(seed: int) -> None:
    distinct = residual_chain(100, 3, seed=seed)
    states = [layer.repeat(3, 1) for layer in distinct]
    estimates = estimate_layers(states, layer_names=names(states))
    assert (estimates.num_duplicates, estimates.num_near_duplicates) == (200, 0)
    assert estimates.constant_layers == ()
    assert estimates.series == estimate_layers(distinct, layer_names=names(states)).series


def test_a_copy_at_one_layer_is_set_aside_at_all_and_counted(seed: int) -> None:
    states = residual_chain(100, 3, seed=seed)
    states[0][96:] = states[0][:4]
    states[2][86:96] = states[2][10:20] * (1 + 1e-6)
    estimates = estimate_layers(states, layer_names=names(states))
    rest = [layer[:86] for layer in states]
    assert estimates.series == estimate_layers(rest, layer_names=names(states)).series
    counts = estimates.num_used, estimates.num_duplicates, estimates.num_near_duplicates
    assert counts == (86, 4, 10)
    assert estimates.set_aside_by_layer == (4, 0, 10)
    np.testing.assert_array_equal(estimates.kept, np.arange(86))


def test_values_that_are_not_finite_name_the_layer() -> None:
    states = residual_chain(60, 2, seed=0)
    states[1][3, :4] = torch.inf
    match = r"0 NaN and 4 infinite values among 2880 at layer 'layer 1'"
    with pytest.raises(NonFiniteStatesError, match=match):
        estimate_layers(states, layer_names=names(states))


def test_distances_that_tie_name_the_layer() -> None:
    lattice = np.stack(np.meshgrid(*[np.arange(4.0)] * 3), axis=-1).reshape(-1, 3)
    with pytest.raises(HiddenStatesError, match="At layer 'tied': .* of 64 samples have their"):
        estimate_layers([gaussian(64, seed=0), lattice], layer_names=["free", "tied"])


def test_layers_of_different_samples() -> None:
    states = residual_chain(60, 2, seed=0)
    with pytest.raises(HiddenStatesError, match=r"the same samples; got \[60, 59\] rows"):
        estimate_layers([states[0], states[1][:59]], layer_names=names(states))


def test_one_text_only() -> None:
    states = [layer[:1].repeat(60, 1) for layer in residual_chain(60, 2, seed=0)]
    with pytest.raises(TooFewSamplesError, match=r"No layer varies \(samples: 60\): measure on"):
        estimate_layers(states, layer_names=names(states))


def test_too_few_samples_name_the_counts() -> None:
    states = [layer.repeat(2, 1) for layer in residual_chain(40, 2, seed=0)]
    with pytest.raises(TooFewSamplesError, match="40 of 80 are left: 40 are copies and 0 near-cop"):
        estimate_layers(states, layer_names=names(states))
