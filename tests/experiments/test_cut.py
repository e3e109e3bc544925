"""The experiment on cutting, on a tiny model: what is run, once, and what its tables say."""

import cut_runs
import cut_tables
import numpy as np
import pandas as pd
import pytest
import torch
from cut_runs import Line, Lines, Task
from peft import LoraConfig, convert_to_lora, get_peft_model
from transformers import BertForSequenceClassification

from gelora.cutting.directions import find_directions
from gelora.cutting.layers import live_factors
from gelora.hidden_states.source import ModelSource
from tiny_models import save_tiny, tiny_bert, tiny_tokenizer
from tiny_tasks import tiny_task, write_lines

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Make a tiny task, and let the experiment try little."""
    save_tiny(tiny_bert(), tiny_tokenizer(), tmp_path / "model")
    rows = tiny_task(num_train=200, num_validation=1).train
    (tmp_path / "sst2").mkdir()
    write_lines(tmp_path / "sst2/train.jsonl", sentence=rows["text"], label=rows["label"])
    small = {"TRAINED_RANK": 2, "LOWER_RANKS": (1,), "MEAN_RANKS": (1, 0.5), "RATES": (1e-3, 1e-2)}
    for name, value in small.items():
        monkeypatch.setattr(cut_runs, name, value)
    task = Task("sst2", num_train=40, num_scored=30, num_tuning=20, max_length=16)
    model = ModelSource(str(tmp_path / "model"))
    return cut_runs.load(task, tmp_path / "sst2/train.jsonl", model)


def test_every_run_is_done_once_and_scored_on_other_rows(bench, tmp_path):
    path = tmp_path / "results.jsonl"
    cut_runs.run_task(bench, Lines(path), [0])
    written = path.read_text()
    lines = Lines(path).lines
    assert len({line.key for line in lines}) == len(lines)
    tuned, scored = (
        [line for line in lines if (line.seed == cut_runs.TUNING_SEED) == is_tuning]
        for is_tuning in (True, False)
    )
    assert len(tuned) == 4
    assert {(line.method, line.mean_rank) for line in scored} == {
        *(("trained", rank) for rank in (2, 1)),
        *((method, rank) for method in cut_runs.IMPORTANCES for rank in (1, 0.5)),
        ("equal", 1),
        ("threshold", 1),
    }
    texts = [set(map(tuple, zip(part["text"], part["label"], strict=True))) for part in (
        bench.data.train, bench.data.validation, bench.tuning.validation
    )]  # fmt: skip
    assert [len(part) for part in (bench.data.train, bench.data.validation)] == [40, 30]
    assert not texts[0] & texts[1]
    assert not (texts[0] | texts[1]) & texts[2]
    cut_runs.run_task(bench, Lines(path), [0])
    assert path.read_text() == written


def test_the_threshold_is_pefts(tmp_path):
    """The ranks are those that PEFT's conversion keeps for one share of every module."""
    torch.manual_seed(0)
    base = tiny_bert(BertForSequenceClassification)
    config = LoraConfig(r=6, target_modules=["query", "value"], init_lora_weights=False)
    model = get_peft_model(base, config)
    factors = live_factors(model, "default")
    directions = {name: find_directions(part) for name, part in factors.items()}
    budget = 3 * sum(part.cost for part in factors.values())
    ranks = cut_runs.threshold_ranks(directions, factors, budget)
    shares = {n: np.cumsum(d.values) / d.values.sum() for n, d in directions.items()}
    share = max(s[ranks[n] - 2] for n, s in shares.items() if ranks[n] > 1) + 1e-4
    _, state = convert_to_lora(model, rank=share)
    kept = {
        key.removeprefix("base_model.model.").removesuffix(".lora_A.weight"): len(value)
        for key, value in state.items()
        if key.endswith("lora_A.weight")
    }
    assert kept == ranks
    assert sum(factors[name].cost * rank for name, rank in ranks.items()) <= budget


def test_tables_pair_seeds():
    def line(method, seed, loss):
        return Line("sst2", seed, method, 1.0, 1e-3, 10, loss, loss - 0.4, 0.1)

    lines = [
        Line("sst2", 0, "trained", 16.0, 1e-3, 160, 0.4, 0.0, 0.0),
        Line("sst2", 100, "trained", 1.0, 1e-3, 10, 9.9),
        *(line("inputs", seed, 0.41 + 0.1 * seed) for seed in (0, 1)),
        *(line("weights", seed, 0.42 + 0.1 * seed) for seed in (0, 1)),
    ]
    frame = pd.DataFrame([vars(one) for one in lines])
    frame = frame[frame.seed != cut_runs.TUNING_SEED]
    text = cut_tables.describe(frame)
    assert "1 seeds; loss uncut at rank 16: 0.4000." in text
    assert "| 1 | +70.0 ± 50.0 | +60.0 ± 50.0 |" in text
    assert "| 1 | +10.0 ± 0.0 |" in text
