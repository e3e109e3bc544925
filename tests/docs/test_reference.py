"""The generated pages of the site have every name, flag, field, file and error of the code."""

import doctest
import re
from dataclasses import fields

import pytest

import gelora
import gelora.dimension
import reference
import repository
from gelora import errors
from gelora.cli.config import GROUPS, VERBS, flags_of
from written_pages import ROOT

PAGES = reference.pages()
GLOSSARY = (ROOT / "docs/glossary.md").read_text()


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_all_of_its_flags_with_their_help(verb):
    page = PAGES[f"verbs/{verb}.md"]
    assert re.findall(r"^`--(\w+)`$", page, flags=re.MULTILINE) == [
        flag.name for group in VERBS[verb].groups for flag in fields(GROUPS[group])
    ]
    assert len(re.findall(r"^: \S", page, flags=re.MULTILINE)) == len(flags_of(verb))
    assert f"verbs/{verb}.md" in PAGES["commands.md"]


def test_a_flag_has_its_type_and_default():
    page = PAGES["verbs/run.md"]
    assert "*number*; default `0.001`\n" in page.split("`--learning_rate`\n")[1].split("`--")[0]
    pooling = page.split("`--pooling`\n")[1].split("\n\n")[0]
    assert "*mean, last, first*; default `None`" in pooling


def test_every_public_name_is_documented_once():
    text = "".join(PAGES[name] for name in ("python.md", "dimension.md", "errors.md"))
    shown = re.findall(r"\.\. auto\w+:: gelora[\w.]*\.(\w+)", text)
    assert {*gelora.__all__, *gelora.dimension.__all__} <= {*shown}
    assert len(shown) == len({*shown})


def test_types_of_signatures_are_documented():
    kinds = reference.types_of_signatures()
    assert {"Metric", "TrainingResult", "ProfileComparison"} <= {kind.__name__ for kind in kinds}
    assert all(f"{kind.__module__}.{kind.__name__}" in PAGES["types.md"] for kind in kinds)


def test_every_error_and_warning_is_documented():
    kinds = [name for name in vars(errors) if name.endswith(("Error", "Warning"))]
    assert len(kinds) > 15
    assert all(PAGES["errors.md"].count(f"gelora.errors.{name}\n") == 1 for name in kinds)


def test_every_file_and_field_is_documented():
    page = PAGES["files.md"]
    assert all(f"`{name}`\n: " in page for name in reference.files())
    kinds = reference.artifact_types()
    assert {"DimensionProfile", "RankPlan", "TheoryRecord"} <= {kind.__name__ for kind in kinds}
    for kind in kinds:
        if kind.FILE in reference.files():
            section = page.split(f"## `{kind.FILE}`")[1].split("\n## ")[0]
            assert all(f"`{field.name}`\n: " in section for field in fields(kind))


@pytest.mark.parametrize("module", [reference, repository])
def test_examples_in_docstrings_hold(module):
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)


def test_a_flag_without_help_is_an_error():
    with pytest.raises(TypeError, match="no words for the type"):
        reference.type_words(dict[str, int])


def test_links_out_of_docs_become_pages_or_paths():
    text = "[a](../README.md#try), [b](../experiments/alpaca), [c](https://x.org), [d](#here)"
    assert repository.with_site_links(text, "docs/method.md") == (
        "a (`README.md`), [b](/results/alpaca.md), [c](https://x.org), [d](#here)"
    )
    assert repository.with_site_links("[a](/a.md)", "docs/results/x.md") == "[a](/a.md)"
    code = "```python\nnames[0](1)\n```\n"
    assert repository.with_site_links(code, "docs/method.md") == code


def test_pages_from_elsewhere_have_no_relative_link_left():
    pages = repository.pages()
    assert "changelog.md" in pages
    assert len(pages) > 8
    for name, text in pages.items():
        links = re.findall(r"\]\(([^)\s]+)\)", text)
        assert [link for link in links if not link.startswith(("/", "https://", "#"))] == [], name


def test_the_glossary_has_the_words_of_contributing():
    (words,) = re.findall(r"^- Words: (.*)$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    terms = re.findall(r"^(\w[\w ]*)\n    \S", GLOSSARY, flags=re.MULTILINE)
    named = set(re.findall(r"\*(\w+)\*", words))
    assert len(named) > 3
    assert named <= {*terms}
