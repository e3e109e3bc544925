"""Verdicts on the inequalities: what must hold for any numbers, and examples of each verdict."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from example_profiles import make_profile, profile_of
from gelora.errors import ModelMismatchError
from gelora.lab.theory.record import BlockJacobian
from gelora.lab.theory.spectra import Spectrum
from gelora.lab.theory.theorem import check_theorem
from tiny_models import tiny_t5

WIDTH = 32
ranks = st.integers(0, WIDTH)
dimensions = st.floats(0, WIDTH)
errors = st.floats(0, 3)
whole_spectra = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=WIDTH).map(
    lambda some: Spectrum(tuple(sorted(some, reverse=True)), WIDTH)
)
BEST_FIRST = ("holds", "tight", "violated")


def of_rank(rank, *, residual=0.0):
    return Spectrum((1.0,) * rank, WIDTH, residual)


def jacobians_of(profile, by_input, by_parameters):
    """The same spectra for every block."""
    return [
        BlockJacobian(block, by, tuple(spectra))
        for block in profile.blocks
        for by, spectra in (("input", by_input), ("parameters", by_parameters))
    ]


def profile_with(layers, *, error=0.1, sublayer_error=0.05, **arguments):
    profile = make_profile(layers, **arguments)
    series = replace(
        profile.series["twonn_linfit"],
        standard_errors=(error,) * len(layers),
        increment_standard_errors=(sublayer_error,) * (len(layers) - 1),
    )
    return replace(profile, series={"twonn_linfit": series})


def checked(left, error, spectra, **arguments):
    """The first inequality of one block whose output has the dimension `left`."""
    profile = profile_with([left, left], error=error)
    found, _ = check_theorem(profile, jacobians_of(profile, spectra, spectra), **arguments)
    return found


@pytest.mark.parametrize(
    ("left", "error", "spectrum", "verdict"),
    [
        (5.0, 0.1, of_rank(32), "holds"),
        (5.0, 0.1, of_rank(6), "holds"),
        (5.5, 0.1, of_rank(6), "tight"),
        (5.0, 0.6, of_rank(6), "tight"),
        (6.4, 0.1, of_rank(6), "tight"),
        (6.6, 0.1, of_rank(6), "violated"),
        (6.6, 0.3, of_rank(6), "tight"),
        (9.0, 0.3, of_rank(6), "violated"),
        (0.0, 0.0, of_rank(0), "tight"),
        (0.0, 0.0, of_rank(1), "holds"),
        (6.0, 0.1, of_rank(6, residual=0.5), "holds"),
        (6.1, 9.9, of_rank(6, residual=0.5), "undecided"),
        (9.0, 0.1, of_rank(6, residual=0.5), "undecided"),
        (9.0, 0.1, of_rank(6, residual=1e-9), "violated"),
    ],
)
def test_verdicts(left, error, spectrum, verdict):
    found = checked(left, error, [spectrum])
    assert (found.left, found.standard_error, found.verdict) == (left, error, verdict)


@given(dimensions, errors, ranks, ranks)
def test_a_higher_rank_never_has_a_worse_verdict(left, error, one, other):
    low, high = (checked(left, error, [of_rank(rank)]) for rank in sorted([one, other]))
    assert BEST_FIRST.index(high.verdict) <= BEST_FIRST.index(low.verdict)


@given(dimensions, errors, errors, ranks)
def test_a_larger_error_decides_less(left, one, other, rank):
    sure, unsure = (checked(left, error, [of_rank(rank)]) for error in sorted([one, other]))
    assert unsure.verdict in {sure.verdict, "tight"}


@given(dimensions, errors, ranks)
def test_an_inequality_that_is_met_is_never_called_violated(left, error, rank):
    found = checked(left, error, [of_rank(rank)])
    assert found.verdict != "violated" or left > rank + max(0.5, 2 * error) - 1e-9
    assert found.verdict != "holds" or left < rank - max(0.5, 2 * error) + 1e-9


@given(dimensions, errors, ranks, st.data())
def test_what_was_not_found_may_decide_for_the_theorem_but_never_against_it(
    left, error, true_rank, data
):
    found_rank = data.draw(st.integers(0, true_rank))
    cut = checked(left, error, [of_rank(found_rank, residual=1.0)])
    whole = checked(left, error, [of_rank(true_rank)])
    assert cut.verdict in {"holds", "undecided"}
    assert cut.verdict == "undecided" or whole.verdict != "violated"


@given(dimensions, st.lists(whole_spectra, min_size=1, max_size=4), st.floats(1e-9, 0.999))
def test_the_breaking_tolerance_is_where_the_rank_stops_to_reach_the_left_side(
    left, spectra, tolerance
):
    breaking = checked(left, 0.1, spectra).breaking_tolerance
    for factor in (1 - 1e-9, 1 + 1e-9):  # at the very value, rounding decides
        at = min(factor * breaking, 0.999) or tolerance
        assert (checked(left, 0.1, spectra, tolerance=at).rank.value >= left) == (at < breaking)


@given(dimensions, st.lists(whole_spectra, min_size=1, max_size=4), st.floats(1e-6, 0.5))
def test_the_rank_is_the_largest_over_the_samples(left, spectra, tolerance):
    each = [checked(left, 0.1, [one], tolerance=tolerance) for one in spectra]
    together = checked(left, 0.1, spectra, tolerance=tolerance)
    assert together.rank == max(one.rank for one in each)
    assert min(one.rank for one in each).value <= together.median_rank <= together.rank.value
    assert together.breaking_tolerance == max(one.breaking_tolerance for one in each)


def test_a_breaking_tolerance_that_was_not_found_is_a_bound_from_above():
    known, cut = Spectrum((1.0, 0.5, 0.1), WIDTH), Spectrum((1.0, 0.5), WIDTH, residual=0.3)
    for spectra, breaking in (([known], (0.1, True)), ([known, cut], (0.3, False))):
        found = checked(3.0, 0.1, spectra)
        assert (found.breaking_tolerance, found.breaking_is_exact) == breaking
    higher = checked(2.0, 0.1, [known, cut])
    assert (higher.breaking_tolerance, higher.breaking_is_exact) == (0.5, True)


def test_one_sample_of_uncertain_rank_makes_the_largest_uncertain():
    found = checked(7.0, 0.1, [of_rank(8), of_rank(3, residual=0.5), of_rank(5)])
    assert str(found.rank) == "≥ 8"
    assert found.median_rank == 5
    assert found.verdict == "holds"


def test_dimensions_meet_ranks_by_the_input_and_growth_those_by_the_parameters():
    profile = profile_with([5, 8, 6], error=0.1, sublayer_error=0.05)
    jacobians = jacobians_of(profile, [of_rank(8)], [of_rank(2)])
    found = check_theorem(profile, jacobians[::-1])
    assert [(one.block, one.statement, one.left, one.verdict) for one in found] == [
        ("layer.0", "dimension", 8, "tight"),
        ("layer.0", "increment", 3, "violated"),
        ("layer.1", "dimension", 6, "holds"),
        ("layer.1", "increment", 0, "holds"),
    ]
    assert [one.standard_error for one in found] == [0.1, 0.05] * 2
    assert [one.rank.value for one in found] == [8, 2] * 2


def test_halves_count_as_whole_blocks_and_their_errors_add_up():
    halves = profile_with([5, 9, 8, 7, 6], sublayer_error=0.2, granularity="sublayer")
    blocks = profile_with([5, 8, 6], sublayer_error=0.4)
    arguments = [of_rank(8)], [of_rank(2)]
    assert check_theorem(halves, jacobians_of(halves, *arguments)) == check_theorem(
        blocks, jacobians_of(blocks, *arguments)
    )


def test_growth_out_of_a_constant_layer_counts_for_nothing():
    profile = replace(profile_with([0, 8, 9]), constant_layers=(0,))
    found = check_theorem(profile, jacobians_of(profile, [of_rank(0)], [of_rank(0)]))
    assert [(one.left, one.standard_error) for one in found] == [
        (8, 0.1),
        (0, 0),
        (9, 0.1),
        (1, 0.05),
    ]
    assert [one.verdict for one in found] == ["violated", "tight", "violated", "violated"]
    assert [one.breaking_tolerance for one in found] == [0.0, 1.0, 0.0, 0.0]


def test_a_decoders_first_block_grows_from_the_decoders_own_embeddings():
    profile = profile_of(tiny_t5())
    found = check_theorem(profile, jacobians_of(profile, [of_rank(9)], [of_rank(9)]))
    assert [one.left for one in found[::2]] == [8, 6, 7] * 2
    assert [one.left for one in found[1::2]] == [3, 0, 1] * 2


@pytest.mark.parametrize("kept", [slice(0, 3), slice(0, 0), slice(1, None)])
def test_missing_jacobians_are_named(kept):
    profile = make_profile([5, 8, 6])
    some = jacobians_of(profile, [of_rank(1)], [of_rank(1)])[kept]
    has = ", ".join(f"{one.block} by {one.by}" for one in some) or "none"
    with pytest.raises(ModelMismatchError, match=rf"layer.0, layer.1, and has: {has}\. Measure"):
        check_theorem(profile, some)


def test_another_models_jacobians_are_refused():
    others = make_profile([5, 8, 6, 7])
    jacobians = jacobians_of(others, [of_rank(1)], [of_rank(1)])
    with pytest.raises(ModelMismatchError, match="layer.2 by input, layer.2 by parameters"):
        check_theorem(make_profile([5, 8, 6]), jacobians)
