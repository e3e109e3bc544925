"""The figures of a comparison by their data."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from gelora.lab.comparison.statistics import summarise
from gelora.lab.pages import comparison_figures as figures
from gelora.report.theme import GREEN, MUTED, VERMILION
from lab.comparison.results_examples import example_results

METHODS = {"gelora": 0.8, "lora": 0.8, "full": 0.95, "linear-probe": 0.6}


def parameters(count):
    return {"parameters": {"adapter": count, "head": 770, "trained": count}}


CHANGES = {
    "linear-probe": {**parameters(0), "training_seconds": 5.0},
    "full": {**parameters(10**7), "training_seconds": 300.0},
    "gelora": {"selection_seconds": 500.0},
}


@pytest.fixture(scope="module")
def summaries():
    return summarise(example_results(METHODS, changes=CHANGES, budgets=("r=2", "r=8")))


def front_line(axes):
    (line,) = [line for line in axes.lines if len(line.get_xdata()) > 1]
    return line


def names(axes):
    return [text.get_text() for text in axes.texts]


def test_quality_by_parameters_has_every_method_and_the_front(summaries):
    (axes,) = figures.quality_figure(summaries, "parameters", metric_label="accuracy").axes
    points = [line for line in axes.lines if len(line.get_xdata()) == 1]
    drawn = sorted((point.get_xdata()[0], point.get_ydata()[0]) for point in points)
    expected = [(figures.adapter_parameters(one), one.mean) for one in summaries]
    np.testing.assert_allclose(drawn, sorted(expected))
    best = figures.front(summaries, figures.adapter_parameters)
    assert [best[0].method, best[-1].method] == ["linear-probe", "full"]
    np.testing.assert_allclose(front_line(axes).get_ydata(), [one.mean for one in best])
    assert {f"{one.method} ({one.budget})" for one in best} <= set(names(axes))
    assert {"gelora (r=2)", "gelora (r=8)"} <= set(names(axes))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["r=2", "r=8"]
    assert axes.get_xlim()[0] < 0 < 10**7 < axes.get_xlim()[1]


def test_time_is_of_choosing_ranks_and_of_training(summaries):
    (axes,) = figures.quality_figure(summaries, "seconds", metric_label="accuracy").axes
    seconds = {float(line.get_xdata()[0]) for line in axes.lines if len(line.get_xdata()) == 1}
    assert seconds == {5.0, 60.0, 300.0, 560.0}
    assert axes.get_xlim()[0] == 0


def test_one_budget_needs_no_legend_and_no_mark(summaries):
    one = [summary for summary in summaries if summary.budget == "r=2"]
    (axes,) = figures.quality_figure(one, "parameters", metric_label="accuracy").axes
    assert axes.get_legend() is None
    assert "gelora" in names(axes)


def test_differences_are_intervals_by_budget_in_the_colour_of_their_outcome(summaries):
    panels = figures.differences_figure(summaries, metric_label="accuracy").axes
    assert [panel.get_title(loc="left") for panel in panels] == ["r=2", "r=8"]
    panel = panels[0]
    ticks = [tick.get_text() for tick in panel.get_yticklabels()]
    assert ticks == ["linear-probe", "lora", "full"]
    found = {one.method: one.difference for one in summaries if one.budget == "r=2"}
    for place, bar in enumerate(panel.collections):
        (((low, _), (high, _)),) = bar.get_segments()
        difference = found[ticks[place]]
        np.testing.assert_allclose((low, high), (difference.low, difference.high))
    colours = [to_hex(bar.get_color()[0]) for bar in panel.collections]
    assert colours == [GREEN, MUTED, VERMILION]
