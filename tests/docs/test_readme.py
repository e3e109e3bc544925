"""The README's Python runs as it stands; the flags, verbs and links of all pages exist."""

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
from written_pages import ROOT, written_pages

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / name for name in (*written_pages(), "benchmarks/README.md")]


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.filterwarnings("ignore")
def test_the_block_of_the_model_runs_as_it_stands():
    names = {}
    exec(blocks("python")[0], names)
    assert len(names["texts"]) == 300
    assert len(names["plan"].ranks) == 6
    assert names["model"].peft_config["default"].rank_pattern is not None


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
    ours |= ALIASES.keys() | training_fields("instruction_tuning")
    assert said - {"help", "multi_gpu"} <= ours


def test_verbs_exist():
    commands = "".join(block for page in PAGES for block in blocks("console", page.read_text()))
    assert set(re.findall(r"gelora ([a-z]+)", commands)) - {"cd"} <= VERBS.keys()


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())


def entries(page: Path) -> list[str]:
    trees = re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), flags=re.DOTALL)
    return [line for tree in trees for line in tree.splitlines() if line and line[0] != ":"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in links(page):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_page_is_found_from_the_readme_and_from_the_front_page():
    pages = {ROOT / name for name in written_pages()}
    for start, others in (("README.md", pages), ("docs/index.md", pages - {ROOT / "README.md"})):
        found = [ROOT / start]
        for page in found:
            names = links(page) + [f"{name}.md" for name in entries(page)]
            targets = [(page.parent / name).resolve() for name in names]
            found += dict.fromkeys(t for t in targets if t in pages and t not in found)
        assert {*found} == others
