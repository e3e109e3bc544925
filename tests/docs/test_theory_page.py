"""The page on theory and code: its functions, tests and networks exist, and verdicts are tested."""

import re
from pathlib import Path
from pydoc import locate

import pytest

import known_networks
from gelora.lab.theory.spectra import DEFAULT_TOLERANCE, TOLERANCES
from gelora.lab.theory.theorem import LEAST_MARGIN, STANDARD_ERRORS
from lab.theory.test_theorem_on_known_networks import VERDICTS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "theory.md").read_text()
DOTTED = sorted(set(re.findall(r"`((?:\w+\.)+\w+)`", PAGE)))
NAMED_TESTS = re.findall(r"\[([^\]]+)\]\((\.\./tests/[\w/]+\.py)\)", PAGE)
WHOLE_FILES = ("tests", "what is run", "what is said of it", "the scripts at a tiny size")
NETWORKS = {
    "to fewer": "linear_map",
    "to more": "linear_map",
    **{
        name: name
        for name in ("curved", "identity", "amplifying", "scrambling", "revealing")
    },
}  # fmt: skip


@pytest.mark.parametrize("name", DOTTED)
def test_every_function_exists(name):
    assert locate(f"gelora.{name}") is not None


@pytest.mark.parametrize(("words", "path"), NAMED_TESTS)
def test_every_test_exists(words, path):
    text = (DOCS / path).read_text()
    if words not in WHOLE_FILES:
        assert f"\ndef test_{words.replace(' ', '_')}(" in text


def test_every_row_has_its_function_and_its_test():
    tables = PAGE.split("## What the theorem leaves open")[0]
    lines = re.findall(r"^\| (.+) \|$", tables, flags=re.MULTILINE)
    rows = [re.split(r"(?<!\\) \| ?", line) for line in lines if not line.startswith("what |")]
    assert len(rows) > 20
    for row in rows:
        assert re.fullmatch(r"`[\w.]+`", row[2])
        assert re.fullmatch(r"\[.+\]\(\.\./tests/.+\.py\)", row[3])


def test_verdicts_are_those_that_are_tested():
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+) \|$", PAGE, flags=re.MULTILINE))
    assert {*rows} == {*NETWORKS.values()}
    for name, (dimension, increment) in VERDICTS.items():
        assert hasattr(known_networks, NETWORKS[name])
        by_input, by_parameters = rows[NETWORKS[name]].split(" | ")
        assert by_parameters == increment
        assert dimension in by_input.split(", or ")
    assert rows["linear_map"].startswith("tight, or holds")


def test_constants_are_the_codes():
    assert DEFAULT_TOLERANCE == 1e-3
    assert "a thousandth as far as the strongest" in PAGE
    *others, last = TOLERANCES
    assert f"{', '.join(f'{one:g}' for one in others)} and {last:.4f}" in PAGE
    assert (STANDARD_ERRORS, LEAST_MARGIN) == (2, 0.5)
    assert "two standard errors or half a dimension" in PAGE
