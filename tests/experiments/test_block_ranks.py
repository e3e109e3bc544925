"""The sweep of one block's rank at a time, on a tiny model: what is run, once, on which rows."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import one_run
import pytest
import sweep
import torch
from one_run import OTHERS, RANKS, Line, Task, load_parts, train_and_score, with_rank

from gelora.adapters import adapter_ranks
from gelora.dimension.profile import DimensionProfile
from gelora.hidden_states.source import ModelSource
from gelora.lab.comparison.engines import attempt
from gelora.lab.comparison.lines import read_lines
from gelora.ranks import plan_ranks
from gelora.tasks.metrics import compute_metrics
from gelora.training.train import wrap
from tiny_models import save_tiny, tiny_bert, tiny_tokenizer
from tiny_tasks import tiny_task, write_lines

BLOCKS = ("encoder.layer.0", "encoder.layer.1")

pytestmark = pytest.mark.filterwarnings("ignore::gelora.errors.GeloraWarning")


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> Task:
    folder = tmp_path_factory.mktemp("task")
    model = tiny_bert(num_hidden_layers=len(BLOCKS))  # its head is new, and drawn by the seed
    save_tiny(model, tiny_tokenizer(), folder / "model")
    rows = tiny_task(num_train=300, num_validation=1).train
    file = write_lines(folder / "train.jsonl", sentence=rows["text"], label=rows["label"])
    return Task(
        "cola",
        train_file=str(file),
        num_train=80,
        training={"learning_rate": 5e-3, "max_steps": 2, "per_device_train_batch_size": 8},
        num_scored=60,
        num_measured=120,
        model=ModelSource(str(folder / "model")),
    )


def swept(task, folder, *, seeds, run=train_and_score):
    """Sweep in this process, and return the runs that were done, and the lines that there are."""
    done = []

    def here(function, items, *, processes):
        assert function is train_and_score
        for item in items:
            done.append(item)
            yield item, attempt(run, item, threads=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "run_locally", here)
        sweep.sweep([task], folder, seeds=seeds, processes=1)
    return done, read_lines(folder / "results.jsonl", Line)


def invented(run) -> Line:
    return Line(*run.key, metric=0.5, brier=0.25, probabilities="08", parameters=1, seconds=1.0)


@pytest.fixture(scope="module")
def finished(task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("swept")
    return folder, swept(task, folder, seeds=[0])[1]


def plan_of(task, folder):
    profile = DimensionProfile.from_pretrained(folder / task.name / "trained")
    return plan_ranks(profile, min_rank=OTHERS, max_rank=OTHERS)


def test_every_rank_of_every_block_is_run_once_and_the_common_one_for_all(task, finished):
    _, lines = finished
    wanted = {("cola", block, rank, 0) for block in BLOCKS for rank in RANKS if rank != OTHERS}
    assert {line.key for line in lines} == {*wanted, ("cola", None, OTHERS, 0)}
    assert len(lines) == len(wanted) + 1
    per_rank = 4 * (32 + 32)
    for line in lines:
        others = OTHERS * (len(BLOCKS) - (line.block is not None))
        swept_rank = line.rank if line.block is not None else 0
        assert line.parameters == per_rank * (others + swept_rank)


def test_lines_hold_what_they_say(task, finished):
    _, lines = finished
    data, _ = load_parts(task)
    labels = np.array(data.validation["label"])
    for line in lines:
        digits = np.array([int(digit, 16) for digit in line.probabilities])
        scores = np.eye(2)[(digits >= 8).astype(int)]
        found = compute_metrics(scores, labels, metrics=("matthews_correlation",))
        assert line.metric == found["matthews_correlation"].value
        middle = (digits + 0.5) / 16
        assert abs(line.brier - np.mean((middle - labels) ** 2)) < 1 / 16
    assert len({line.probabilities for line in lines}) > 1


def test_a_run_comes_out_the_same_again(task, finished):
    folder, lines = finished
    run = one_run.Run(task, plan_of(task, folder), BLOCKS[1], 16, 0)
    (line,) = [line for line in lines if line.key == run.key]
    torch.manual_seed(1)  # wherever chance stood before
    assert replace(train_and_score(run), seconds=line.seconds) == line


def test_what_was_stopped_goes_on_and_more_seeds_add(task, finished, tmp_path):
    folder, lines = finished
    for file in folder.rglob("*.json"):
        copy = tmp_path / file.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    text = (folder / "results.jsonl").read_text()
    (tmp_path / "results.jsonl").write_text(text[: text.rindex("{") + 20])  # cut in a line
    done, found = swept(task, tmp_path, seeds=[0], run=invented)
    assert [run.key for run in done] == [lines[-1].key]
    assert found == [*lines[:-1], invented(done[0])]
    done, found = swept(task, tmp_path, seeds=[0, 1], run=invented)
    assert {run.seed for run in done} == {1}
    assert len(found) == 2 * len(lines)


def test_seeds_come_one_after_the_other(task, finished):
    folder, _ = finished
    plans = {task.name: plan_of(task, folder)}
    runs = list(sweep.runs_of(task, plans, 3))
    assert {run.seed for run in runs} == {3}
    assert [run.key for run in runs] == [(*line.key[:3], 3) for line in finished[1]]


def test_other_settings_are_refused(task, finished):
    folder, lines = finished
    with pytest.raises(SystemExit, match=r"sweep.json is of a sweep with other settings"):
        swept(replace(task, max_length=16), folder, seeds=[0])
    with pytest.raises(SystemExit, match=r"other settings"):
        swept(replace(task, seed=1), folder, seeds=[0])
    assert read_lines(folder / "results.jsonl", Line) == lines


def test_what_fails_keeps_no_other_from_its_line(task, finished, tmp_path, caplog):
    def fail_in_one_block(run):
        if run.block == BLOCKS[0]:
            raise ValueError("no such luck")
        return invented(run)

    with caplog.at_level("INFO", logger="sweep"), pytest.raises(SystemExit, match="5 of 11 runs"):
        swept(task, tmp_path, seeds=[0], run=fail_in_one_block)
    assert len(read_lines(tmp_path / "results.jsonl", Line)) == 6
    assert "1 of 11: ('cola', None, 2, 0): 0.5000 after 1 s" in caplog.text
    assert "'encoder.layer.0', 0, 0): ValueError: no such luck" in caplog.text
    done, _ = swept(task, tmp_path, seeds=[0], run=invented)
    assert [run.block for run in done] == [BLOCKS[0]] * 5


def test_no_row_that_is_scored_is_trained_on_or_measured(task):
    data, measured = load_parts(task)
    lines = Path(task.train_file).read_text().splitlines()
    number = {json.loads(line)["sentence"]: at for at, line in enumerate(lines)}
    assert len(number) == 300
    trained, scored, more = [
        [number[text] for text in rows["text"]] for rows in (data.train, data.validation, measured)
    ]
    assert (len(trained), len(scored), len(more)) == (80, 60, 120)
    assert len({*scored}) == 60
    assert not {*scored} & {*more}
    assert trained == more[:80]
    assert load_parts(task)[0].train["text"] == data.train["text"]
    assert load_parts(replace(task, seed=1))[0].train["text"] != data.train["text"]


@pytest.mark.parametrize("rank", RANKS)
def test_one_block_has_the_rank_and_all_others_their_own(task, finished, rank):
    plan = plan_of(task, finished[0])
    assert plan.ranks == (OTHERS, OTHERS)
    changed = with_rank(plan, BLOCKS[1], rank)
    assert changed.ranks == (OTHERS, rank)
    assert changed.trainable_parameters == sum(changed.parameters) == 4 * 64 * (OTHERS + rank)
    model, _ = task.model.load(task="classification")
    ranks = adapter_ranks(wrap(model, changed, "classification"))  # which verifies the plan
    expected = {BLOCKS[0]: OTHERS, **({BLOCKS[1]: rank} if rank else {})}
    assert {name[: len(BLOCKS[0])]: one for name, one in ranks.items()} == expected
    assert len(ranks) == 4 * len(expected)
    if rank == OTHERS:
        assert (changed.modules, changed.alphas) == (plan.modules, plan.alphas)


def test_the_real_tasks_differ_in_their_rows_and_epochs_alone(tmp_path):
    sst2, cola = sweep.default_tasks(tmp_path)
    assert (sst2.num_train, sst2.training["num_train_epochs"]) == (1000, 2)
    assert (cola.num_train, cola.training["num_train_epochs"]) == (1500, 3)
    alike = {"name": "", "train_file": "", "num_train": 0, "training": {}}
    assert replace(sst2, **alike) == replace(cola, **alike)
    assert sst2.train_file == str(tmp_path / "sst2/train.jsonl.gz")


@pytest.mark.slow
def test_runs_have_processes_of_their_own(task, finished, tmp_path):
    sweep.sweep([task], tmp_path, seeds=[0], processes=2)
    lines = {line.key: line for line in read_lines(tmp_path / "results.jsonl", Line)}
    assert len(lines) == len(finished[1])
    for line in finished[1]:
        assert replace(lines[line.key], seconds=line.seconds) == line
