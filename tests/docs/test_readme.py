"""The README's estimators run as they stand; its flags, verbs and links exist."""

import re
from pathlib import Path

import pytest

import gelora
from example_profiles import make_profile
from fake_hub import install
from gelora import RankPlan
from gelora.cli.config import FLAGS, VERBS
from gelora.cli.parsing import ALIASES, training_fields
from gelora.ranks import plan_ranks

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "benchmarks/README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_block_of_estimators_runs():
    names = {}
    exec(blocks("python")[1], names)
    assert 4 < names["estimate"].dimension < 6


def test_what_goes_to_the_hub_comes_back(tmp_path, monkeypatch):
    install(monkeypatch, tmp_path)
    profile = make_profile([5, 8, 6])
    plan = plan_ranks(profile)
    names = {"gelora": gelora, "profile": profile, "plan": plan}
    (block,) = blocks("python", (ROOT / "docs/sharing.md").read_text())
    exec(block, names)
    assert isinstance(names["plan"], RankPlan)
    assert names["plan"] == plan


def test_flags_exist():
    text = "".join(page.read_text() for page in PAGES)
    text = re.sub(r".*pip install.*|accelerate launch .*? -m", "", text)
    said = set(re.findall(r"--(\w+)", text))
    scripts = "".join(script.read_text() for script in (ROOT / "benchmarks").glob("*.py"))
    assert len(said) > 8
    ours = FLAGS.keys() | set(re.findall(r'"--(\w+)"', scripts))
    assert said - {"help"} <= ours | ALIASES.keys() | training_fields("instruction_tuning")


def test_verbs_exist():
    commands = "".join(block for page in PAGES for block in blocks("console", page.read_text()))
    assert set(re.findall(r"gelora ([a-z]+)", commands)) - {"cd"} <= VERBS.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_page_is_found_from_the_readme():
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages <= set(re.findall(r"\]\(([^)#]+)\)", README))
