"""What is said of the theory follows from the numbers."""

from dataclasses import replace

import pytest

from gelora.lab.pages.theory_section import theory_sentence as say
from gelora.lab.pages.theory_tables import by_verdict
from gelora.lab.theory.record import BlockJacobian
from gelora.lab.theory.spectra import Spectrum
from gelora.lab.theory.usage import ModuleUse, bound_in_use
from gelora.ranks import plan_ranks
from lab.pages.example_theory import example_theory
from report.example_run import example_profile

LAYERS = tuple(f"encoder.layer.{i}" for i in range(6))
PROFILE = example_profile((LAYERS,))
PLAN = plan_ranks(PROFILE)
THEORY = example_theory(PROFILE, PLAN)
INPUT, WEIGHTS = "dimension", "increment"


def with_spectra(by, spectra):
    """Return the record with one spectrum at one sample for some blocks."""
    jacobians = tuple(
        BlockJacobian(one.block, by, (spectra[one.block],))
        if one.by == by and one.block in spectra
        else one
        for one in THEORY.jacobians
    )
    return replace(THEORY, jacobians=jacobians)


def exact(rank):
    return Spectrum((1.0,) * rank, size=384)


def test_where_all_is_well_one_verdict_is_given():
    assert say("verdict", PROFILE, THEORY, INPUT) == (
        "The theorem's inequality, dimension ≤ rank by the input, holds in all 6 blocks."
    )
    assert say("verdict", PROFILE, THEORY, WEIGHTS) == (
        "The corollary, sharpened to growth ≤ rank by the weights to adapt, holds in all 6 blocks."
    )
    assert list(by_verdict(PROFILE, THEORY, INPUT)) == ["holds"]


def test_every_verdict_names_its_blocks():
    theory = with_spectra(
        "input",
        {
            LAYERS[1]: exact(round(PROFILE.dimensions[2])),
            LAYERS[2]: exact(4),
            LAYERS[3]: exact(5),
            LAYERS[4]: exact(6),
            LAYERS[5]: Spectrum((1.0, 0.9), size=384, residual=0.8),
        },
    )
    assert say("verdict", PROFILE, theory, INPUT) == (
        "The theorem's inequality, dimension ≤ rank by the input, holds in block 1, is tight in "
        "block 2, is violated in block 3 to block 5 and is undecided in block 6."
    )
    assert list(by_verdict(PROFILE, theory, INPUT)) == ["holds", "tight", "violated", "undecided"]


def test_the_tolerance_is_explained():
    said = say("tolerance", replace(THEORY, tolerance=0.03))
    assert "above 0.03 of the largest; a Jacobian's rank is the largest over 4 texts." in said


def test_the_first_block_to_break_is_named():
    falling = Spectrum(tuple(0.8**i for i in range(30)), size=384)
    theory = with_spectra("input", {LAYERS[3]: falling})
    needed = int(PROFILE.dimensions[4]) + 1
    assert say("breaking", PROFILE, theory, INPUT) == (
        "The rank by the input reaches the dimension, rounded up, at any tolerance below "
        f"{0.8 ** (needed - 1):.2g}; block 4 is the first where it would not."
    )


def test_a_rank_that_is_never_enough_and_one_that_always_is():
    theory = with_spectra("input", {LAYERS[2]: exact(4)})
    assert say("breaking", PROFILE, theory, INPUT) == (
        "At no tolerance does the rank by the input reach the dimension in block 3."
    )
    flat = with_spectra("parameters", dict.fromkeys(LAYERS, exact(9)))
    assert say("breaking", PROFILE, flat, WEIGHTS) == (
        "The rank by the weights reaches the growth at any tolerance, in every block."
    )


def test_what_too_few_singular_values_say_of_the_first_to_break_is_a_bound():
    few = Spectrum((1.0, 0.9), size=384, residual=0.8)
    theory = with_spectra("input", {LAYERS[1]: few})
    assert say("breaking", PROFILE, theory, INPUT) == (
        "The rank by the input reaches the dimension, rounded up, in block 2 at tolerances below "
        "0.8 alone, if at any."
    )


def test_fisher_information_before_and_after():
    said = say("fisher", THEORY)
    assert (
        "the gradients of 32 labelled texts, which no rank of it can exceed: weights before "
        in (said)
    )
    ranks = [
        one.spectrum.numerical_rank().value
        for one in THEORY.fishers
        if (one.of, one.stage) == ("lora", "after")
    ]
    assert f"; LoRA factors after training, rank {min(ranks)} to {max(ranks)}, effective" in said


def test_before_training_nothing_is_said_of_after():
    theory = example_theory(PROFILE, PLAN, trained=False)
    assert "after" not in say("fisher", theory)


def test_without_labels_or_an_adapter_nothing_is_said():
    theory = example_theory(PROFILE, PLAN, labelled=False, trained=False)
    assert not say("fisher", theory)
    assert not say("use", bound_in_use(theory.updates, PLAN))


def use(*, bound, planned, used, stable):
    return ModuleUse("m", "b", bound, planned, used, stable, stable, used / planned)


def test_how_much_of_the_rank_was_used():
    uses = [
        use(bound=1, planned=4, used=4, stable=2.5),
        use(bound=3, planned=4, used=2, stable=1.25),
        use(bound=0, planned=2, used=0, stable=0.0),
    ]
    assert say("use", uses) == (
        "Of the rank given to 3 modules, 10 in all, training used 6 (60 %): all of it in 1 of "
        "them, and less than the growth of the dimension in 1. The stable rank of their updates "
        "is 0.00 to 2.50."
    )


@pytest.mark.parametrize("granularity", ["block", "sublayer"])
def test_two_stacks_are_told_apart(granularity):
    stacks = (("encoder.block.0", "encoder.block.1"), ("decoder.block.0",))
    profile = example_profile(stacks, granularity=granularity)
    theory = example_theory(profile, plan_ranks(profile), ranks={"decoder.block.0": 2})
    assert "violated in decoder block 1" in say("verdict", profile, theory, INPUT)
