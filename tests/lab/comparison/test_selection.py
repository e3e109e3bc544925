"""A task's ranks, measured once, and the size of every method at every budget."""

from dataclasses import replace

import pytest

from gelora.errors import ConfigError
from gelora.lab.baselines.method import Size
from gelora.lab.comparison.selection import MeasuredTask, Request, measure_task
from gelora.ranks import plan_ranks
from gelora.settings import MeasurementSettings

METHODS = ("gelora", "lora", "lora-r1", "houlsby", "full")
BUDGETS = ("paper", "r=3", "1000")


@pytest.fixture(scope="module")
def measured(settings) -> MeasuredTask:
    return measure_task(Request(settings, METHODS, BUDGETS))


def test_budgets_in_parameters(measured):
    papers = plan_ranks(measured.selection.profile).trainable_parameters
    assert measured.budgets == {"paper": papers, "r=3": 3 * 768, "1000": 1000}


def test_sizes_are_the_nearest(measured):
    assert measured.sizes["lora", "r=3"] == Size(3, 2304)
    assert measured.sizes["lora", "1000"] == Size(1, 768)
    assert measured.sizes["lora-r1", "r=3"] == Size(1, 768)
    per_width = 2 * 3 * (2 * 32 + 1)  # places, blocks, down and up and the inner bias
    assert abs(measured.sizes["houlsby", "r=3"].parameters - 2304) <= per_width / 2


def test_what_is_known_is_not_measured(settings, measured, monkeypatch):
    monkeypatch.setattr(
        "gelora.lab.comparison.selection.measure_dimensions",
        lambda *_, **__: pytest.fail("measured"),
    )
    known = {measured.selection.key: measured.selection}
    again = measure_task(Request(settings, METHODS, BUDGETS, known))
    assert again == replace(measured, warnings=())


def test_what_measuring_warns_of_is_handed_on(measured):
    (warning,) = measured.warnings
    assert warning.startswith("The dimension cannot be trusted at some layers: at 'embeddings'")


@pytest.mark.parametrize(
    "changes", [{"max_length": 8}, {"measurement": MeasurementSettings(num_samples=50)}]
)
def test_another_setting_is_measured_anew(changes, settings, measured):
    known = {measured.selection.key: measured.selection}
    other = measure_task(Request(replace(settings, **changes), (), (), known))
    assert other.selection.key != measured.selection.key
    assert other.data_sha256 == measured.data_sha256


def test_other_data_have_another_hash(settings, measured):
    data = {**settings.data, "max_eval_samples": 20}
    other = measure_task(Request(replace(settings, data=data), (), ()))
    assert other.data_sha256 != measured.data_sha256
    assert other.selection.key not in (None, "")
    assert len(other.reference.labels) == 20


def test_the_same_rows_scored_by_other_metrics_have_another_hash(settings, measured):
    rows = {f"{s}_file": settings.data[f"{s}_file"] for s in ("train", "validation")}
    data = {**rows, "text_columns": ("text",), "label_column": "label", "seed": 3}
    plain, cola = (
        measure_task(Request(replace(settings, data={**data, "task_name": name}), (), ()))
        for name in (None, "cola")
    )
    assert plain.data_sha256 == measured.data_sha256
    assert (plain.reference.labels, plain.selection.profile) == (
        cola.reference.labels,
        cola.selection.profile,
    )
    assert plain.reference.metrics[0] != cola.reference.metrics[0]
    assert plain.data_sha256 != cola.data_sha256


def test_a_model_that_is_not_there(settings):
    missing = replace(settings, model=replace(settings.model, name_or_path="/none/such"))
    with pytest.raises(ConfigError, match="/none/such"):
        measure_task(Request(missing, METHODS, BUDGETS))
