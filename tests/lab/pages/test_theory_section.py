"""The report's section on the theory: what is there, when, and that all else stays as it was."""

import re
from dataclasses import replace

import pytest

from gelora.artifacts import THEORY_FILE
from gelora.errors import ArtifactError
from gelora.lab.pages.theory_section import theory_section
from gelora.lab.pages.theory_tables import block_table, use_table
from gelora.lab.theory.usage import bound_in_use
from gelora.report import write_report
from lab.pages.example_theory import example_theory
from report.example_run import example_profile, write_example_run
from report.test_page import Page

PROFILE = example_profile((("encoder.layer.0", "encoder.layer.1"),))


def write(folder, *, profile=PROFILE, plan_by=None, **options):
    """Write a run with a record, and return the plan and the record."""
    plan = write_example_run(folder, profile=profile, **(plan_by or {}))
    theory = example_theory(profile, plan, **options)
    theory.save_pretrained(folder)
    return plan, theory


def page_of(folder):
    return Page(write_report(folder, sections=[theory_section]).read_text())


def test_the_section_stands_before_how_it_was_made_and_describes_its_figures(tmp_path):
    write(tmp_path)
    page = page_of(tmp_path)
    headings = re.findall(r"<h2>(.*?)</h2>", page.html)
    assert headings.index("Theory") == headings.index("How it was made") - 1
    parts = re.findall(r"<h3>(.*?)</h3>", page.html.partition("<h2>Theory</h2>")[2])
    assert parts[:5] == [
        "By other tolerances",
        "Singular values of the Jacobians",
        "Fisher information",
        "The bound in use",
        "What to keep in mind",
    ]
    drawings = page.all("svg")
    assert len(drawings) == len(page.all("figure")) == 6 + 4
    assert all(len(svg["aria-label"]) > 40 for svg in drawings)
    assert "http" not in page.html
    assert all(cell["scope"] in {"row", "col"} for cell in page.all("th"))
    assert "→ theory " in page.text


def test_times_captions_and_descriptions_hold_what_is_drawn(tmp_path):
    write(tmp_path / "a")
    page = page_of(tmp_path / "a")
    assert "Time: fisher 12.5 s, jacobians 2 min 21 s." in page.text
    lines = "weights blue, LoRA factors purple, before training dotted and after training solid."
    assert f"Eigenvalues: {lines}" in page.text
    described = [svg["aria-label"] for svg in page.all("svg")]
    assert any("block 2 ≥ 128 and " in words for words in described)
    for tolerance in ("0.1", "0.01", "0.001", "0.0001"):
        assert any(f"At {tolerance}: rank" in words for words in described)
    write(tmp_path / "b", trained=False)
    caption = "weights blue, LoRA factors purple, before training dotted."
    assert f"Eigenvalues: {caption}" in page_of(tmp_path / "b").text


def test_without_the_record_the_page_is_byte_for_byte_as_before(tmp_path):
    write_example_run(tmp_path, profile=PROFILE)
    before = write_report(tmp_path, sections=[theory_section]).read_bytes()
    write(tmp_path)
    with_theory = write_report(tmp_path, sections=[theory_section]).read_bytes()
    assert write_report(tmp_path, sections=[theory_section]).read_bytes() == with_theory != before
    (tmp_path / THEORY_FILE).unlink()
    assert write_report(tmp_path, sections=[theory_section]).read_bytes() == before


def test_tables_hold_the_numbers_and_what_fails_is_marked(tmp_path):
    plan, theory = write(tmp_path, ranks={"encoder.layer.1": 2})
    section = page_of(tmp_path).html.partition("<h2>Theory</h2>")[2]
    violated = block_table(PROFILE, theory).to_numpy().tolist()[1]
    (row,) = re.findall(r'<tr><th scope="row">block 2</th>.*doubt.*', section)
    assert re.findall(r">([^<>]+)</td>", row) == violated[1:]
    assert '<dt class="doubt">violated</dt>' in section
    modules = re.findall(r'<tr><th scope="row"><code>(.*?)</code></th>(.*)</tr>', section)
    found = [[path.replace("<wbr>", ""), *re.findall(r">([^<>]+)<", r)] for path, r in modules]
    assert found == use_table(bound_in_use(theory.updates, plan)).to_numpy().tolist()


def test_a_run_that_was_not_trained_or_has_no_labels_shows_less(tmp_path):
    write(tmp_path / "a", trained=False)
    page = page_of(tmp_path / "a")
    assert "The bound in use" not in page.text
    assert "Fisher information" in page.text
    write(tmp_path / "b", trained=False, labelled=False)
    page = page_of(tmp_path / "b")
    assert "Fisher" not in page.text
    assert len(page.all("figure")) == 6 + 2


@pytest.mark.parametrize("granularity", ["block", "sublayer"])
def test_two_stacks_and_halves_of_blocks(tmp_path, granularity):
    stacks = (("encoder.block.0", "encoder.block.1"), ("decoder.block.0",))
    write(tmp_path, profile=example_profile(stacks, granularity=granularity))
    section = page_of(tmp_path).html.partition("<h2>Theory</h2>")[2]
    rows = re.findall(r'<tr><th scope="row">([^<]+ block \d)</th>', section)
    assert rows[:3] == ["encoder block 1", "encoder block 2", "decoder block 1"]


def test_names_from_outside_are_text_not_markup(tmp_path):
    evil = "<script>alert(1)</script>"
    write(tmp_path, profile=example_profile(((f"{evil}.0", f"'\"{evil}.1"),)))
    assert "<script" not in page_of(tmp_path).html


@pytest.mark.parametrize(
    ("blocks", "kilobytes"), [(6, 170), pytest.param(48, 750, marks=pytest.mark.slow)]
)
def test_the_page_stays_small(tmp_path, blocks, kilobytes):
    names = tuple(f"model.layers.{i}" for i in range(blocks))
    plan_by = {"budget": "r=16", "target_modules": "all-linear"}
    write(tmp_path, profile=example_profile((names,)), plan_by=plan_by)
    assert write_report(tmp_path, sections=[theory_section]).stat().st_size < 1000 * kilobytes


def test_a_record_of_another_profile_is_refused_with_both_hashes(tmp_path):
    other = example_profile(growth=2.0)
    _, theory = write(tmp_path)
    replace(theory, profile_hash=other.content_hash()).save_pretrained(tmp_path)
    named, found = other.content_hash()[:12], PROFILE.content_hash()[:12]
    message = f"{THEORY_FILE} was made from a dimension_profile.json with hash {named}, but the one"
    with pytest.raises(ArtifactError, match=f"{message} beside it has {found}"):
        write_report(tmp_path, sections=[theory_section])


def test_a_truncated_record(tmp_path):
    write(tmp_path)
    path = tmp_path / THEORY_FILE
    path.write_text(path.read_text()[:1000])
    with pytest.raises(ArtifactError, match="theory.json is not complete JSON"):
        write_report(tmp_path, sections=[theory_section])
