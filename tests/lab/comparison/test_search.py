"""Learning rates are chosen on training rows alone, by the same part for all."""

from dataclasses import replace

import numpy as np
import pytest

from gelora.errors import DataError
from gelora.lab.comparison.results import Trial
from gelora.lab.comparison.search import best_rate, is_tied, part_for_trials
from tiny_tasks import tiny_task


def test_a_trial_sees_training_rows_alone_each_once(seed):
    data = tiny_task(num_train=101)
    part = part_for_trials(data, seed=seed)
    rows = [(row["text"], row["label"]) for row in data.train]
    split = [(row["text"], row["label"]) for row in (*part.train, *part.validation)]
    assert sorted(split) == sorted(rows)
    assert part.more_validation == {}


def test_every_class_is_split_alike(seed):
    data = tiny_task(num_train=200)
    part = part_for_trials(data, seed=seed)
    whole, trained = (np.bincount(split["label"]) for split in (data.train, part.train))
    assert np.abs(trained - 0.8 * whole).max() <= 0.5


def test_numbers_are_split_too(seed):
    part = part_for_trials(tiny_task(num_train=50, problem="regression"), seed=seed)
    assert (len(part.train), len(part.validation)) == (40, 10)


def test_the_same_seed_gives_the_same_part():
    data = tiny_task(num_train=60)
    one, same, other = (part_for_trials(data, seed=seed).train["text"] for seed in (1, 1, 2))
    assert list(one) == list(same) != list(other)


def test_too_few_rows_are_refused():
    data = tiny_task()
    few = replace(data, train=data.train.select(range(4)))
    with pytest.raises(DataError, match="tiny has 4 training rows, too few to try learning rates"):
        part_for_trials(few, seed=0)


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        ("accuracy", [0.5, 0.7, 0.6], 1e-3),
        ("accuracy", [0.5, 0.7, 0.7], 1e-3),  # the smaller of equals without a loss
        ("perplexity", [9.0, 8.0, 7.0], 1e-2),
        ("accuracy", [0.5, None, None], 1e-4),  # two diverged
        ("accuracy", [None, None, None], None),
        ("accuracy", [], None),
    ],
)
def test_the_best_rate(metric, values, best):
    trials = [_trial(metric, rate, v) for rate, v in zip([1e-4, 1e-3, 1e-2], values, strict=False)]
    assert best_rate(trials) == best
    assert best_rate(trials[::-1]) == best
    assert is_tied(trials) == (values == [0.5, 0.7, 0.7])


@pytest.mark.parametrize(
    ("values", "losses", "best"),
    [
        ([0.7, 0.7, 0.7], [0.6, 0.4, 0.5], 1e-3),
        ([0.7, 0.7, 0.7], [0.5, 0.5, 0.5], 1e-4),  # the smaller of equals by both
        ([0.7, 0.8, 0.8], [0.1, 0.6, 0.5], 1e-2),  # the metric first
    ],
)
def test_the_lower_loss_decides_between_equals(values, losses, best):
    found = zip([1e-4, 1e-3, 1e-2], values, losses, strict=True)
    trials = [_trial("accuracy", rate, value, loss) for rate, value, loss in found]
    assert best_rate(trials) == best
    assert best_rate(trials[::-1]) == best
    assert is_tied(trials)


def _trial(metric: str, rate: float, value: float | None, loss: float | None = None) -> Trial:
    return Trial("0", "tiny", "lora", {}, "r=2", 2, 0, rate, metric, value, 1.0, loss)
