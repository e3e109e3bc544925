"""The rows of the theory: every number is the record's, at its tolerance and at others."""

from dataclasses import replace

import pytest

from gelora.lab.pages import theory_tables as tables
from gelora.lab.theory.spectra import NumericalRank
from gelora.lab.theory.theorem import check_theorem
from gelora.lab.theory.usage import bound_in_use
from gelora.ranks import plan_ranks
from lab.pages.example_theory import MAX_RANK, example_theory
from report.example_run import example_profile

BLOCKS = (tuple(f"encoder.layer.{i}" for i in range(3)),)
PROFILE = example_profile(BLOCKS, growth=2.0)
PLAN = plan_ranks(PROFILE)
LOW = "encoder.layer.1"
THEORY = example_theory(PROFILE, PLAN, ranks={LOW: 3})


def test_every_block_has_both_sides_of_both_inequalities():
    rows = tables.block_table(PROFILE, THEORY).to_numpy().tolist()
    assert [row[0] for row in rows] == ["block 1", "block 2", "block 3"]
    found = check_theorem(PROFILE, THEORY.jacobians, tolerance=THEORY.tolerance)
    for row, dimension, growth in zip(rows, found[::2], found[1::2], strict=True):
        for side, one in ((row[1:5], dimension), (row[5:], growth)):
            left, rank, verdict, tolerance = side
            assert left == f"{one.left:.2f} ± {one.standard_error:.2f}"
            assert (rank, verdict) == (str(one.rank), one.verdict)
            assert float(tolerance) == pytest.approx(one.breaking_tolerance, rel=0.05)
    assert [row[2] for row in rows] == [f"≥ {MAX_RANK}", "3", f"≥ {MAX_RANK}"]
    assert [row[3] for row in rows] == ["holds", "violated", "holds"]


def test_halves_of_blocks_are_not_told_apart():
    profile = example_profile(BLOCKS, granularity="sublayer")
    theory = example_theory(profile, plan_ranks(profile))
    names = list(tables.block_table(profile, theory)["block"])
    assert names == ["block 1", "block 2", "block 3"]


def test_a_smaller_tolerance_never_lowers_a_rank():
    table = tables.tolerance_table(PROFILE, THEORY)
    assert list(table["tolerance"]) == ["0.1", "0.01", "0.001", "0.0001"]
    assert set(table["rank by the input"]) == {f"3 to ≥ {MAX_RANK}"}
    assert set(table["dimension ≤ rank"]) == {"holds 2, violated 1"}
    highest = [int(ranks.split()[-1]) for ranks in table["rank by the weights"]]
    assert highest == sorted(highest)
    assert highest[0] < highest[-1] == 100


def test_the_records_own_tolerance_has_a_row():
    table = tables.tolerance_table(PROFILE, replace(THEORY, tolerance=0.03))
    assert list(table["tolerance"]) == ["0.1", "0.03", "0.01", "0.001", "0.0001"]


@pytest.mark.parametrize(
    ("ranks", "text"),
    [
        ([(3, True)], "3"),
        ([(5, True), (3, True), (4, True)], "3 to 5"),
        ([(8, False), (8, False)], "≥ 8"),
        ([(8, False), (8, True)], "8 to ≥ 8"),
    ],
)
def test_a_range_of_ranks(ranks, text):
    assert tables.rank_range([NumericalRank(*rank) for rank in ranks]) == text


def test_fisher_rows_hold_ranks_and_effective_ranks():
    table = tables.fisher_table(PROFILE, THEORY)
    assert list(table.columns) == [
        "block", "weights, before", "weights, after", "LoRA factors, before", "LoRA factors, after",
    ]  # fmt: skip
    rows = table.to_numpy().tolist()
    after = tables.fishers_of(THEORY, "lora", "after")[LOW].spectrum
    rank = after.numerical_rank(THEORY.tolerance).value
    assert rows[1][-1] == f"{rank} ({after.effective_rank:.1f})"
    ranks, effective = tables.weights_fishers(PROFILE, THEORY)[1]
    before, now = (tables.fishers_of(THEORY, "weights", s)[LOW] for s in ("before", "after"))
    assert ranks == " → ".join(str(f.spectrum.numerical_rank().value) for f in (before, now))
    assert effective == " → ".join(f"{f.spectrum.effective_rank:.1f}" for f in (before, now))


def test_before_training_there_is_no_arrow():
    theory = example_theory(PROFILE, PLAN, trained=False)
    assert tables.measured_fishers(theory) == [("weights", "before"), ("lora", "before")]
    assert all("→" not in ranks for ranks, _ in tables.weights_fishers(PROFILE, theory))


def test_texts_without_labels_have_no_fisher_columns():
    theory = example_theory(PROFILE, PLAN, labelled=False)
    assert tables.measured_fishers(theory) == []
    assert tables.weights_fishers(PROFILE, theory) == []


def test_a_block_without_modules_to_adapt_has_no_fisher_information():
    fishers = tuple(one for one in THEORY.fishers if one.block != LOW)
    theory = replace(THEORY, fishers=fishers)
    assert list(tables.fisher_table(PROFILE, theory).iloc[1]) == ["block 2", "", "", "", ""]
    assert tables.weights_fishers(PROFILE, theory)[1] == ("", "")


def test_every_module_has_its_ranks():
    uses = bound_in_use(THEORY.updates, PLAN)
    rows = tables.use_table(uses).to_numpy().tolist()
    assert [row[0] for row in rows] == list(PLAN.modules)
    bounds = dict(zip(PLAN.blocks, PLAN.bounds, strict=True))
    for use, row in zip(uses, rows, strict=True):
        rank = PLAN.modules[use.module]
        assert row[1:4] == [str(bounds[use.block]), str(rank), str(-(-rank // 2))]
        assert row[4] == f"{use.stable_rank:.2f}"
