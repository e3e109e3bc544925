"""Drift with the number of texts: found beyond chance and a tenth, and named in words."""

from dataclasses import replace

import pytest

from example_profiles import make_profile
from gelora.dimension.drift import find_drift, verdict_word, verdict_words
from gelora.dimension.profile import DecimatedDimensions


def scales(*dimensions, error=0.2):
    """Return the dimensions of one layer on 4,000 samples, 2,000, 1,000, ..."""
    return tuple(
        DecimatedDimensions(4000 // 2**i, (dimension,), (error,))
        for i, dimension in enumerate(dimensions)
    )


QUICK_START = scales(10.9, 11.4, 12.1, 13.0, 14.0)


def test_find_drift_of_the_quick_start():
    drift = find_drift(QUICK_START, 0)
    assert str(drift) == "falls from 14.0 at 250 texts to 10.9 at 4,000"
    assert drift.share == pytest.approx(-0.284, abs=1e-3)


def test_find_drift_names_the_largest_of_all_scales():
    assert find_drift(scales(10.0, 12.0, 10.1), 0).num_part == 2000


@pytest.mark.parametrize(
    "decimation",
    [
        scales(10.0, 10.4, 10.9),  # less than a tenth
        scales(10.0, 10.9, 14.0, error=2.0),  # within chance
        scales(10.0),  # too few samples to part
        scales(0.0, 0.0),  # constant
    ],
)
def test_find_drift_is_none_within_a_tenth_or_chance(decimation):
    assert find_drift(decimation, 0) is None


def test_verdict_words_of_a_stable_layer_that_drifts_do_not_say_stable():
    profile = replace(make_profile((10.9, 10.9)), decimation=_twice(QUICK_START))
    assert verdict_word(profile, 0) == "drifting"
    words = verdict_words(replace(profile, biased_layers=(0,)), 0)
    assert words == "drifting: falls from 14.0 at 250 texts to 10.9 at 4,000; may be biased"


def test_verdict_words_state_stability_and_bias_together():
    profile = make_profile((5.0, 5.0))
    assert verdict_words(profile, 0) == "stable"
    assert verdict_words(replace(profile, biased_layers=(0,)), 0) == "stable; may be biased"
    noisy = replace(profile, verdicts=("noisy", "stable"), decimation=_twice(scales(10, 8, 6)))
    assert verdict_words(noisy, 0) == "noisy: rises from 6.0 at 1,000 texts to 10.0 at 4,000"


def _twice(decimation):
    return tuple(
        replace(part, dimensions=part.dimensions * 2, standard_errors=part.standard_errors * 2)
        for part in decimation
    )
