from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from example_profiles import with_settings
from gelora.ranks import plan_ranks
from gelora.ranks.advice import measurement_advice
from gelora.report.diagnostics import layers_by_verdict
from gelora.report.stacks import list_layers
from gelora.report.templating import sentence
from report.example_run import example_profile


def test_verdicts_are_counted_and_those_that_occur_explained():
    profile = example_profile(constant=True, noisy=(3, 4, 5, 9))
    assert sentence("verdicts", profile) == (
        "Verdicts on the dimension: stable at 8 of 13 layers, noisy at 4 and constant at 1; at 10 "
        "it is high enough to be biased."
    )
    assert list(layers_by_verdict(profile)) == ["stable", "noisy", "constant"]
    noisy, constant = (sentence("meaning", name, profile) for name in ("noisy", "constant"))
    assert "the states' shape. This is so at block 3 to block 5 and block 9: compare" in noisy
    assert "This is so at embeddings: choose another --pooling" in constant


def test_verdict_sentence_names_the_layer_that_drifts_most():
    """A layer that falls from 14.0 to 10.9 is not called stable."""
    profile = example_profile()
    whole, part, *_ = profile.decimation
    moved = [(12, 14.0, 10.9), (3, 12.0, 10.4)]
    for layer, few, all_texts in moved:
        whole = replace(whole, dimensions=_with(whole.dimensions, layer, all_texts))
        part = replace(part, dimensions=_with(part.dimensions, layer, few))
    profile = replace(profile, decimation=(whole, replace(part, num_samples=250)))
    text = sentence("verdicts", profile)
    assert "stable at 11 of 13 layers and drifting at 2" in text
    assert "block 12, where it falls from 14.0 at 250 texts to 10.9 at 3,871" in text
    assert "at block 3 it falls from 12.0" in sentence("meaning", "drifting", profile)
    assert "block 12" not in sentence("meaning", "stable", profile)


def _with(values, index, value):
    return (*values[:index], value, *values[index + 1 :])


def test_where_all_is_stable_no_layer_is_named():
    profile = replace(example_profile(), biased_layers=())
    assert sentence("verdicts", profile) == ("Verdict on the dimension: stable at all 13 layers.")
    assert list(layers_by_verdict(profile)) == ["stable"]
    assert "block" not in sentence("meaning", "stable", profile)


ALL_MEASURED = "4,000 texts were measured: all that were asked for, or all there are."
NOT_REACHED = (
    f"{ALL_MEASURED} The largest standard error of an increment that counts is 0.07; 0.05 was "
    "asked for."
)
PRECISE = (
    "with a standard error of 0.07 or less in every increment that counts; 0.25 was asked for."
)
SETTLED = (
    "the ranks had stayed the same over three growths of their number. For "
    "ranks by other settings, measure with --precision 0."
)


@pytest.mark.parametrize(
    ("stopped_by", "precision", "text"),
    [
        ("num_samples", None, ALL_MEASURED),
        ("num_samples", 0.0, ALL_MEASURED),
        ("num_samples", 0.05, NOT_REACHED),
        ("precision", 0.25, f"Measuring stopped after 4,000 texts, {PRECISE}"),
        ("stable_ranks", 0.25, f"Measuring stopped after 4,000 texts: {SETTLED}"),
    ],
)
def test_why_measuring_stopped(stopped_by, precision, text):
    profile = replace(with_settings(example_profile(), precision=precision), stopped_by=stopped_by)
    assert sentence("stopped", profile) == text


def test_an_increment_out_of_a_constant_layer_does_not_count():
    profile = example_profile(constant=True)
    series = profile.series["twonn_linfit"]
    errors = (0.9, *series.increment_standard_errors[1:])
    series = replace(series, increment_standard_errors=errors)
    profile = replace(profile, series={"twonn_linfit": series})
    profile = with_settings(profile, precision=0.3)
    for reason in ("precision", "num_samples"):
        text = sentence("stopped", replace(profile, stopped_by=reason))
        assert "0.07" in text
        assert "0.9" not in text


def test_samples_and_copies_are_counted():
    text = sentence("samples", example_profile())
    assert "120 exact copies and 9 copies up to rounding" in text
    assert "(3.2 %); the same 3,871 are used at every layer: states as each block" in text
    distinct = replace(
        with_settings(example_profile(), states="normalized"),
        num_duplicates=0,
        num_near_duplicates=0,
    )
    assert sentence("samples", distinct) == (
        "No text repeats another, and all 3,871 are used at every layer: normalized states, with "
        "mean pooling."
    )


def test_layers_are_named_in_words():
    shares = (0.1,) * 10 + (0.51, 0.5, 0.83)
    profile = replace(example_profile(), biased_layers=(3, 4, 5, 6), top_variance_shares=shares)
    bias, coordinates = measurement_advice(profile, listed=partial(list_layers, profile))
    assert bias.startswith("At block 3 to block 6 the dimension is so high")
    assert "up to 83 % of the variance at block 10 and block 12, so" in coordinates


@pytest.mark.parametrize(("rule", "word"), [("paper", "is the same"), ("confident", "suffices")])
def test_the_least_sure_rank_is_named(rule, word):
    profile = example_profile((("layers.0", "layers.1"),), growth=2.0)
    plan = plan_ranks(profile, rank_rule=rule)
    chances = ({1: 0.25, 2: 0.75}, {1: 0.95, 2: 0.05})
    plan = replace(plan, ranks=(2, 1), rank_probabilities=chances)
    sure, least = (2, "rank 1 of block 2, with 0.95") if rule == "confident" else (
        1, "rank 2 of block 1, with 0.75",
    )  # fmt: skip
    text = sentence("chances", profile, plan)
    assert f"the rank {word} with a probability of 0.9 or more in {sure} of 2 blocks" in text
    assert text.endswith(f"the least sure is {least}.")


def test_a_budget_has_ranges_and_the_widest_is_named():
    profile = example_profile((("layers.0", "layers.1"),), growth=2.0)
    chances = ({3: 0.3, 4: 0.4, 5: 0.3}, {1: 0.04, 2: 0.5, 5: 0.46})
    plan = replace(plan_ranks(profile, budget="r=4"), ranks=(4, 3), rank_probabilities=chances)
    text = sentence("chances", profile, plan)
    assert "each of the 2 blocks a rank within its 90 % range" in text
    assert text.endswith("the widest is 2–5, about rank 3 of block 2.")
    assert "0." not in text


def test_steps_without_adapters_are_not_counted_as_sure():
    profile = example_profile((("layers.0", "layers.1"),), granularity="sublayer")
    assert "of 2 half blocks" in sentence("chances", profile, plan_ranks(profile))


def test_line_and_likelihood_that_agree_and_that_do_not():
    profile = example_profile()
    assert "agree: they differ most, by 5 %" in sentence("nearest", profile)
    line = profile.series["twonn_linfit"]
    halved = replace(line, dimensions=(line.dimensions[0] / 2, *line.dimensions[1:]))
    apart = replace(profile, series={"twonn_linfit": line, "twonn_mle": halved})
    said = sentence("nearest", apart)
    assert said.startswith(
        "Be careful: line fit and maximum likelihood differ by 100 % (8.01 and 4.01) at embeddings"
    )


def test_agreement_where_there_is_nothing_to_compare():
    constant = replace(example_profile(), constant_layers=tuple(range(13)))
    assert not sentence("nearest", constant)
    assert not sentence("farther", example_profile())


def test_the_widest_gap_to_farther_neighbours_is_named():
    profile = example_profile(all_estimators=True)
    line = profile.series["twonn_linfit"]
    raised = replace(line, dimensions=(*line.dimensions[:-1], 2 * line.dimensions[-1]))
    profile = replace(profile, series={**profile.series, "gride_4": raised})
    first, last = line.dimensions[-1], raised.dimensions[-1]
    assert (
        f"by up to 100 %, to {last:.2f} (Gride, n = 4) from {first:.2f} at block 12. Higher is"
        in sentence("farther", profile)
    )
    lower = example_profile(all_estimators=True)
    assert "16 %, to " in sentence("farther", lower)
    assert "Lower is usual" in sentence("farther", lower)


def test_the_widest_gap_of_the_fits_is_named():
    profile = example_profile()
    shares = (np.arange(50) + 0.5) / 50
    exact = [tuple(-np.log1p(-shares) / d) for d in profile.dimensions]
    # Below a point where the line has 1 - (1 - F)^stretch, the samples' share is F.
    for stretch, opening in (
        (1.2, "The fits are straight"),
        (1.9, "Be careful: the fits below bend"),
    ):
        bent = tuple(stretch * x for x in exact[7])
        fits = replace(profile, log_mu_quantiles=(*exact[:7], bent, (), *exact[9:]))
        gap = 100 * max(1 - (1 - shares[:45]) ** stretch - shares[:45])
        assert sentence("fits", fits).startswith(
            f"{opening}: line and samples differ by up to {gap:.1f} percentage points of F, at "
            "block 7"
        )
