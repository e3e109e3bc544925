"""The figures by their data: what was drawn, not how it looks."""

from dataclasses import replace

import numpy as np
import pytest

from gelora.ranks import plan_ranks
from gelora.reporting import figures
from reporting.example_run import example_metrics, example_profile

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
    for level in range(13):
        heights = edges[edges[:, 0] == level, 1]
        np.testing.assert_allclose([heights.min(), heights.max()], [bottom[level], top[level]])
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


def test_constant_level_is_called_so_and_squeezes_no_scale():
    profile = example_profile(constant=True)
    upper, _ = figures.dimension_figure(profile, plan_ranks(profile)).axes
    assert texts(upper)[0] == "constant"
    mark, line = upper.lines
    assert upper.texts[0].xy == (0, 0)
    assert [*mark.get_xdata(), *mark.get_ydata()] == [0, 0]
    assert upper.get_xlim()[0] < -1  # it stands free of the axis
    np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 13))
    (estimators,) = figures.estimators_figure(profile).axes
    for axes in (upper, estimators):
        assert axes.get_ylim()[0] > 0.7 * min(profile.dimensions[1:])
    panel = figures.fit_figure(profile).axes[0]
    assert texts(panel) == ["constant"]
    assert not panel.lines


def test_nothing_but_constant_levels_is_drawn_too():
    profile = replace(example_profile(), constant_levels=tuple(range(13)))
    upper, _ = figures.dimension_figure(profile, plan_ranks(profile)).axes
    assert texts(upper) == ["constant"] * 13
    (estimators,) = figures.estimators_figure(profile).axes
    assert not estimators.texts


def test_fit_panels_hold_the_quantiles_and_the_line_of_slope_d():
    profile = example_profile()
    figure = figures.fit_figure(profile)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [panel.get_title("left") for panel in panels][:2] == ["embeddings", "block 1"]
    assert len(panels) == len(profile.levels)
    for level, panel in enumerate(panels):
        points, line = panel.lines
        log_mu, height = points.get_xdata(), points.get_ydata()
        np.testing.assert_array_equal(log_mu, profile.log_mu_quantiles[level])
        fractions = 1 - np.exp(-height)
        np.testing.assert_allclose(fractions, (np.arange(50) + 0.5) / 50)
        (_, run), (_, rise) = line.get_data()
        assert rise / run == pytest.approx(profile.dimensions[level])
        (discarded,) = panel.patches
        assert discarded.get_y() == pytest.approx(-np.log(profile.discard_fraction))


def test_nothing_is_shaded_where_nothing_is_discarded():
    profile = replace(example_profile(), discard_fraction=0.0)
    assert not figures.fit_figure(profile).axes[0].patches


def test_a_huge_model_shows_one_of_every_few_fits():
    profile = example_profile((tuple(f"layers.{i}" for i in range(80)),))
    panels = [axes for axes in figures.fit_figure(profile).axes if axes.get_visible()]
    assert figures.panel_step(profile) == 2
    assert len(panels) == 41
    assert panels[-1].get_title("left") == "block 80"
    _, lower = figures.dimension_figure(profile, plan_ranks(profile)).axes
    assert not lower.texts


def test_estimators_stand_side_by_side_with_their_errors():
    profile = example_profile((ENCODER, DECODER))
    (axes,) = figures.estimators_figure(profile).axes
    assert texts(axes) == ["line fit", "maximum likelihood"]
    for name, container in zip(("twonn_line", "twonn_likelihood"), axes.containers, strict=True):
        series = profile.series[name]
        points, _, (bars,) = container
        np.testing.assert_array_equal(points.get_ydata(), series.dimensions)
        lengths = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
        np.testing.assert_allclose(lengths, 2 * np.array(series.standard_errors))


def test_names_of_curves_that_end_together_are_parted():
    profile = example_profile()
    line = profile.series["twonn_line"]
    together = replace(profile, series={"twonn_line": line, "twonn_likelihood": line})
    (axes,) = figures.estimators_figure(together).axes
    first, second = (text.xyann for text in axes.texts)
    assert first[0] == second[0]
    assert abs(first[1] - second[1]) == 12
    (axes,) = figures.estimators_figure(profile).axes
    assert {text.xyann for text in axes.texts} == {(8, 0)}


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
    assert texts(metric) == ["adapter", "frozen encoder"]


def test_training_without_evaluation_is_one_panel_and_a_long_one_is_averaged():
    history = [{"step": step, "loss": 1 / step} for step in range(1, 3001)]
    figure = figures.training_figure(history, metric="f1", metric_label="F1", references={})
    (axes,) = figure.axes
    (line,) = axes.lines
    assert len(line.get_xdata()) == figures.MAX_CURVE_POINTS
    assert line.get_ydata()[0] == pytest.approx(np.mean([1 / step for step in range(1, 11)]))
    assert np.mean(line.get_ydata()) == pytest.approx(np.mean([e["loss"] for e in history]))
