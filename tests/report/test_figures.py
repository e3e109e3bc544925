"""The figures by their data: what was drawn, not how it looks."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from gelora.ranks import plan_ranks
from gelora.report import figures
from gelora.report.theme import GREEN, PURPLE
from report.example_run import example_metrics, example_profile

ENCODER = tuple(f"encoder.block.{i}" for i in range(4))
DECODER = tuple(f"decoder.block.{i}" for i in range(6))


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_dimension_line_band_and_ranks_are_the_profile_and_plan():
    profile = example_profile()
    plan = plan_ranks(profile, budget="r=4")
    upper, lower = figures.dimension_figure(profile, plan).axes
    (line,) = upper.lines
    np.testing.assert_array_equal(line.get_xdata(), np.arange(13))
    np.testing.assert_array_equal(line.get_ydata(), profile.dimensions)
    (band,) = upper.collections
    edges = band.get_paths()[0].vertices
    top = np.array(profile.dimensions) + np.array(profile.standard_errors)
    bottom = np.array(profile.dimensions) - np.array(profile.standard_errors)
    for layer in range(13):
        heights = edges[edges[:, 0] == layer, 1]
        np.testing.assert_allclose([heights.min(), heights.max()], [bottom[layer], top[layer]])
    assert [bar.get_height() for bar in lower.patches] == list(plan.ranks)
    assert texts(lower) == [str(rank) for rank in plan.ranks]
    assert upper.get_xlim()[0] < -1  # room for the first value, left of its point
    centres = [bar.get_x() + bar.get_width() / 2 for bar in lower.patches]
    np.testing.assert_allclose(centres, np.arange(1, 13))


def test_lower_bounds_are_dashes_where_there_is_one():
    profile = example_profile(growth=3.0)
    plan = plan_ranks(profile)
    _, lower = figures.dimension_figure(profile, plan).axes
    dashes = [dash.get_segments()[0] for dash in lower.collections]
    drawn = {round(float(dash[:, 0].mean())) - 1: dash[0, 1] for dash in dashes}
    assert drawn == {block: bound for block, bound in enumerate(plan.bounds) if bound > 0}
    assert drawn


def test_two_stacks_are_two_lines_with_a_gap():
    profile = example_profile((ENCODER, DECODER))
    upper, lower = figures.dimension_figure(profile, plan_ranks(profile)).axes
    first, second = upper.lines
    assert second.get_xdata()[0] - first.get_xdata()[-1] == 2
    np.testing.assert_array_equal(
        np.concatenate([first.get_ydata(), second.get_ydata()]), profile.dimensions
    )
    labels = [tick.get_text() for tick in lower.get_xticklabels()]
    assert labels == ["emb", *"1234", "emb", *"123456"]
    assert lower.get_xlabel() == "block (encoder   |   decoder)"


def test_constant_layer_is_called_so_and_squeezes_no_scale():
    profile = example_profile(constant=True)
    upper, _ = figures.dimension_figure(profile, plan_ranks(profile)).axes
    assert texts(upper)[0] == "constant"
    mark, line = upper.lines
    assert upper.texts[0].xy == (0, 0)
    assert [*mark.get_xdata(), *mark.get_ydata()] == [0, 0]
    assert upper.get_xlim()[0] < -1  # it stands free of the axis
    np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 13))
    assert upper.get_ylim()[0] > 0.7 * min(profile.dimensions[1:])


def test_nothing_but_constant_layers_is_drawn_too():
    profile = replace(example_profile(), constant_layers=tuple(range(13)))
    upper, _ = figures.dimension_figure(profile, plan_ranks(profile)).axes
    assert texts(upper) == ["constant"]  # one label for all neighbours


def test_half_blocks_have_a_colour_each_and_ticks_at_their_blocks():
    stacks = (ENCODER, DECODER)
    profile = example_profile(stacks, granularity="sublayer", growth=3.0)
    plan = plan_ranks(profile, target_modules="all-linear")
    upper, lower = figures.dimension_figure(profile, plan).axes
    assert [len(line.get_xdata()) for line in upper.lines] == [9, 13]
    assert [bar.get_height() for bar in lower.patches] == list(plan.ranks)
    colours = [to_hex(bar.get_facecolor()) for bar in lower.patches]
    assert colours == [GREEN, PURPLE] * 10
    drawn = {text.get_text(): to_hex(text.get_color()) for text in lower.texts[-2:]}
    assert drawn == {"attention": GREEN, "MLP": PURPLE}
    labels = [tick.get_text() for tick in lower.get_xticklabels()]
    assert labels == ["emb", *"1234", "emb", *"123456"]
    assert list(lower.get_xticks())[:5] == [0, 2, 4, 6, 8]


def test_what_is_not_adapted_has_no_label():
    profile = example_profile((ENCODER,), granularity="sublayer")
    plan = plan_ranks(profile)
    _, lower = figures.dimension_figure(profile, plan).axes
    assert plan.ranks[1::2] == (0,) * 4
    assert texts(lower) == [*(str(rank) for rank in plan.ranks[::2]), "attention"]


def test_a_huge_model_has_no_label_on_each_rank():
    profile = example_profile((tuple(f"layers.{i}" for i in range(80)),))
    _, lower = figures.dimension_figure(profile, plan_ranks(profile)).axes
    assert not lower.texts
    assert [tick.get_text() for tick in lower.get_xticklabels()][:3] == ["emb", "3", "6"]


def test_training_curves_are_the_log_and_references_are_level():
    history = example_metrics(plan_ranks(example_profile()))["history"]
    figure = figures.training_figure(
        history,
        metric="matthews_correlation",
        metric_label="Matthews correlation",
        references={"frozen encoder": 0.22},
    )
    losses, metric = figure.axes
    training, validation = losses.lines
    assert list(training.get_ydata()) == [entry["loss"] for entry in history if "loss" in entry]
    assert list(validation.get_xdata()) == [200, 400, 600, 800]
    own, reference = metric.lines
    assert len(own.get_ydata()) == 4
    assert list(reference.get_ydata()) == [0.22, 0.22]
    assert texts(metric) == ["frozen encoder", "adapter"]  # from below


def test_training_without_evaluation_is_one_panel_and_a_long_one_is_averaged():
    history = [{"step": step, "loss": 1 / step} for step in range(1, 3001)]
    figure = figures.training_figure(history, metric="f1", metric_label="F1", references={})
    (axes,) = figure.axes
    (line,) = axes.lines
    assert len(line.get_xdata()) == figures.MAX_CURVE_POINTS
    assert line.get_ydata()[0] == pytest.approx(np.mean([1 / step for step in range(1, 11)]))
    assert np.mean(line.get_ydata()) == pytest.approx(np.mean([e["loss"] for e in history]))
