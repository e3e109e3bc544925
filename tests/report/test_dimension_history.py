"""How dimensions moved in training: read from the log, drawn, and told."""

import json

import pytest

from gelora.artifacts import METRICS_FILE, write_json
from gelora.report import write_report
from gelora.report.dimension_history import history_figure, largest_move, read_history
from gelora.training.callbacks import dimensions_by_name
from report.example_run import example_metrics, example_profile, write_example_run


def log_of(profile, *steps):
    """Return entries as the callback makes them, the dimensions growing by a tenth each time."""
    return [
        {"step": step, **{k: v * (1 + i / 10) for k, v in dimensions_by_name(profile).items()}}
        for i, step in enumerate(steps)
    ]


@pytest.mark.parametrize(
    ("stacks", "granularity"),
    [
        (None, "block"),
        ((("layers.0", "layers.1"),), "sublayer"),
        ((("encoder.0", "encoder.1"), ("decoder.0",)), "block"),
    ],
)
def test_what_the_callback_logs_is_read(stacks, granularity):
    profile = example_profile(stacks, granularity=granularity)
    history = [{"step": 5, "loss": 1.0}, *log_of(profile, 0, 100), {"step": 7, "loss": 0.5}]
    (start, first), (end, last) = read_history(profile, history)
    assert (start, end) == (0, 100)
    assert first == profile.dimensions
    assert last == pytest.approx([1.1 * d for d in profile.dimensions])


def test_one_measurement_is_no_history():
    profile = example_profile()
    assert read_history(profile, log_of(profile, 0)) == []
    assert read_history(profile, [{"step": 1, "loss": 1.0}]) == []


def test_up_to_six_steps_are_drawn_the_last_in_colour():
    profile = example_profile()
    history = read_history(profile, log_of(profile, *range(0, 1000, 100)))
    (axes,) = history_figure(profile, history).axes
    assert len(axes.lines) == 6
    assert list(axes.lines[0].get_ydata()) == list(history[0][1])
    assert list(axes.lines[-1].get_ydata()) == list(history[-1][1])
    names = [text.get_text() for text in axes.texts]
    assert {"step 0", "step 900"} <= set(names)
    assert len({line.get_color() for line in axes.lines[:-1]}) == 1
    assert axes.lines[-1].get_color() != axes.lines[0].get_color()


def test_largest_move_is_the_layer_that_moved_most():
    profile = example_profile()
    history = read_history(profile, log_of(profile, 0, 1200))
    assert largest_move(history) == 7


def test_the_page_shows_it_where_it_was_measured(tmp_path):
    profile = example_profile(constant=True)
    plan = write_example_run(tmp_path, profile=profile)
    assert "The dimension in training" not in write_report(tmp_path).read_text()
    metrics = example_metrics(plan)
    metrics["history"] += log_of(profile, 0, 400, 800)
    write_json(tmp_path / METRICS_FILE, metrics, kind="metrics")
    assert json.loads((tmp_path / METRICS_FILE).read_text())["history"][-1]["step"] == 800
    html = write_report(tmp_path).read_text()
    assert (
        "measured at 3 steps of training. From step 0 to step 800 the dimension of block 7" in html
    )
    assert "moved most, from 12.07 to 14.49." in html
    assert "At step 800: embeddings 0.00, block 1" in html
