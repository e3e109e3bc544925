import math
from dataclasses import replace

import pytest
import torch

from gelora.errors import ConfigError
from gelora.lab.theory import range_finder
from gelora.lab.theory.range_finder import LinearMap, leading_spectrum
from gelora.lab.theory.spectra import TOLERANCES, Spectrum

SPECTRA = {
    "flat": [1.0] * 60,
    "rank 7": [3.0, 3.0, 3.0, 2.0, 1.0, 0.5, 0.1],
    "rank 1": [5.0],
    "zero": [],
    "decaying fast": [0.7**i for i in range(60)],
    "decaying slowly": [1 / (i + 1.5) for i in range(60)],
    "a gap": [1.0] * 20 + [1e-5] * 40,
    "tiny": [1e-30 * 0.9**i for i in range(60)],
}


def matrix_of(singular_values, rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        torch.linalg.qr(torch.randn(side, side, dtype=torch.float64, generator=generator))[0]
        for side in (rows, columns)
    )
    rank = len(singular_values)
    values = torch.tensor(singular_values, dtype=torch.float64)
    return left[:, :rank] * values @ right[:, :rank].T


def map_of(matrix):
    forward, adjoint = (lambda v: v @ matrix.T), (lambda u: u @ matrix)
    return LinearMap(*matrix.shape, forward, adjoint, torch.device("cpu"))


def found_in(matrix, *, max_rank=60, tolerance=1e-3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return leading_spectrum(
        map_of(matrix), max_rank=max_rank, tolerance=tolerance, generator=generator
    )


@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (60, 60)], ids=str)
@pytest.mark.parametrize("max_rank", [1, 20, 60])
@pytest.mark.parametrize("name", SPECTRA)
def test_no_true_value_is_below_what_is_found_or_above_what_the_residual_allows(
    name, max_rank, shape, seed
):
    matrix = matrix_of(SPECTRA[name], *shape, seed)
    found = found_in(matrix, max_rank=max_rank, seed=seed)
    true = torch.linalg.svdvals(matrix)
    rounding = 1e-6 * true[0] + 1e-300
    values = torch.tensor(found.singular_values, dtype=torch.float64)
    assert len(values) <= max_rank
    assert found.size == 60
    below, left_out = true[: len(values)], true[len(values) :]
    assert (values <= below + rounding).all()
    assert (below <= (values.square() + found.residual**2).sqrt() + rounding).all()
    assert (left_out <= found.residual + rounding).all()


@pytest.mark.parametrize("name", SPECTRA)
def test_a_rank_that_is_called_exact_is_the_true_one(name, seed):
    matrix = matrix_of(SPECTRA[name], 60, 90, seed)
    whole = Spectrum(tuple(torch.linalg.svdvals(matrix).tolist()), size=60)
    found = found_in(matrix, seed=seed)
    for tolerance in TOLERANCES:
        rank = found.numerical_rank(tolerance)
        if rank.is_exact:
            assert rank == whole.numerical_rank(tolerance)
    assert found.numerical_rank(1e-3).is_exact


@pytest.mark.parametrize("name", [name for name in SPECTRA if name != "zero"])
def test_the_whole_spectrum_is_found_where_there_is_no_limit(name, seed):
    matrix = matrix_of(SPECTRA[name], 60, 60, seed)
    found = found_in(matrix, tolerance=0.0, seed=seed)
    true = torch.linalg.svdvals(matrix)
    values = torch.tensor(found.singular_values, dtype=torch.float64)
    assert found.is_whole
    assert torch.allclose(values, true[: len(values)], rtol=0, atol=1e-6 * float(true[0]))


def test_the_largest_are_found_closely_long_before_all_are(seed):
    matrix = matrix_of([1 / (i + 1.5) for i in range(200)], 200, 300, seed)
    found = found_in(matrix, max_rank=64, seed=seed).singular_values
    true = torch.linalg.svdvals(matrix)[:10].tolist()
    assert found[:10] == pytest.approx(true, rel=1e-2)


def test_nothing_is_found_in_zero_and_in_nothing():
    assert found_in(torch.zeros(5, 8, dtype=torch.float64)) == Spectrum((), size=5)
    assert found_in(torch.zeros(5, 0, dtype=torch.float64)) == Spectrum((), size=0)


def test_no_more_is_multiplied_than_the_rank_asks_for(seed):
    matrix, products = matrix_of(SPECTRA["rank 7"], 60, 90, seed), []
    plain = map_of(matrix)

    def forward(directions):
        products.append(len(directions))
        return plain.forward(directions)

    generator = torch.Generator().manual_seed(seed)
    counted = replace(plain, forward=forward)
    found = leading_spectrum(counted, max_rank=60, tolerance=1e-3, generator=generator)
    assert found.numerical_rank() == (7, True)
    assert products == [range_finder.BLOCK] * 2  # one finds them, the other that there are no more


def test_what_is_held_at_once_does_not_depend_on_the_columns(monkeypatch, seed):
    matrix, held = matrix_of(SPECTRA["decaying slowly"], 60, 90, seed), []
    plain = map_of(matrix)

    def forward(directions):
        held.append(directions.numel())
        return plain.forward(directions)

    monkeypatch.setattr(range_finder, "MAX_NUMBERS", 300)
    directions = torch.eye(60, dtype=torch.float64)
    assert torch.allclose(replace(plain, forward=forward).outer(directions), matrix @ matrix.T)
    assert max(held) <= 300
    assert len(held) == 20


def test_the_seed_decides_the_directions():
    matrix = matrix_of(SPECTRA["decaying slowly"], 60, 60, 0)
    assert found_in(matrix, max_rank=9, seed=1) == found_in(matrix, max_rank=9, seed=1)
    assert found_in(matrix, max_rank=9, seed=1) != found_in(matrix, max_rank=9, seed=2)


def test_probes_miss_no_more_often_than_stated(monkeypatch, seed):
    # Of all matrices those of rank 1 are missed most often: one direction alone must be met.
    monkeypatch.setattr(range_finder, "MISS_PROBABILITY", 0.3)
    generator = torch.Generator().manual_seed(seed)
    probes = torch.randn(1000, 4, 1, dtype=torch.float64, generator=generator)
    missed = sum(range_finder._bound_by_probes(images) < 1.0 for images in probes) / 1000
    # The probability is (erf(1 / (a sqrt(2))))^4 = 0.175, with a = sqrt(2/pi) 0.3^(-1/4).
    reach = 0.3**0.25 * math.sqrt(math.pi / 2)
    expected = math.erf(reach / math.sqrt(2)) ** 4
    assert missed == pytest.approx(expected, abs=5 * math.sqrt(expected / 1000))
    assert expected <= 0.3


@pytest.mark.parametrize("name", ["flat", "decaying fast", "decaying slowly", "a gap"])
def test_lanczos_bounds_the_largest_eigenvalue_from_above_and_closely(name, seed):
    values = torch.tensor(SPECTRA[name], dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(1, 60, dtype=torch.float64, generator=generator)
    bound = range_finder._bound_by_lanczos(lambda one: one * values, start / start.norm())
    assert (1 - 1e-12) * values[0] <= bound <= 1.25 * values[0]


@pytest.mark.parametrize("bad", [{"max_rank": 0}, {"tolerance": -0.1}, {"tolerance": 1.0}])
def test_what_cannot_be_sought_is_refused(bad):
    ((name, value),) = bad.items()
    with pytest.raises(ConfigError, match=f"{name} must be at least .* Got {value}"):
        found_in(torch.eye(3, dtype=torch.float64), **bad)
