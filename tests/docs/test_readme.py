"""The README's Python runs as it stands, on a tiny model; its flags and files exist."""

import re
from pathlib import Path

import numpy as np
import pytest

from gelora.cli.config import FLAGS, VERBS
from tiny_models import tiny_bert, tiny_texts, tiny_tokenizer

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "benchmarks/README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.filterwarnings("ignore::gelora.errors.GeloraWarning")
def test_python_blocks_run():
    names = {
        "model": tiny_bert(),
        "tokenizer": tiny_tokenizer(),
        "texts": tiny_texts(120),
        "points": np.random.default_rng(0).normal(size=(200, 5)),
    }
    assert len(blocks("python")) == 2
    for block in blocks("python"):
        exec(block, names)
    assert 3 < names["estimate"].dimension < 6


def test_flags_exist():
    text = re.sub(r".*pip install.*", "", "".join(page.read_text() for page in PAGES))
    said = set(re.findall(r"--(\w+)", text))
    scripts = "".join(script.read_text() for script in (ROOT / "benchmarks").glob("*.py"))
    assert len(said) > 8
    assert said - {"help"} <= FLAGS.keys() | set(re.findall(r'"--(\w+)"', scripts))


def test_verbs_exist():
    assert set(re.findall(r"gelora ([a-z]+)", "".join(blocks("console")))) - {"cd"} <= VERBS.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target
