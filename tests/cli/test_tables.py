"""Tables: what stands in which row, and the sentence about rank one."""

from dataclasses import replace

from example_profiles import make_profile
from gelora.cli.tables import dimension_table, metrics_table, metrics_text, table

ACCURACY = {"value": 0.8125, "standard_error": 0.0125, "num_samples": 1043}
PAYLOAD = {
    "metrics": {"accuracy": ACCURACY},
    "baselines": {"frozen_encoder": {"accuracy": {**ACCURACY, "value": 0.5}}, "majority": {}},
    "trainable_parameters": {"adapter": 12345, "head": 770},
    "seconds": {"train": 61.7, "evaluate": 1.0},
}


def test_columns_are_aligned():
    assert table(["a", "bb"], [["xyz", "1"]]) == "a    bb\nxyz   1"


def test_dimensions_have_errors_and_increments_signs():
    profile = make_profile((5.0, 8.0, 6.5))
    assert dimension_table(profile).splitlines() == [
        "level         dimension     increment",
        "embeddings  5.00 ± 0.10",
        "layer.0     8.00 ± 0.10  +3.00 ± 0.05",
        "layer.1     6.50 ± 0.10  -1.50 ± 0.05",
        "98 samples, mean pooling, twonn_line; 2 duplicates set aside.",
    ]
    clean = replace(profile, num_duplicates=0, num_near_duplicates=0)
    assert dimension_table(clean).endswith("98 samples, mean pooling, twonn_line.")


def test_metrics_stand_beside_their_baselines():
    assert metrics_text(PAYLOAD).splitlines() == [
        "metric          adapter  frozen encoder  majority  texts",
        "accuracy  0.812 ± 0.013   0.500 ± 0.013         –  1,043",
        "12,345 parameters in the adapter and 770 outside; 62 s.",
    ]


def test_metrics_without_baselines():
    assert metrics_table({"f1": ACCURACY}, {}).splitlines()[0].split() == [
        *("metric", "adapter", "texts"),
    ]


def test_no_validation_texts_is_said():
    text = metrics_text({**PAYLOAD, "metrics": {}})
    assert text.startswith("There are no validation texts to evaluate on.\n12,345")
