"""Ranks of spectra: against matrices of known rank, and what must hold for any singular values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelora.lab.theory.spectra import TOLERANCES, Spectrum

values = st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=12).map(
    lambda some: tuple(sorted(some, reverse=True))
)
tolerances = st.floats(1e-9, 0.999)


@st.composite
def spectra(draw: st.DrawFn) -> Spectrum:
    """Draw one that is whole, or of which some singular values are left out."""
    found = draw(values)
    left_out = draw(st.integers(0, 20))
    residual = found[-1] * draw(st.floats(0.01, 1)) if left_out else 0.0
    return Spectrum(found, len(found) + left_out, residual)


@pytest.mark.parametrize("rank", [0, 1, 5, 20])
def test_a_matrix_of_known_rank_has_that_rank_at_any_tolerance(rank, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(30, rank)) @ rng.normal(size=(rank, 20))
    spectrum = Spectrum(tuple(np.linalg.svd(matrix, compute_uv=False).tolist()), size=20)
    assert spectrum.numerical_rank(1e-9) == (rank, True) == (np.linalg.matrix_rank(matrix), True)


@given(spectra(), tolerances, tolerances)
def test_a_rank_falls_as_the_tolerance_grows_and_does_not_become_uncertain(spectrum, one, other):
    strict, loose = (spectrum.numerical_rank(each) for each in sorted([one, other]))
    assert strict.value >= loose.value
    assert loose.is_exact or not strict.is_exact


@given(values, st.data(), tolerances)
def test_what_is_left_out_never_makes_an_exact_rank_wrong(whole, data, tolerance):
    """Cut a spectrum anywhere: the rank stated is that of the whole, or not above it."""
    kept = data.draw(st.integers(1, len(whole)))
    residual = whole[kept] if kept < len(whole) else 0.0
    cut = Spectrum(whole[:kept], len(whole), residual).numerical_rank(tolerance)
    true = Spectrum(whole, len(whole)).numerical_rank(tolerance)
    assert true.is_exact
    assert cut.value == true.value if cut.is_exact else cut.value <= true.value


@given(spectra(), st.data())
def test_a_rank_is_reached_below_the_share_of_its_singular_value_alone(spectrum, data):
    rank = data.draw(st.integers(1, len(spectrum.singular_values)))
    share = spectrum.share_of_largest(rank)
    assert spectrum.numerical_rank(share * (1 - 1e-9)).value >= rank
    assert spectrum.numerical_rank(share * (1 + 1e-9)).value < rank


@given(spectra())
def test_a_rank_beyond_those_found_bears_the_residuals_share_at_most(spectrum):
    beyond = spectrum.share_of_largest(len(spectrum.singular_values) + 1)
    assert beyond == spectrum.residual / spectrum.largest
    assert spectrum.numerical_rank(beyond * (1 + 1e-9)).is_exact


@given(spectra(), st.integers(-40, 40), tolerances)
def test_no_rank_depends_on_the_scale(spectrum, exponent, tolerance):
    factor = 2.0**exponent  # exact, so that nothing is rounded across the threshold
    scaled = Spectrum(
        tuple(factor * value for value in spectrum.singular_values),
        spectrum.size,
        factor * spectrum.residual,
    )
    assert scaled.numerical_rank(tolerance) == spectrum.numerical_rank(tolerance)
    assert scaled.stable_rank == pytest.approx(spectrum.stable_rank)
    assert scaled.effective_rank == pytest.approx(spectrum.effective_rank)


@given(values)
def test_stable_and_effective_rank_lie_between_one_and_the_rank(found):
    spectrum = Spectrum(found, len(found))
    for rank in (spectrum.stable_rank, spectrum.effective_rank):
        assert 1 - 1e-9 <= rank <= len(found) + 1e-9


@given(st.integers(1, 12), st.floats(1e-300, 1e300), st.integers(0, 5))
def test_equal_singular_values_have_one_rank_by_any_measure(number, value, zeros):
    spectrum = Spectrum((value,) * number + (0.0,) * zeros, number + zeros)
    assert spectrum.stable_rank == pytest.approx(number)
    assert spectrum.effective_rank == pytest.approx(number)
    assert {spectrum.numerical_rank(each).value for each in TOLERANCES} == {number}


@given(values)
def test_one_more_direction_as_strong_as_any_adds_one_to_the_stable_rank(found):
    more = Spectrum((found[0], *found), len(found) + 1)
    assert more.stable_rank == pytest.approx(Spectrum(found, len(found)).stable_rank + 1)


@given(values, values)
def test_effective_ranks_of_independent_factors_multiply(one, other):
    """The singular values of a Kronecker product are all products, and entropies add."""
    both = tuple(sorted((a * b for a in one for b in other), reverse=True))
    parts = [Spectrum(each, len(each)).effective_rank for each in (one, other)]
    assert Spectrum(both, len(both)).effective_rank == pytest.approx(parts[0] * parts[1])


def test_the_stable_rank_is_the_frobenius_norm_over_the_spectral_one(seed):
    matrix = np.random.default_rng(seed).normal(size=(9, 7))
    spectrum = Spectrum(tuple(np.linalg.svd(matrix, compute_uv=False).tolist()), 7)
    norms = np.linalg.norm(matrix), np.linalg.norm(matrix, 2)
    assert spectrum.stable_rank == pytest.approx((norms[0] / norms[1]) ** 2)


@pytest.mark.parametrize("zero", [Spectrum((), 5), Spectrum((0.0, 0.0), 5)])
def test_a_zero_matrix_has_rank_zero_by_any_measure(zero):
    assert zero.numerical_rank() == (0, True)
    assert zero.stable_rank == zero.effective_rank == zero.share_of_largest(1) == 0.0


@given(st.floats(1e-320, 1e-300), st.floats(1e250, 1e300))
def test_a_singular_value_too_small_to_be_a_share_counts_for_nothing(tiny, huge):
    assert Spectrum((huge, tiny), 2).effective_rank == pytest.approx(1)


def test_an_uncertain_rank_says_so():
    assert str(Spectrum((2.0, 1.0), 9, residual=0.5).numerical_rank(0.1)) == "≥ 2"
    assert str(Spectrum((2.0, 1.0), 9, residual=0.5).numerical_rank(0.3)) == "2"
