"""What is said of the sweep: contrasts with errors, correlations and tables, on known answers."""

import json
import shutil
from dataclasses import replace
from math import log2

import analysis
import numpy as np
import pytest
from analysis import Result, correlation, correlations, repeatability
from hypothesis import given
from hypothesis import strategies as st
from one_run import OTHERS, RANKS, Line
from scipy.stats import spearmanr
from scores import SHARED, Scores, between, per_doubling, read_scores

from example_profiles import make_profile
from gelora.artifacts import write_json
from gelora.errors import DataError
from gelora.lab.comparison.lines import append_line
from gelora.lab.comparison.resampling import draw_items
from gelora.tasks.metrics import compute_metrics

BLOCKS = ("layer.0", "layer.1", "layer.2")
NUM_ROWS = 40
VALUES = st.lists(st.integers(0, 5), min_size=3, max_size=6)


def scores_of(values, *, resampled=None) -> Scores:
    """Return the scores of blocks x ranks x seeds; without rows the rows are taken as given."""
    values = np.asarray(values, float)
    seeds = tuple(range(values.shape[2]))
    resampled = np.stack([values] * 3) if resampled is None else resampled
    return Scores("accuracy", BLOCKS[: len(values)], seeds, values, resampled)


def noise(generator, num_seeds, *, num_rows=NUM_ROWS):
    """Return scores without any effect: rows are easier for some runs, and seeds add their own."""
    own = generator.normal(size=(len(BLOCKS), len(RANKS), num_seeds))
    rows = generator.normal(size=(len(BLOCKS), len(RANKS), 1, num_rows))
    each = generator.normal(size=(len(BLOCKS), len(RANKS), num_seeds, num_rows))
    for one in (own, rows, each):
        one[:, SHARED] = one[0, SHARED]  # of the run that all blocks share
    easy = generator.normal(size=(num_seeds, num_rows))  # cancels in every contrast
    by_row = 0.1 * own[..., None] + rows + each + easy
    (weights,) = draw_items(num_rows, draws=200, seed=0)
    resampled = np.einsum("di,brsi->dbrs", weights, by_row) / num_rows
    return scores_of(by_row.mean(axis=3), resampled=resampled)


def test_errors_are_those_of_repetition():
    generator = np.random.default_rng(0)
    weights = {
        "16 over 0": between(np.full(3, 5), np.zeros(3, int)),
        "1 over the shared": between(np.full(3, 1), np.full(3, SHARED)),
        "per doubling": per_doubling(3),
    }
    found = {name: [] for name in weights}
    for _ in range(300):
        scores = noise(generator, num_seeds=3)
        for name, one in weights.items():
            found[name].append(scores.contrast(one))
    for name, pairs in found.items():
        values, errors = np.moveaxis(np.array(pairs), 1, 0)
        assert abs(values.mean()) < 0.03, name
        assert (errors**2).mean() == pytest.approx(values.var(), rel=0.15), name


def test_without_noise_there_is_no_error():
    wanted = np.array([[0.0, 1, 3, 2, 3, 1], [4, 1, 3, 0, 0, 0], [2, 2, 3, 2, 2, 2]])
    by_seed = np.array([0.0, 0.5])  # the same for all runs
    scores = scores_of(wanted[..., None] + by_seed)
    assert scores.seed_variance == pytest.approx(0)
    assert [RANKS[at] for at in scores.best()] == [2, 0, 2]  # the smaller of equals
    assert (scores.smallest_close_to_best() == scores.best()).all()
    gain, error = scores.contrast(between(scores.best(), np.zeros(3, int)))
    assert gain == pytest.approx([3, 0, 1])
    assert error == pytest.approx(0)


def test_the_slope_is_that_of_a_line():
    values = [[[0.9] * 2, *[[0.2 * log2(rank) + 7] * 2 for rank in RANKS[1:]]]]
    gain, _ = scores_of(values).contrast(per_doubling(1))
    assert gain == pytest.approx(0.2)


def test_a_smaller_rank_is_taken_where_the_best_is_no_better_than_noise():
    generator = np.random.default_rng(1)
    values = np.tile([0.0, 1.0, 1.001, 1.0, 1.002, 1.0], (3, 1))[..., None]
    values = values + 0.05 * generator.normal(size=(3, 6, 3))
    values[:, SHARED] = values[0, SHARED]
    scores = scores_of(values)
    deficit, error = scores.contrast(between(scores.best(), scores.smallest_close_to_best()))
    assert (deficit <= error).all()
    assert (scores.smallest_close_to_best() <= scores.best()).all()
    assert (scores.smallest_close_to_best() >= 1).all()  # rank 0 is far below


@given(VALUES, st.randoms(use_true_random=False))
def test_of_one_task_it_is_spearmans(x, random):
    y = random.choices(range(4), k=len(x))
    found = correlation([np.array(x)], [np.array(y)], draws=10)
    if len({*x}) == 1 or len({*y}) == 1:
        assert found is None
    else:
        assert found.value == pytest.approx(spearmanr(x, y).statistic)


@given(VALUES, VALUES, st.floats(-5, 5))
def test_what_tasks_differ_in_counts_for_nothing(one, other, shift):
    x, y = [np.array(one), np.array(other)], [np.array(one[::-1]), np.array(other[::-1])]
    moved = [np.exp(x[0]) + shift, x[1] ** 3]
    assert correlation(moved, y, draws=50) == correlation(x, y, draws=50)


def test_p_is_the_share_of_orders_that_are_as_far():
    value, p_value, least = correlation([np.arange(3)], [np.arange(3)])
    assert value == pytest.approx(1)
    assert p_value == pytest.approx(2 / 6, abs=0.02)  # both ways of being in order
    assert least == p_value
    value, p_value, _ = correlation([np.arange(3)] * 2, [-np.arange(3)] * 2)
    assert value == pytest.approx(-1)
    assert p_value == pytest.approx(2 / 36, abs=0.01)
    assert correlation([np.arange(6)] * 2, [np.arange(6)] * 2, draws=9).p_value == 0.1  # never 0


def test_without_a_relation_p_is_as_small_as_it_says(seed):
    generator = np.random.default_rng(seed)
    p_values = [
        correlation(generator.normal(size=(2, 6)), generator.normal(size=(2, 6)), draws=99).p_value
        for _ in range(300)
    ]
    # One of 5 % and of 50 %, within four standard errors.
    assert np.mean(np.array(p_values) <= 0.05) < 0.05 + 4 * (0.05 * 0.95 / 300) ** 0.5
    assert abs(np.mean(np.array(p_values) <= 0.5) - 0.5) < 4 * 0.5 / 300**0.5


def results_of(best, increments) -> list[Result]:
    """Return tasks that peak at the place of each block's best rank, with these increments."""
    found = []
    for task, (places, grown) in enumerate(zip(best, increments, strict=True)):
        values = -np.abs(np.arange(len(RANKS))[None, :, None] - np.array(places)[:, None, None])
        values = np.repeat(values.astype(float), 2, axis=2)
        values[:, SHARED] = values[0, SHARED]
        profile = make_profile(np.cumsum([30, *grown]).tolist())
        profiles = {"trained": profile, "more": profile}
        found.append(Result(str(task), scores_of(values), profiles))
    return found


def spearman(results, foretold, seen):
    return next(
        one["spearman"]
        for one in correlations(results)
        if (one["foretold"], one["seen"]) == (foretold, seen)
    )


def test_a_rule_that_foretells_is_found_and_one_that_does_not_is_not():
    best = [[0, 3, 5], [4, 1, 3]]
    told = results_of(best, [[-2, 3, 8], [5, 0, 2]])
    assert spearman(told, "increment, trained", "best rank") == pytest.approx(1)
    assert spearman(told, "rank, more", "best rank") > 0.9
    assert spearman(told, "increment, trained", "gain per doubling") > 0.9
    turned = results_of(best, [[8, 3, -2], [0, 5, 3]])
    assert spearman(turned, "increment, trained", "best rank") == pytest.approx(-1)
    flat = results_of(best, [[-1, -2, -3], [-1, -2, -3]])
    assert spearman(flat, "rank, trained", "best rank") is None  # the rule gives 1 everywhere


def test_seeds_that_agree_repeat_and_others_do_not():
    told = results_of([[0, 3, 5], [4, 1, 3]], [[1, 2, 3]] * 2)
    values = told[0].scores.values.copy()
    values[..., 1] = values[::-1, :, 1]
    turned = [replace(told[0], scores=scores_of(values))]
    flat = [replace(told[0], scores=scores_of(np.zeros_like(values)))]
    for seen in ("best rank", "gain per doubling"):
        assert repeatability(told, seen) == pytest.approx(1)
        assert repeatability(turned, seen) == pytest.approx(-1)
        assert repeatability(flat, seen) is None


def test_where_one_block_differs_no_outcome_is_rare():
    rule = [np.array([1, 1, 1, 1, 5, 1]), np.ones(6)]
    steps = np.array([0, 1, 2, 3, 4, 5])
    for best in (steps, np.roll(steps, 3)):
        _, p_value, least = correlation(rule, [best, best])
        # The one block is the first, the last, or any other of the second task's six.
        assert least == pytest.approx(2 / 6, abs=0.02)
        assert p_value >= least


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write what a sweep leaves: three blocks, two tasks, two seeds, 40 rows."""
    folder = tmp_path_factory.mktemp("swept")
    generator = np.random.default_rng(0)
    labels = (generator.random(NUM_ROWS) < 0.8).astype(int)
    metrics = {"sst2": "accuracy", "cola": "matthews_correlation"}
    tasks = {
        name: {"metric": metric, "labels": "".join(map(str, labels))}
        for name, metric in metrics.items()
    }
    write_json(folder / "sweep.json", {"tasks": tasks}, kind="sweep")
    for name, metric in metrics.items():
        for texts, dimensions in (("trained", [5, 8, 6, 7]), ("more", [5, 6, 7, 9])):
            make_profile(dimensions).save_pretrained(folder / name / texts)
        for seed in (0, 1):
            places = [(block, rank) for block in BLOCKS for rank in RANKS if rank != OTHERS]
            for block, rank in [(None, OTHERS), *places]:
                middle = (generator.integers(0, 16, NUM_ROWS) + 0.5) / 16
                scores = np.stack([1 - middle, middle], axis=1)
                line = Line(
                    name, block, rank, seed,
                    metric=compute_metrics(scores, labels, metrics=(metric,))[metric].value,
                    brier=float(((middle - labels) ** 2).mean()),
                    probabilities="".join(f"{int(16 * one):x}" for one in middle),
                    parameters=1, seconds=1.0,
                )  # fmt: skip
                append_line(folder / "results.jsonl", line)
    return folder


@pytest.mark.parametrize("task", ["sst2", "cola"])
def test_rows_drawn_anew_are_scored_as_the_runs_were(folder, task):
    for scores in read_scores(folder, task, BLOCKS):
        assert scores.values.shape == (3, 6, 2)
        assert (scores.values[0, SHARED] == scores.values[2, SHARED]).all()
        middle, spread = scores.resampled.mean(axis=0), scores.resampled.std(axis=0)
        # Means of 1,000 draws; the correlation's own bias is below a tenth of its spread.
        assert (np.abs(middle - scores.values) < 0.25 * spread).all()


def test_a_seed_that_is_not_done_is_left_out(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    lines = (tmp_path / "results.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "results.jsonl").write_text("".join(lines[:-1]))
    assert all(one.seeds == (0, 1) for one in read_scores(tmp_path, "sst2", BLOCKS))
    with pytest.raises(DataError, match=r"has 1 seeds with all runs of cola"):
        read_scores(tmp_path, "cola", BLOCKS)


def test_the_files_say_what_was_seen_and_foretold(folder, capsys):
    analysis.main([str(folder)])
    said = capsys.readouterr().out
    assert (folder / "tables.md").read_text() == said
    found = json.loads((folder / "analysis.json").read_text())
    task = found["metric"]["tasks"]["sst2"]
    assert task["rank, trained"] == [4, 1, 2]
    assert task["rank, more"] == [2, 2, 3]
    means = np.array(task["means"])
    assert task["best rank"] == [RANKS[at] for at in means.argmax(axis=1)]
    for at, (gain, _) in enumerate(task["gains"]["best over rank 1"]):
        assert gain == pytest.approx(means[at].max() - means[at, 1])
    assert "| 1 | 4 | +3.00 ± 0.05 | 2 | +1.00 ± 0.05 |" in said
    best = f"{task['best rank'][2]:.0f}"
    assert f"| 3 | {' | '.join(f'{mean:.4f}' for mean in means[2])} | {best} | " in said
    first = next(one for one in found["brier"]["correlations"] if one["seen"] == "best rank")
    p_values = f"p = {first['p_value']:.2f}, the least there could be {first['least_p_value']:.2f}"
    assert f"{first['spearman']:+.2f} ({p_values}) |\n| rank, trained | " in said


def test_figures_are_the_same_bytes_every_time(folder, capsys):
    analysis.main([str(folder)])
    names = [f"{kind}-{by}.svg" for kind in ("scores", "scatter") for by in ("metric", "brier")]
    before = [(folder / name).read_bytes() for name in names]
    analysis.main([str(folder)])
    capsys.readouterr()
    assert [(folder / name).read_bytes() for name in names] == before
    assert b"sst2: best ranks " in before[0]
    found = json.loads((folder / "analysis.json").read_text())
    gain, error = found["metric"]["tasks"]["sst2"]["gains"]["per doubling"][0]
    assert f"gains per doubling {gain:+.4f} ± {error:.4f}" in before[0].decode()
    assert before[0].count(b"block 3") == 2
