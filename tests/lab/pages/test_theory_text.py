"""The tables that `gelora verify` shows, from records whose answers are known."""

import pytest

from gelora.lab.pages.theory_text import theory_payload, theory_text
from gelora.ranks import plan_ranks
from lab.pages.example_theory import example_theory
from report.example_run import example_profile

PROFILE = example_profile((tuple(f"encoder.layer.{i}" for i in range(3)),))
PLAN = plan_ranks(PROFILE)


def test_every_block_has_a_row_with_both_inequalities_and_its_fisher_rank():
    text = theory_text(PROFILE, PLAN, example_theory(PROFILE, PLAN, ranks={"encoder.layer.1": 3}))
    heading, *rows = text.split("\n\n")[0].splitlines()
    assert heading.split("  ")[-1].strip() == "effective"
    assert [row.split("  ")[0] for row in rows] == ["block 1", "block 2", "block 3"]
    (dimension, error) = PROFILE.dimensions[2], PROFILE.standard_errors[2]
    start = f"block 2  {dimension:.2f} ± {error:.2f}              3  violated"
    assert rows[1].startswith(start)
    assert rows[1].count("→") == 2


def test_tolerances_modules_and_sentences_follow():
    text = theory_text(PROFILE, PLAN, example_theory(PROFILE, PLAN))
    lines = text.splitlines()
    for opening in ("0.1 ", "0.01 ", "0.001 ", "0.0001 ", *PLAN.modules):
        assert sum(line.startswith(opening) for line in lines) == 1
    for sentence in (
        "The theorem's inequality",
        "The corollary, sharpened",
        "Fisher information of a block",
    ):
        assert sentence in text
    assert lines[-1].startswith("Of the rank given to 12 modules, ")


def test_what_was_not_measured_is_not_shown():
    bare = example_theory(PROFILE, PLAN, labelled=False, trained=False)
    text = theory_text(PROFILE, PLAN, bare)
    assert "Fisher" not in text
    assert "modules" not in text
    payload = theory_payload(PROFILE, PLAN, bare)
    assert payload["fishers"] == payload["modules"] == []


def test_the_payload_says_whether_a_rank_is_exact():
    theory = example_theory(PROFILE, PLAN, ranks={"encoder.layer.0": 5})
    first, _, second, *_ = theory_payload(PROFILE, PLAN, theory)["inequalities"]
    assert (first["rank"], first["rank_is_exact"]) == (5, True)
    assert (second["rank"], second["rank_is_exact"]) == (128, False)
    assert first["left"] == pytest.approx(PROFILE.dimensions[1])
