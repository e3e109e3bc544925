"""The figures of the theory by their data: what was drawn, not how it looks."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from gelora.lab.pages import theory_figures as figures
from gelora.lab.pages.theory_tables import block_positions
from gelora.lab.theory.record import BlockJacobian
from gelora.lab.theory.spectra import TOLERANCES, Spectrum
from gelora.lab.theory.theorem import check_theorem
from gelora.lab.theory.usage import bound_in_use
from gelora.ranks import plan_ranks
from gelora.report.theme import BLUE, GREEN, PURPLE
from lab.pages.example_theory import example_theory
from report.example_run import example_profile

LAYERS = tuple(f"encoder.layer.{i}" for i in range(4))
PROFILE = example_profile((LAYERS,), growth=2.0)
PLAN = plan_ranks(PROFILE)
THEORY = example_theory(PROFILE, PLAN, ranks={LAYERS[2]: 30})


def shown(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


def curves(panel, colour):
    return [line for line in panel.lines if to_hex(line.get_color()) == colour]


def test_spectra_are_medians_and_ranges_of_the_samples_as_shares_of_the_largest():
    panels = shown(figures.spectra_figure(PROFILE, THEORY))
    assert [panel.get_title("left") for panel in panels] == [f"block {i}" for i in range(1, 5)]
    for index, panel in enumerate(panels):
        (curve,) = curves(panel, BLUE)
        spectra = THEORY.jacobians[2 * index].spectra
        order = curve.get_xdata()
        assert (order[0], order[-1]) == (1, 30 if index == 2 else 128)
        shares = np.array([one.singular_values for one in spectra])[:, order - 1]
        shares /= np.array([[one.largest] for one in spectra])
        np.testing.assert_allclose(curve.get_ydata(), np.median(shares, axis=0))
        edges = panel.collections[0].get_paths()[0].vertices
        last = edges[edges[:, 0] == order[-1], 1]
        np.testing.assert_allclose(
            [last.min(), last.max()], [shares[:, -1].min(), shares[:, -1].max()]
        )
        (mark,) = [line for line in panel.lines if list(line.get_ydata()) == [0, 1]]
        assert mark.get_xdata()[0] == PROFILE.dimensions[index + 1]
        (dashed,) = [line for line in panel.lines if list(line.get_ydata()) == [1e-3] * 2]
        assert dashed.get_linestyle() == "--"


def test_a_curve_ends_where_a_sample_has_no_more_values_and_a_zero_has_none():
    short = Spectrum((2.0, 1.0), size=384)
    spectra = {LAYERS[0]: (short, Spectrum((1.0, 0.5, 0.1), 384)), LAYERS[1]: (Spectrum((), 384),)}
    jacobians = tuple(
        BlockJacobian(one.block, one.by, spectra.get(one.block, one.spectra))
        for one in THEORY.jacobians
    )
    first, second, *_ = shown(figures.spectra_figure(PROFILE, replace(THEORY, jacobians=jacobians)))
    (curve,) = curves(first, BLUE)
    assert list(curve.get_xdata()) == [1, 2]
    assert list(curve.get_ydata()) == [1.0, 0.5]
    assert not curves(second, BLUE)


@pytest.mark.parametrize(("row", "statement"), [(0, "dimension"), (1, "increment")])
def test_ranks_at_every_tolerance_stand_above_what_is_asked(row, statement):
    axes = figures.ranks_figure(PROFILE, THEORY).axes[row]
    lines = iter(axes.lines)
    for tolerance in TOLERANCES:
        found = check_theorem(PROFILE, THEORY.jacobians, tolerance=tolerance)
        own = [one for one in found if one.statement == statement]
        joined, exact, at_least = next(lines), next(lines), next(lines)
        assert list(joined.get_xdata()) == block_positions(PROFILE) == [1, 2, 3, 4]
        assert list(joined.get_ydata()) == [one.rank.value for one in own]
        assert list(exact.get_ydata()) == [one.rank.value for one in own if one.rank.is_exact]
        assert (exact.get_marker(), at_least.get_marker()) == ("o", "^")
        assert len(exact.get_xdata()) + len(at_least.get_xdata()) == len(own)
    left = next(lines)
    assert list(left.get_ydata()) == [one.left for one in own]
    names = {text.get_text() for text in axes.texts}
    assert names == {"0.1", "0.01", "0.001", "0.0001", ["dimension", "growth"][row]}


def test_fisher_panels_have_a_curve_for_each_kind_that_was_measured():
    for trained, kinds in ((True, 4), (False, 2)):
        theory = example_theory(PROFILE, PLAN, trained=trained)
        panels = shown(figures.fisher_figure(PROFILE, theory))
        assert len(panels) == 4
        drawn = [line for line in panels[1].lines if len(line.get_xdata()) > 2]
        assert len(drawn) == kinds
        (before, *_) = curves(panels[1], BLUE)
        spectrum = theory.fishers[1].spectrum
        share = spectrum.singular_values[1] / spectrum.largest
        assert before.get_ydata()[1] == pytest.approx(share)
        assert before.get_linestyle() == ":"
        assert len(curves(panels[1], PURPLE)) == kinds / 2


def test_a_block_without_fisher_information_has_an_empty_panel():
    fishers = tuple(one for one in THEORY.fishers if one.block != LAYERS[1])
    panels = shown(figures.fisher_figure(PROFILE, replace(THEORY, fishers=fishers)))
    assert not curves(panels[1], BLUE)
    assert curves(panels[2], BLUE)


def test_every_module_has_a_bar_and_its_ranks_in_it():
    uses = bound_in_use(THEORY.updates, PLAN)
    (axes,) = figures.use_figure(PLAN, uses).axes
    assert [bar.get_height() for bar in axes.patches] == [use.planned_rank for use in uses]
    assert {to_hex(bar.get_facecolor()) for bar in axes.patches} == {GREEN}
    bound, used, stable = (list(line.get_ydata()) for line in axes.lines)
    assert bound == [use.bound for use in uses]
    assert used == [use.numerical_rank for use in uses]
    assert stable == [use.stable_rank for use in uses]
    assert list(axes.get_xticks()) == [0, 4, 8, 12]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "3", "4"]


def test_a_deep_model_has_no_more_than_a_page_holds():
    profile = example_profile((tuple(f"layers.{i}" for i in range(90)),))
    plan = plan_ranks(profile)
    theory = example_theory(profile, plan)
    panels = shown(figures.spectra_figure(profile, theory))
    assert [panel.get_title("left") for panel in panels][:2] == ["block 1", "block 4"]
    (axes,) = figures.use_figure(plan, bound_in_use(theory.updates, plan)).axes
    assert len(axes.get_xticks()) <= 24
