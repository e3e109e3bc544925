"""The page on comparisons: its methods exist, its Python runs, its formulas count what is done."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch
from scipy import stats
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel

from gelora.hidden_states.architectures import find_architecture
from gelora.lab.baselines import MODULES, find_method
from gelora.lab.comparison.results import (
    FAILURES_FILE,
    LABELS_FILE,
    PREDICTIONS_FILE,
    RESULTS_FILE,
    TRIALS_FILE,
)
from gelora.lab.pages.comparison_page import CSV_FILE, PLOTS_FOLDER, TABLE_FILE
from lab.comparison.results_examples import example_results, write_results

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "comparison.md").read_text()


@pytest.fixture(scope="module")
def benchmark():
    """Import the script that measures what choosing ranks costs."""
    path = ROOT / "benchmarks" / "rank_selection.py"
    spec = importlib.util.spec_from_file_location("rank_selection", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where a dataclass looks for its module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_every_method_is_in_the_table_and_none_else():
    rows = re.findall(r"^\| (`.*?) \|", PAGE, flags=re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([\w-]+)`", row)]
    methods = [name for name in named if name not in {"trials", "plots"}]
    assert {*MODULES} <= {*methods}
    for name in {*methods} - {*MODULES}:
        assert find_method(name).name == name


def test_every_file_is_in_the_table():
    for name in (
        RESULTS_FILE, PREDICTIONS_FILE, LABELS_FILE, TRIALS_FILE, FAILURES_FILE, TABLE_FILE,
        CSV_FILE, f"{PLOTS_FOLDER}/", "report.html",
    ):  # fmt: skip
        assert f"`{name}`" in PAGE


def test_its_python_runs(tmp_path, capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    write_results(example_results({"gelora": 0.8, "full": 0.9}), tmp_path)
    exec(block, {"folder": tmp_path})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["cola", "r=2", "gelora"], ["cola", "r=2", "full"],
    ]  # fmt: skip


def test_how_many_standard_errors_holms_first_step_takes():
    layer = 0.05 / (len(MODULES) + 2 - 1)  # with lora-r1 and lora-r2, without gelora
    assert f"among {len(MODULES) + 1}, a difference counts" in PAGE
    assert f"its own p is below {layer:.4f}" in PAGE
    assert f"takes {stats.t.isf(layer / 2, 4):.1f} standard errors where seeds decide" in PAGE
    assert f"and {stats.norm.isf(layer / 2):.1f} where items do" in PAGE


def test_the_forward_pass_takes_what_the_formula_says(benchmark):
    shape = benchmark.Shape(samples=3, tokens=17, width=48, blocks=2)
    config = BertConfig(
        hidden_size=shape.width,
        num_hidden_layers=shape.blocks,
        num_attention_heads=4,
        intermediate_size=4 * shape.width,
        vocab_size=50,
        attn_implementation="eager",  # whose products the counter sees
    )
    model = BertModel(config, add_pooling_layer=False).eval()
    weights = sum(m.in_features * m.out_features for m in find_architecture(model).modules)
    assert weights == 12 * shape.width**2 * shape.blocks
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.ones(shape.samples, shape.tokens, dtype=torch.long))
    assert counter.get_total_flops() == benchmark.formula(shape)["forward"]


def test_the_search_and_its_parts_take_at_most_twice_the_whole(benchmark):
    one = benchmark.formula(benchmark.Shape(samples=399))["search"]
    assert one == 399**2 * 384 * 7
    whole = benchmark.formula(benchmark.Shape(samples=400))["search"]
    assert whole == 1.5 * 400**2 * 384 * 7
    many = benchmark.formula(benchmark.Shape(samples=400_000))["search"]
    assert 1.9 < many / (400_000**2 * 384 * 7) < 2
