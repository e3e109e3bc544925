import json
import re
from dataclasses import replace

import pytest

from gelora.errors import ArtifactError
from gelora.lab.comparison.results import RESULTS_FILE, Failure
from gelora.lab.pages.comparison_page import write_comparison
from lab.comparison.results_examples import example_results, write_results
from lab.comparison.test_sensitivity import ranks, varied_results
from report.test_page import Page

METHODS = {
    "gelora": 0.8, "gelora-shuffled": 0.8, "gelora-reversed": 0.5, "lora": 0.8, "full": 0.97,
    "linear-probe": 0.6,
}  # fmt: skip


FEW = {"gelora": 0.8, "full": 0.9}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    failure = Failure("run", "rte", "sora", {}, "r=2", 3, 1e-3, "RuntimeError: <b>memory</b>")
    results = example_results(METHODS, tasks=("cola", "rte"), failures=[failure])
    write_comparison(write_results(results, folder))
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "report.html").read_text())


def test_the_page_opens_with_wins_ties_and_losses(page):
    assert "cola, rte with tiny-bert" in page.text
    assert "gelora wins 4, ties 4 and loses 2 in 10 comparisons." in page.text
    assert "On cola at r=2 it wins 2, ties 2 and loses 1." in page.text
    assert "60 of 60 runs are there, 1 failed." in page.text
    headings = re.findall(r"<h2>(.*?)</h2>", page.html)
    assert headings == [
        "cola", "rte", "Over tasks", "Learning rates", "What failed", "How it was made",
    ]  # fmt: skip


def test_what_is_better_and_worse_is_named_and_the_controls_are_spoken_of(page):
    assert "It is better than gelora-reversed and linear-probe." in page.text
    assert "It is worse than full." in page.text
    assert "It cannot be told from gelora-shuffled and lora." in page.text
    assert "nothing here shows that it matters where they stand." in page.text
    assert "so it matters that they stand where the dimension grows." in page.text
    assert "Parameters are those beside the head, which every method trains: 770 more" in page.text


def test_learning_rates_at_the_edge_of_the_grid_are_told(page):
    assert "12 of 12 choices are the smallest or the largest rate of the grid" in page.text


def test_nothing_is_loaded_from_a_network_and_names_are_text(page):
    assert "http" not in page.html
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.tags}
    assert "RuntimeError: <b>memory</b>" in page.text


def test_every_figure_is_on_the_page_and_a_file(folder, page):
    drawings = page.all("svg")
    assert len(drawings) == 6
    assert all(len(svg["aria-label"]) > 40 for svg in drawings)
    assert sorted(path.name for path in (folder / "plots").iterdir()) == [
        f"{task}-{name}.svg"
        for task in ("cola", "rte")
        for name in ("differences", "parameters", "seconds")
    ]


def test_markdown_and_csv_have_the_same_tables(folder):
    text = (folder / "table.md").read_text()
    assert text.startswith("# Comparison\n\ngelora wins 4, ties 4 and loses 2 in 10 comparisons.")
    assert "## rte, budget r=2 (20,000 parameters)" in text
    assert "## Mean rank over tasks\n\n| method | r=2 |\n| --- | --- |\n| full | 1.00 |" in text
    assert "## What failed" in text
    assert len((folder / "table.csv").read_text().splitlines()) == 13


def test_the_same_results_give_the_same_bytes(folder):
    names = ("report.html", "table.md", "table.csv", "plots/cola-parameters.svg")
    before = [(folder / name).read_bytes() for name in names]
    assert write_comparison(folder) == folder / "report.html"
    assert [(folder / name).read_bytes() for name in names] == before


def test_a_comparison_of_variations_alone(tmp_path):
    results = varied_results(
        ({"pooling": "mean"}, ranks(1, 2, 2), 0.8), ({"pooling": "last"}, ranks(1, 3, 2), 0.8)
    )
    rows = [row for row in results.rows if row.varied]
    trials = [t for t in results.trials if t.method != "lora"]
    write_comparison(write_results(replace(results, rows=rows, trials=trials), tmp_path))
    page = Page((tmp_path / "report.html").read_text())
    assert re.findall(r"<h2>(.*?)</h2>", page.html) == [
        "Sensitivity", "Learning rates", "How it was made",
    ]  # fmt: skip
    assert "gelora-paper on cola at r=2, varied" in page.text
    assert "Learning rates were not searched" in page.text
    assert "## gelora-paper on cola at r=2, varied" in (tmp_path / "table.md").read_text()


def test_nothing_done_yet_is_said(tmp_path):
    results = example_results(FEW)
    write_comparison(write_results(replace(results, rows=[], trials=[]), tmp_path))
    assert "0 of 10 runs are there." in Page((tmp_path / "report.html").read_text()).text


def test_one_seed_is_said_to_compare_nothing(tmp_path):
    write_comparison(write_results(example_results(FEW, seeds=[0]), tmp_path))
    page = Page((tmp_path / "report.html").read_text())
    assert "No method can be compared with gelora yet: that takes two seeds of both." in page.text
    assert len(page.all("svg")) == 2


def test_methods_off_the_budget_are_marked_and_explained(tmp_path):
    results = example_results(FEW, seeds=[0], changes={"full": {"meets_budget": False}})
    write_comparison(write_results(results, tmp_path))
    text = (tmp_path / "table.md").read_text()
    assert "| 20,000 † |" in text
    assert "† misses the budget of 20,000 parameters: it has one size" in text


def test_a_task_named_by_a_path_has_plots_in_the_folder(tmp_path):
    write_comparison(write_results(example_results(FEW, seeds=[0], tasks=("a/b c",)), tmp_path))
    assert (tmp_path / "plots" / "a-b-c-parameters.svg").is_file()


def test_a_folder_without_a_comparison_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=re.escape(str(tmp_path))):
        write_comparison(tmp_path)


def test_a_line_that_is_no_row_is_refused(tmp_path):
    write_results(example_results({"gelora": 0.8}), tmp_path)
    with (tmp_path / RESULTS_FILE).open("a") as file:
        file.write(json.dumps({"hash": "0"}) + "\n")
    with pytest.raises(ArtifactError, match="Line 6 of .* is no RunResult"):
        write_comparison(tmp_path)
