"""Tables: what stands in which row, and the sentence about rank one."""

from dataclasses import replace

import pytest

from example_profiles import make_profile
from gelora.cli.tables import dimension_text, metrics_summary, metrics_text, rank_text
from gelora.ranks import plan_ranks

ACCURACY = {"value": 0.8125, "standard_error": 0.0125, "num_samples": 1043}
ALL_READ = "100 texts were measured: all that were asked for, or all there are."
COPIES = "1 exact copies and 1 copies up to rounding were set aside (2.0 %); the same 98"
RAW = "states as each block returns them, with mean pooling."
FIT = "The estimator is twonn_linfit, largest 10 % discarded, and ± is one standard error."
PAYLOAD = {
    "problem": "classification",
    "headline_metric": "accuracy",
    "history": [],
    "metrics": {"accuracy": ACCURACY},
    "baselines": {"frozen_encoder": {"accuracy": {**ACCURACY, "value": 0.5}}, "majority": {}},
    "trainable_parameters": {"adapter": 12345, "head": 770},
    "seconds": {"train": 61.7, "evaluate": 1.0},
}


def test_dimensions_have_errors_and_increments_signs():
    profile = replace(make_profile((5.0, 8.0, 6.5)), verdicts=("stable", "noisy", "stable"))
    assert dimension_text(profile).splitlines() == [
        "layer         dimension     increment  verdict",
        "embeddings  5.00 ± 0.10                stable",
        "layer.0     8.00 ± 0.10  +3.00 ± 0.05  noisy",
        "layer.1     6.50 ± 0.10  −1.50 ± 0.05  stable",
        f"{ALL_READ} {COPIES} are used at every layer: {RAW} {FIT}",
    ]
    clean = replace(profile, num_duplicates=0, num_near_duplicates=0)
    assert dimension_text(clean).endswith(
        f"No text repeats another, and all 98 are used at every layer: {RAW} {FIT}"
    )


def test_every_estimator_has_a_column_if_more_than_two_were_asked_for():
    profile = make_profile((5.0, 8.0))
    farther = replace(profile.series["twonn_linfit"], dimensions=(4.75, 7.5))
    more = replace(profile, series={**profile.series, "gride_2": farther})
    assert dimension_text(more).splitlines()[:3] == [
        "layer         dimension  maximum likelihood  Gride, n = 2     increment  verdict",
        "embeddings  5.00 ± 0.10                5.00          4.75                stable",
        "layer.0     8.00 ± 0.10                8.00          7.50  +3.00 ± 0.05  stable",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"settings": {"precision": 0.25}},
            "The largest standard error of an increment that counts is 0.05; 0.25 was asked for.",
        ),
        (
            {"settings": {"precision": 0.25}, "stopped_by": "precision"},
            "Measuring stopped after 100 texts, with a standard error of 0.05 or less in every",
        ),
        (
            {"settings": {"precision": 0.25}, "stopped_by": "stable_ranks"},
            "For ranks by other settings, measure with --precision 0.",
        ),
        (
            {
                "settings": {"states": "normalized"},
                "num_duplicates": 0,
                "num_near_duplicates": 0,
            },
            "normalized states, with mean pooling.",
        ),
        ({"biased_layers": (1,)}, "At layer.0 the dimension is so high that"),
        ({"top_variance_shares": (0.1, 0.97)}, "up to 97 % of the variance at layer.0"),
    ],
)
def test_notes_say_what_the_estimates_rest_on(changes, said):
    profile = make_profile((5.0, 8.0))
    assert said not in dimension_text(profile)
    settings = replace(profile.settings, **changes.pop("settings", {}))
    changed = replace(profile, settings=settings, **changes)
    assert said in dimension_text(changed).splitlines()[-1]


def test_a_budgets_ranks_have_the_range_of_nine_draws_in_ten():
    profile = make_profile((5.0, 8.0, 8.0))
    plan = replace(
        plan_ranks(profile, budget="r=8"),
        rank_probabilities=({10: 0.04, 11: 0.02, 12: 0.9, 14: 0.04}, {1: 0.06, 4: 0.94}),
    )
    heading, first, second, _ = rank_text(plan, profile).splitlines()
    assert heading.split("  ")[-3:] == ["90 % range", "modules", "parameters"]
    assert first.split()[-3] == "11–12"
    assert second.split()[-3] == "1–4"


def test_metrics_stand_beside_their_baselines():
    assert metrics_summary(PAYLOAD).splitlines() == [
        "metric          adapter  frozen encoder  majority class  texts",
        "accuracy  0.812 ± 0.013   0.500 ± 0.013               –  1,043",
        "12,345 parameters in the adapter and 770 outside; 62 s.",
    ]


def test_metrics_of_questions_are_counted_in_questions():
    asked = metrics_summary({**PAYLOAD, "problem": "question_answering"})
    assert asked.splitlines()[0].endswith("majority class  questions")


def test_no_validation_texts_is_said():
    text = metrics_text({**PAYLOAD, "metrics": {}})
    assert text.startswith("12,345 parameters")
    assert "No validation texts" in text
    assert "--validation_file" in text


def test_metrics_end_with_whether_the_adapter_helps():
    *_, better = metrics_text(PAYLOAD).splitlines()
    assert "better than a linear model on the frozen encoder by 0.312 ± 0.018" in better
