"""The figures of diagnostics by their data: what was drawn, not how it looks."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from example_profiles import with_settings
from gelora.dimension import ESTIMATORS
from gelora.ranks import plan_ranks
from gelora.report import diagnostic_figures, drawing
from gelora.report.text import ESTIMATOR_NAMES
from gelora.report.theme import BLUE, GREEN, PURPLE, VERMILION
from report.example_run import example_profile

ENCODER = tuple(f"encoder.block.{i}" for i in range(4))
DECODER = tuple(f"decoder.block.{i}" for i in range(6))


def texts(axes):
    return [text.get_text() for text in axes.texts]


def shown(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


def test_decimation_panels_hold_the_parts_of_the_samples_and_their_errors():
    profile = example_profile(noisy=(3,))
    panels = shown(diagnostic_figures.decimation_figure(profile))
    assert len(panels) == len(profile.layers)
    sizes = [part.num_samples for part in profile.decimation]
    for layer, panel in enumerate(panels):
        dimensions = np.array([part.dimensions[layer] for part in profile.decimation])
        errors = np.array([part.standard_errors[layer] for part in profile.decimation])
        whole, line = panel.lines
        assert list(whole.get_ydata()) == [dimensions[0]] * 2
        np.testing.assert_array_equal(line.get_xdata(), sizes)
        np.testing.assert_array_equal(line.get_ydata(), dimensions)
        (band,) = panel.collections
        edges = band.get_paths()[0].vertices
        for size, low, high in zip(sizes, dimensions - errors, dimensions + errors, strict=True):
            heights = edges[edges[:, 0] == size, 1]
            np.testing.assert_allclose([heights.min(), heights.max()], [low, high])
        assert panel.get_xscale() == "log"
        assert texts(panel)[:2] == [f"{dimensions[-1]:.2f}", f"{dimensions[0]:.2f}"]


def test_decimation_panels_span_the_same_share_and_doubtful_layers_are_named():
    profile = example_profile(noisy=(3,), constant=True)
    constant, *panels = shown(diagnostic_figures.decimation_figure(profile))
    assert texts(constant) == ["constant"]
    assert not constant.lines
    reaches = [panel.get_ylim() / np.array(panel.lines[0].get_ydata()) for panel in panels]
    np.testing.assert_allclose(reaches, [reaches[0]] * 12)
    for panel in panels:
        (low, high), drawn = panel.get_ylim(), panel.lines[1].get_ydata()
        assert low < min(drawn) <= max(drawn) < high
    colours = [to_hex(panel.lines[1].get_color()) for panel in panels]
    assert colours == [VERMILION if layer == 3 else BLUE for layer in range(1, 13)]
    assert [texts(panel)[2:] for panel in panels] == [
        ["noisy"] if layer == 3 else [] for layer in range(1, 13)
    ]


@pytest.mark.parametrize("factor", [0.02, 9.0])
def test_a_wild_layer_does_not_flatten_the_others(factor):
    profile = example_profile()
    whole, half, *_ = profile.decimation
    wild = replace(half, dimensions=(factor * half.dimensions[0], *half.dimensions[1:]))
    panel = diagnostic_figures.decimation_figure(replace(profile, decimation=(whole, wild))).axes[1]
    low, high = panel.get_ylim() / np.array(panel.lines[0].get_ydata())
    assert low > 0.3
    assert high < 2.6


def bars(axes):
    """Return (position, rank, width, colour, is solid) of every bar."""
    found = []
    for patch in axes.patches:
        corners = patch.get_path().vertices.reshape(-1, 5, 2)
        for bar in corners:
            (left, bottom), (right, top) = bar.min(0), bar.max(0)
            middle = (left + right) / 2, (bottom + top) / 2
            kind = to_hex(patch.get_facecolor()), patch.get_alpha() > 0.5
            found.append((*np.round(middle, 6).tolist(), right - left, *kind))
    return sorted(found)


@pytest.mark.parametrize("rule", ["paper", "confident"])
def test_a_bar_for_every_chance_as_wide_as_it_is_likely(rule):
    profile = example_profile((ENCODER, DECODER), growth=2.0)
    plan = plan_ranks(profile, rank_rule=rule)
    (axes,) = diagnostic_figures.chances_figure(profile, plan).axes
    positions = [1, 2, 3, 4, 7, 8, 9, 10, 11, 12]
    expected = sorted(
        (position, rank, 0.9 * chance, GREEN, rank == planned)
        for position, planned, chances in zip(
            positions, plan.ranks, plan.rank_probabilities, strict=True
        )
        for rank, chance in chances.items()
        if chance >= diagnostic_figures.SMALLEST_CHANCE
    )
    drawn = bars(axes)
    assert [bar[:2] + bar[3:] for bar in drawn] == [bar[:2] + bar[3:] for bar in expected]
    np.testing.assert_allclose([bar[2] for bar in drawn], [bar[2] for bar in expected])
    assert any(not solid for *_, solid in drawn)


def test_half_blocks_have_their_colours_and_those_without_adapters_no_bars():
    profile = example_profile((ENCODER,), granularity="sublayer")
    (attention,) = diagnostic_figures.chances_figure(profile, plan_ranks(profile)).axes
    assert {(position % 2, colour) for position, _, _, colour, _ in bars(attention)} == {(1, GREEN)}
    both = plan_ranks(profile, target_modules="all-linear")
    (axes,) = diagnostic_figures.chances_figure(profile, both).axes
    found = {(position % 2, colour) for position, _, _, colour, _ in bars(axes)}
    assert found == {(1, GREEN), (0, PURPLE)}


def test_every_estimator_has_a_name():
    assert set(diagnostic_figures.STYLES) == set(ESTIMATOR_NAMES) == set(ESTIMATORS)


def test_two_estimators_stand_side_by_side_with_their_errors():
    profile = example_profile((ENCODER, DECODER))
    (axes,) = diagnostic_figures.estimators_figure(profile).axes
    assert set(texts(axes)) == {"line fit", "maximum likelihood"}
    drawn = [container[0].get_ydata() for container in axes.containers]
    series = [profile.series[name] for name in ("twonn_linfit", "twonn_mle")]
    np.testing.assert_array_equal(
        np.concatenate(drawn), np.concatenate([one.dimensions for one in series])
    )
    segments = [bar for _, _, (bars,) in axes.containers for bar in bars.get_segments()]
    np.testing.assert_allclose(
        [segment[1, 1] - segment[0, 1] for segment in segments],
        2 * np.concatenate([one.standard_errors for one in series]),
    )


def test_six_estimators_are_bands_that_do_not_cross_from_stack_to_stack():
    profile = example_profile((ENCODER, DECODER), all_estimators=True)
    (axes,) = diagnostic_figures.estimators_figure(profile).axes
    assert axes.get_title("left") == "Dimension by six estimators, ± 1 standard error"
    assert set(texts(axes)) == set(ESTIMATOR_NAMES.values())
    assert [len(line.get_ydata()) for line in axes.lines] == [5, 7] * 6
    for name, first, band in zip(ESTIMATORS, axes.lines[::2], axes.collections[::2], strict=True):
        dimensions, errors = profile.series[name].dimensions, profile.series[name].standard_errors
        np.testing.assert_array_equal(first.get_ydata(), dimensions[:5])
        heights = band.get_paths()[0].vertices
        heights = heights[heights[:, 0] == 0, 1]
        expected = [dimensions[0] - errors[0], dimensions[0] + errors[0]]
        np.testing.assert_allclose([heights.min(), heights.max()], expected)


def test_names_of_curves_that_end_together_are_parted():
    profile = example_profile()
    line = profile.series["twonn_linfit"]
    together = replace(profile, series={"twonn_linfit": line, "twonn_mle": line})
    (axes,) = diagnostic_figures.estimators_figure(together).axes
    first, second = (text.xyann for text in axes.texts)
    assert first[0] == second[0]
    assert second[1] - first[1] == pytest.approx(drawing.LINE)
    (axes,) = diagnostic_figures.estimators_figure(profile).axes
    assert {text.xyann for text in axes.texts} == {(8, 0)}


def test_nothing_but_constant_layers_is_drawn_too():
    profile = replace(example_profile(), constant_layers=tuple(range(13)))
    (estimators,) = diagnostic_figures.estimators_figure(profile).axes
    assert not estimators.texts
    for figure in (
        diagnostic_figures.decimation_figure(profile),
        diagnostic_figures.fit_figure(profile),
    ):
        assert all(texts(panel) == ["constant"] for panel in shown(figure))


def test_fit_panels_hold_the_quantiles_and_the_line_of_slope_d():
    profile = example_profile()
    figure = diagnostic_figures.fit_figure(profile)
    panels = shown(figure)
    assert [panel.get_title("left") for panel in panels][:2] == ["embeddings", "block 1"]
    assert len(panels) == len(profile.layers)
    for layer, panel in enumerate(panels):
        points, line = panel.lines
        log_mu, height = points.get_xdata(), points.get_ydata()
        np.testing.assert_array_equal(log_mu, profile.log_mu_quantiles[layer])
        fractions = 1 - np.exp(-height)
        np.testing.assert_allclose(fractions, (np.arange(50) + 0.5) / 50)
        (_, run), (_, rise) = line.get_data()
        assert rise / run == pytest.approx(profile.dimensions[layer])
        (discarded,) = panel.patches
        assert discarded.get_y() == pytest.approx(-np.log(profile.settings.discard_fraction))


def test_the_line_is_twonns_whatever_estimator_the_ranks_follow():
    profile = with_settings(example_profile(all_estimators=True), estimator="levina_bickel")
    _, line = diagnostic_figures.fit_figure(profile).axes[0].lines
    (_, run), (_, rise) = line.get_data()
    assert rise / run == pytest.approx(profile.series["twonn_linfit"].dimensions[0])


def test_nothing_is_shaded_where_nothing_is_discarded():
    profile = with_settings(example_profile(), discard_fraction=0.0)
    assert not diagnostic_figures.fit_figure(profile).axes[0].patches


def test_a_huge_model_shows_one_of_every_few_fits():
    profile = example_profile((tuple(f"layers.{i}" for i in range(80)),))
    panels = shown(diagnostic_figures.fit_figure(profile))
    assert drawing.panel_step(len(profile.layers)) == 2
    assert len(panels) == 41
    assert panels[-1].get_title("left") == "block 80"
    assert len(shown(diagnostic_figures.decimation_figure(profile))) == 41
