"""The table, the sentences and the figures of a cut adapter."""

from dataclasses import replace

import pytest

from gelora.cutting.record import AdapterCut, CutPoint, ModuleCut
from gelora.report.cut_section import block_rows, cut_decision, losses_figure, ranks_figure
from gelora.report.theme import to_svg
from gelora.settings import CutSettings

RANKS = {"layer.0.q": 2, "layer.0.v": 0, "layer.1.q": 1, "layer.1.v": 3}


def record(*, bounds=(), curve=(), **more):
    modules = {
        name: ModuleCut(10, 10, rank_before=4, rank=rank, values=(4.0, 3.0, 2.0, 1.0))
        for name, rank in RANKS.items()
    }
    return AdapterCut(
        settings=CutSettings(budget=120, importance="weights"),
        modules=modules,
        parameters_before=320,
        parameters=120,
        kept=0.6,
        curve=curve,
        num_rows=200 if curve else 0,
        blocks=("layer.0", "layer.1"),
        bounds=bounds,
        **more,
    )


CURVE = (
    CutPoint(0, 0.9, 0.4, 0.1),
    CutPoint(120, 0.51, 0.01, 0.004),
    CutPoint(320, 0.5, 0.0, 0.0),
)


def test_a_row_for_every_block_and_a_sum():
    rows = block_rows(record(bounds=(1, 5)))
    assert [list(row.values()) for row in rows] == [
        ["1", "2", "4", "1", "1 of 2", "40"],
        ["2", "3", "4", "5", "2 of 2", "80"],
        ["total", "", "", "", "3 of 4", "120"],
    ]
    assert "lower bound" not in block_rows(record())[0]


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (record(), "keeps 120 of 320 parameters (37.5 %): ranks of 1 to 3 in 3 of 4 modules."),
        (record(), "Its loss was not measured"),
        (record(curve=CURVE), "is 0.5100, +0.0100 ± 0.0040 against the uncut adapter on the same"),
        (record(bounds=(1, 3)), "reaches the geometric lower bound in all 2 blocks."),
        (record(bounds=(1, 5)), "is below the geometric lower bound in 1 of 2 blocks."),
        (
            record(curve=CURVE, finish_steps=9, finished=CutPoint(120, 0.49, -0.01, 0.005)),
            "9 more steps of training bring it to 0.4900, −0.0100 ± 0.0050 against",
        ),
        (
            record(curve=(CutPoint(0, 0.5, 0.001, 0.1), *CURVE[1:])),
            "Without any direction it is +0.0010 ± 0.1000: the adapter has learnt nothing",
        ),
    ],
)
def test_the_decision_says_what_was_kept_and_what_it_costs(made, sentence):
    assert sentence in cut_decision(made)


def test_an_adapter_that_matters_is_not_doubted():
    assert "learnt nothing" not in cut_decision(record(curve=CURVE))


def test_an_adapter_that_was_too_small_is_named():
    made = replace(record(curve=CURVE), settings=CutSettings(tolerance=0.1), parameters_before=140)
    assert "Training used nearly all of the rank it had: train with a larger" in cut_decision(made)
    assert "nearly all" not in cut_decision(replace(made, parameters_before=320))
    assert "nearly all" not in cut_decision(replace(made, settings=CutSettings(budget=120)))


def test_figures_show_what_there_is():
    bounded = to_svg(ranks_figure(record(bounds=(1, 5))), description="ranks")
    assert "lower bound" in bounded
    for without in ((), (0, 0)):
        drawn = ranks_figure(record(bounds=without))
        assert "lower bound" not in to_svg(drawn, description="ranks")
    assert "Validation loss" in to_svg(losses_figure(record(curve=CURVE)), description="losses")
