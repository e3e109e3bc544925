"""Two profiles side by side: identities, errors by simulation, and what cannot be compared."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gelora
from example_profiles import make_profile, profile_of
from gelora.dimension.layers import estimate_layers
from gelora.errors import ConfigError, ModelMismatchError, ProfileMismatchWarning
from gelora.ranks import plan_ranks
from gelora.ranks.comparing import Change, compare_profiles
from tiny_models import tiny_bert, tiny_llama

dimensions = st.floats(0, 30)
pairs = st.lists(st.tuples(dimensions, dimensions), min_size=2, max_size=8)


@pytest.mark.usefixtures("few_draws")
@given(pairs, st.sampled_from([{}, {"rank_rule": "confident"}, {"budget": "r=6"}, {"max_rank": 3}]))
def test_it_is_both_profiles_and_both_plans_with_their_differences(layers, rule):
    before, after = (make_profile(column) for column in zip(*layers, strict=True))
    found = compare_profiles(before, after, **rule)
    assert found.plans == (plan_ranks(before, **rule), plan_ranks(after, **rule))
    assert [(change.before, change.after) for change in found.dimensions] == layers
    assert [change.before for change in found.increments] == list(before.increments)
    assert [change.after for change in found.increments] == list(after.increments)
    assert found.ranks_saved == sum(found.plans[0].ranks) - sum(found.plans[1].ranks)
    assert found.parameters_saved == 256 * found.ranks_saved  # each rank costs the same here


@pytest.mark.usefixtures("few_draws")
@given(pairs)
def test_the_other_way_round_every_difference_changes_its_sign(layers):
    before, after = (make_profile(column) for column in zip(*layers, strict=True))
    there, back = compare_profiles(before, after), compare_profiles(after, before)
    for one, other in zip(
        (*there.dimensions, *there.increments), (*back.dimensions, *back.increments), strict=True
    ):
        assert one.difference == -other.difference
        assert one.standard_error == other.standard_error
        assert one.is_clear == other.is_clear
    assert there.parameters_saved == -back.parameters_saved
    assert there.total_ranks == back.total_ranks[::-1]


@pytest.mark.usefixtures("few_draws")
@given(st.lists(dimensions, min_size=2, max_size=8))
def test_a_profile_does_not_differ_from_itself(layers):
    found = compare_profiles(make_profile(layers), make_profile(layers))
    assert not any(change.difference or change.is_clear for change in found.dimensions)
    assert (found.ranks_saved, found.parameters_saved) == (0, 0)


def test_differences_and_savings_by_hand():
    found = compare_profiles(make_profile([5, 8, 6]), make_profile([5, 6.75, 7]), max_rank=9)
    first, second = found.increments
    assert (first.before, first.after, first.difference) == (3, 1.75, -1.25)
    assert second.difference == 2.25
    assert first.standard_error == pytest.approx(0.05 * 2**0.5)
    assert found.dimensions[0].standard_error == pytest.approx(0.1 * 2**0.5)
    assert [plan.ranks for plan in found.plans] == [(4, 1), (3, 1)]
    assert found.total_ranks == (5, 4)
    assert found.parameters_saved == 256


def test_halves_of_blocks_are_sublayers_of_their_own():
    before = make_profile([5, 8, 8], granularity="sublayer")
    after = make_profile([5, 8, 9], granularity="sublayer")
    found = compare_profiles(before, after, target_modules="all-linear")
    assert [change.difference for change in found.increments] == [0, 1]
    assert [plan.ranks for plan in found.plans] == [(4, 1), (4, 2)]
    assert found.parameters_saved == -96


@pytest.mark.parametrize(("difference", "is_clear"), [(0.9, False), (1.1, True), (-1.1, True)])
def test_two_standard_errors_are_clear(difference, is_clear):
    assert Change(8, 0.3, 8 + difference, 0.4).is_clear == is_clear


def test_the_error_is_right_for_two_sets_of_texts_and_safe_for_one():
    """Clouds of 6 and 4 dimensions that a tuning stretches: over draws, z is standard normal."""
    random = np.random.default_rng(0)
    apart, same = [], []
    for _ in range(80):
        states = [random.normal(size=(200, 6)), random.normal(size=(200, 6))]
        first, second = (_measured(points) for points in states)
        stretched = _measured(states[0] * [1.2, 1, 1, 1, 1, 0.9])
        apart.append(_z_values(first, second))
        same.append(_z_values(first, stretched))
    assert np.abs(np.mean(apart, axis=0)).max() < 4 / 80**0.5
    assert 0.75 < np.std(apart, axis=0).min() <= np.std(apart, axis=0).max() < 1.3
    assert np.std(same, axis=0).max() < 0.25


def test_it_is_json_with_both_sides_of_everything():
    found = gelora.compare_profiles(make_profile([5, 8, 6]), make_profile([5, 8, 8.5]))
    payload = json.loads(json.dumps(found.to_dict()))
    assert payload["dimensions"][2] == {
        "layer": "layer.1",
        "before": 6.0,
        "before_standard_error": 0.1,
        "after": 8.5,
        "after_standard_error": 0.1,
        "difference": 2.5,
        "standard_error": pytest.approx(0.1 * 2**0.5),
    }
    assert [sublayer["sublayer"] for sublayer in payload["increments"]] == ["layer.0", "layer.1"]
    assert payload["ranks"] == [[4, 1], [4, 2]]
    assert payload["total_ranks"] == [5, 6]
    assert payload["parameters"] == [[1024, 256], [1024, 512]]
    assert payload["trainable_parameters"] == [1280, 1536]
    assert payload["certainties"][0] == list(found.plans[0].certainties)
    assert payload["rule"] == "paper"
    assert payload["profile_hashes"] == [found.before.content_hash(), found.after.content_hash()]


def test_other_weights_are_what_it_is_for():
    before, after = (profile_of(tiny_bert()) for _ in range(2))
    moved = {**after.fingerprint, "block_weights": [0.5] * 32}
    found = compare_profiles(before, replace(after, fingerprint=moved))
    assert found.ranks_saved == 0


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (tiny_llama(), "of a bert model of 3 blocks and the second of a llama model of 3"),
        (tiny_bert(num_hidden_layers=2), "of 3 blocks and the second of a bert model of 2 blocks"),
        (tiny_bert(intermediate_size=48), "the second of another, with other modules or shapes"),
    ],
)
def test_another_architecture_is_refused(other, message):
    with pytest.raises(ModelMismatchError, match=message):
        compare_profiles(profile_of(tiny_bert()), profile_of(other))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pooling": "last"}, "with pooling mean and the second with last"),
        ({"states": "normalized"}, "with states raw and the second with normalized"),
        ({"discard_fraction": 0.2}, "with discard_fraction 0.1 and the second with 0.2"),
    ],
)
def test_profiles_measured_in_other_ways_are_refused(change, message):
    profile = make_profile([5, 8, 6])
    with pytest.raises(ConfigError, match=message):
        compare_profiles(profile, replace(profile, settings=replace(profile.settings, **change)))


def test_any_estimator_that_both_have_can_be_compared():
    other = make_profile([5, 8.5, 9]).series["twonn_linfit"]
    before = make_profile([5, 8, 6])
    after = replace(before, series={**before.series, "gride_8": other})
    both = compare_profiles(
        replace(after, settings=replace(after.settings, estimator="gride_8")), after
    )  # the first's own
    assert [plan.ranks for plan in both.plans] == [(5, 1), (5, 1)]
    assert both.to_dict()["estimator"] == "gride_8"
    assert both.profile_hashes[1] == after.content_hash() != both.plans[1].profile_hash
    named = compare_profiles(after, after, estimator="twonn_mle")
    assert named.after.settings.estimator == "twonn_mle"
    message = "no dimensions by gride_8, only by twonn_linfit, twonn_mle: measure both with"
    with pytest.raises(ConfigError, match=message):
        compare_profiles(after, before, estimator="gride_8")


def test_another_granularity_is_refused():
    message = "granularity block and the second with sublayer"
    with pytest.raises(ConfigError, match=message):
        compare_profiles(profile_of(tiny_bert()), profile_of(tiny_bert(), granularity="sublayer"))


@pytest.mark.parametrize(("samples", "warns"), [(950, False), (949, True), (1053, True)])
def test_unlike_numbers_of_samples_are_warned_of(samples, warns):
    before = replace(make_profile([5, 8]), num_used=1000)
    after = replace(before, num_used=samples)
    if not warns:
        with warnings.catch_warnings(action="error"):
            compare_profiles(before, after)
        return
    message = rf"rests on 1,000 samples and the second on {samples:,}: .* --precision 0"
    with pytest.warns(ProfileMismatchWarning, match=message) as caught:
        compare_profiles(before, after)
    assert caught[0].filename == __file__


def test_the_rule_s_own_errors_come_through():
    with pytest.raises(ConfigError, match="min_rank must be .* Got 0"):
        compare_profiles(make_profile([5, 8]), make_profile([5, 8]), min_rank=0)


def _measured(points):
    """Return a profile of the points, and of their first four coordinates as the next layer."""
    found = estimate_layers([points, points[:, :4]], layer_names=["all", "four"])
    return replace(make_profile([0, 0]), series=dict(found.series))


def _z_values(before, after):
    found = compare_profiles(before, after)
    changes = (*found.dimensions, *found.increments)
    return [change.difference / change.standard_error for change in changes]
