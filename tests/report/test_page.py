import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from example_profiles import with_settings
from gelora.artifacts import METRICS_FILE, PLAN_FILE
from gelora.errors import ArtifactError
from gelora.ranks.advice import certainty
from gelora.report import write_report
from gelora.report.run_files import read_run
from gelora.report.tables import rank_table
from report.example_run import example_profile, write_example_run

VOID = {"meta", "wbr", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Reads a page and holds it to balanced tags."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.ids, self.code, self.text = [], [], [], [], ""
        self.html = html.replace("\u00a0", " ")
        self.feed(self.html)
        self.text = " ".join(self.text.split())
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "code":
            self.code.append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data
        if self.open[-1:] == ["code"]:
            self.code[-1] += data

    def all(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_example_run(folder)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(run):
    return Page((run / "report.html").read_text())


def test_page_opens_with_the_result_and_has_all_parts(page):
    assert "GeLoRA report: cola, FacebookAI/roberta-base" in page.text
    assert "Matthews correlation 0.493 ± 0.029 on 1,043 validation texts" in page.text
    headings = re.findall(r"<h2>(.*?)</h2>", page.html)
    assert headings == [
        "Dimension and ranks",
        "Load the adapter",
        "Result",
        "How reliable is the dimension?",
        "How it was made",
        "How to cite",
    ]
    for words in (
        "gelora run --task_name cola --output_dir 'runs/my run'",
        "learning_rate: 0.0002",
        "dataset nyu-mll/glue",
        "torch 2.13.0+cpu",
        "arXiv:2412.09250",
        "Facco",
    ):
        assert words in page.text


def test_contents_list_every_section(page):
    anchors = [a["href"].removeprefix("#") for a in page.all("a")]
    assert anchors == [section["id"] for section in page.all("section")]


def test_the_rank_stands_beside_its_block_in_a_box_that_scrolls(page):
    boxes = re.findall(
        r'<div class="scroll" tabindex="0"><table.*?</table></div>', page.html, re.DOTALL
    )
    assert len(boxes) == page.html.count("<table") == 3
    assert re.findall(r'<th scope="col">(.*?)</th>', boxes[0])[:2] == ["block", "rank"]


def test_numbers_keep_their_units_and_flags_their_hyphens(run):
    html = (run / "report.html").read_text()
    text = re.sub(r"<(svg|pre|style)\b.*?</\1>|<[^>]*>", "", html, flags=re.DOTALL)
    assert "0.493\u00a0±\u00a00.029" in text
    assert "5\u00a0min 58\u00a0s" in text
    assert not re.findall(r"\d [%±]|± \d|\d (?:s|min|h|GB)\b", text)
    assert "<code>--states</code> normalized" in html


def test_only_settings_that_differ_from_the_defaults_are_unfolded(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    write_report(folder, defaults={"learning_rate": 0.001, "num_train_epochs": 3, "seed": 42})
    made = (folder / "report.html").read_text().partition('<section id="made">')[2]
    unfolded = re.sub(r"<details>.*?</details>", "", made, flags=re.DOTALL)
    assert "learning_rate: 0.0002" in unfolded
    assert "task_name: cola" in unfolded
    assert "num_train_epochs" not in unfolded
    assert "num_train_epochs: 3" in made


def test_nothing_is_loaded_from_a_network(page):
    assert "http" not in page.html
    assert "@import" not in page.html
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.tags}
    for _, attrs in page.tags:
        assert "src" not in attrs
        assert attrs.get("href", "#").startswith("#")


def test_every_figure_is_described_in_words(page):
    drawings = page.all("svg")
    assert len(drawings) == len(page.all("figure")) == 6
    assert all(len(svg["aria-label"]) > 40 for svg in drawings)
    assert "embeddings 8.01, block 1 8.82" in drawings[0]["aria-label"]


def test_tables_tell_their_headings_and_add_up(page):
    assert all(cell["scope"] in {"row", "col"} for cell in page.all("th"))
    row = re.search(r'<tr><th scope="row">1</th>.*', page.html)[0]
    assert re.findall(r">([^<>]+)</(?:td|b)>", row) == [
        "2", "0.96", "8.82 ± 0.18", "+0.81 ± 0.07", "1", "4", "12,288",
    ]  # fmt: skip
    total = re.search(r'<tr><th scope="row">total</th>.*', page.html)[0]
    assert re.findall(r">(\d[^<>]*)</(?:td|b)>", total) == ["16", "4", "48", "98,304"]


def test_the_loading_code_is_python_and_needs_no_gelora(page, run):
    code = next(code for code in page.code if "PeftModel" in code)
    compile(code, "report", "exec")
    assert "gelora" not in code.replace(str(run), "")
    assert f'"{run}/adapter"' in code


def test_page_is_small_and_the_same_twice(run):
    first = (run / "report.html").read_bytes()
    assert write_report(run) == run / "report.html"
    assert (run / "report.html").read_bytes() == first
    assert len(first) < 400_000


@pytest.mark.parametrize(
    ("blocks", "kilobytes", "options"),
    [
        (6, 100, {}),
        (32, 300, {}),
        pytest.param(24, 300, {"granularity": "sublayer"}, marks=pytest.mark.slow),
        pytest.param(96, 400, {"all_estimators": True}, marks=pytest.mark.slow),
    ],
)
def test_the_page_stays_small(tmp_path, blocks, kilobytes, options):
    names = tuple(f"model.language_model.backbone.layers.{i}" for i in range(blocks))
    profile = example_profile((names,), **options)
    write_example_run(tmp_path, profile=profile, budget="r=16", target_modules="all-linear")
    assert write_report(tmp_path).stat().st_size < 1000 * kilobytes


def test_doubts_are_told_layer_by_layer_and_explained(tmp_path):
    profile = example_profile(noisy=(3, 7), constant=True, all_estimators=True)
    write_example_run(tmp_path, profile=profile)
    page = Page(write_report(tmp_path).read_text())
    assert "stable at 10 of 13 layers, noisy at 2 and constant at 1" in page.text
    (row,) = re.findall(r'<tr><th scope="row">block 3</th>.*', page.html)
    part = f"{profile.decimation[-1].dimensions[3]:.2f}"
    dimensions = [f"{series.dimensions[3]:.2f}" for series in profile.series.values()]
    first, verdict, *numbers = re.findall(r">([^<>]+)</(?:td|span)>", row)
    assert [first, *numbers] == ["10.36 ± 0.21", *dimensions[1:], part, "19 %"]
    assert verdict == "noisy: rises from 7.5 at 483 texts to 10.4 at 3,871; may be biased"
    assert "By 483 samples: embeddings 0.00" in page.html
    assert "the states' shape. This is so at block 3 and block 7: compare" in page.text
    for words in ("docs/accuracy.md", "compare --states normalized", "(many neighbours) from"):
        assert words in page.text


def test_what_any_use_of_the_dimensions_should_know_is_said_once(tmp_path):
    profile = example_profile()
    write_example_run(tmp_path, profile=profile)
    text = Page(write_report(tmp_path).read_text()).text
    assert text.count("the dimension is so high") == 1
    assert text.count("Three coordinates alone carry") == 1


@pytest.mark.parametrize(
    ("arguments", "heading"),
    [({}, "P(rank)"), ({"rank_rule": "confident"}, "P(enough)"), ({"budget": "r=8"}, "90 % range")],
)
def test_the_page_shows_how_sure_ranks_are_as_the_table_of_the_command_does(
    tmp_path, arguments, heading
):
    plan = write_example_run(tmp_path, **arguments)
    page = Page(write_report(tmp_path).read_text())
    assert f'<th scope="col">{heading}</th>' in page.html
    assert page.text.count(heading) == (3 if "budget" in arguments else 2)
    first = re.search(r'<tr><th scope="row">1</th>.*', page.html)[0]
    assert f"<td>{certainty(plan, 0)}</td>" in first


def test_what_is_said_of_an_estimator_holds_for_each(tmp_path):
    profile = with_settings(example_profile(all_estimators=True), estimator="gride_8")
    write_example_run(tmp_path, profile=profile)
    assert "TwoNN falls short" not in Page(write_report(tmp_path).read_text()).text


def test_too_few_samples_to_part_leave_no_figure_of_parts(tmp_path):
    profile = replace(example_profile(), decimation=example_profile().decimation[:1])
    write_example_run(tmp_path, profile=profile)
    page = Page(write_report(tmp_path).read_text())
    assert len(page.all("svg")) == 5
    assert "On fewer samples" not in page.text
    assert "samples</th>" not in page.html


def test_half_blocks_have_a_row_each(tmp_path):
    profile = example_profile((("layers.0", "layers.1"),), granularity="sublayer")
    write_example_run(tmp_path, profile=profile, rank_rule="confident", target_modules="all-linear")
    page = Page(write_report(tmp_path).read_text())
    rows = re.findall(r'<tr><th scope="row">(\d[^<]*)</th>.*<code>(.*?)</code>', page.html)
    assert rows == [
        (f"{block + 1} {half}", f"layers.<wbr>{block}")
        for block in range(2)
        for half in ("attention", "MLP")
    ]
    assert "after both halves of every block" in page.text
    assert "P(enough) is the probability" in page.text
    assert "raw, mean pooling, after both halves of every block" in page.text


def test_two_stacks_before_training(tmp_path):
    stacks = (("encoder.block.0", "encoder.block.1"), ("decoder.block.0",))
    write_example_run(tmp_path, profile=example_profile(stacks), trained=False)
    page = Page(write_report(tmp_path).read_text())
    assert "Result" not in page.text
    assert "Load the adapter" not in page.text
    assert "decoder 1" in page.text
    assert len(page.all("svg")) == 5
    code = next(code for code in page.code if "RankPlan" in code)
    compile(code, "report", "exec")


def test_rank_one_everywhere_is_said_and_a_budget_offered(tmp_path):
    folder = tmp_path / "my run"
    write_example_run(folder, profile=example_profile(growth=0.05))
    page = Page(write_report(folder).read_text())
    assert "grows by less than one in 12 of 12 blocks" in page.text
    assert "This is plain LoRA of rank 1" in page.text
    command = f"--budget r=8 --profile '{folder}' --output_dir '{folder}-r8'"
    assert f"gelora plan --rank_rule budget {command}" in page.code


def test_names_from_outside_are_text_not_markup(tmp_path):
    evil = "<script>alert(1)</script>"
    folder = tmp_path / "<script>x"
    profile = example_profile(((f"{evil}.0",), (f"'\"{evil}.0",)))
    write_example_run(folder, profile=profile, task=evil)
    (folder / "config.yaml").write_text(f"train_file: {evil}\n")
    html = write_report(folder).read_text()
    assert "<script" not in html
    assert evil in Page(html).text


def test_an_old_report_survives_a_failure(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    before = (folder / "report.html").read_bytes()
    (folder / PLAN_FILE).write_text("{")
    with pytest.raises(ArtifactError, match="rank_plan.json is not complete JSON"):
        write_report(folder)
    assert (folder / "report.html").read_bytes() == before
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_a_run_without_history_has_no_curve(tmp_path):
    write_example_run(tmp_path)
    text = (tmp_path / METRICS_FILE).read_text()
    (tmp_path / METRICS_FILE).write_text(
        re.sub(r'"history": \[.*?\n  \]', '"history": []', text, flags=re.DOTALL)
    )
    page = Page(write_report(tmp_path).read_text())
    assert "Result" in page.text
    assert len(page.all("svg")) == 5


def test_what_is_not_adapted_has_no_probability(tmp_path):
    profile = example_profile((("layers.0",),), granularity="sublayer")
    write_example_run(tmp_path, profile=profile)
    plan = read_run(tmp_path).plan
    attention, mlp, _ = rank_table(plan, profile)
    assert attention["P(rank)"] == f"{plan.certainties[0]:.2f}"
    empty = {"rank": "0", "P(rank)": "", "modules": "0", "parameters": "0"}
    assert mlp.items() >= empty.items()
