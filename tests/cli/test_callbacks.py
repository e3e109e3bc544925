"""The callbacks that the flags ask for, and no others."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from transformers import EarlyStoppingCallback

from example_profiles import make_profile
from gelora import DimensionCallback
from gelora.cli.callbacks import callbacks_of
from gelora.cli.parsing import parse
from gelora.ranks import plan_ranks
from tiny_tasks import tiny_task

PROFILE = make_profile([5, 8, 6])
DATA = tiny_task()


def callbacks(out, *flags, report_to=(), plan=None):
    config = parse("run", ["--output_dir", str(out), *flags])
    arguments = SimpleNamespace(report_to=list(report_to), disable_tqdm=False)
    return callbacks_of(config, DATA, plan or plan_ranks(PROFILE), arguments=arguments)


def test_by_default_there_are_none(tmp_path):
    assert callbacks(tmp_path) == []


def test_patience_is_passed_on(tmp_path):
    (found,) = callbacks(tmp_path, "--early_stopping_patience", "4")
    assert isinstance(found, EarlyStoppingCallback)
    assert found.early_stopping_patience == 4


@pytest.mark.parametrize(
    ("flags", "report_to", "every"),
    [(["--dimension_steps", "7"], [], 7), ([], ["trackio"], None)],
)
def test_dimensions_are_logged_if_asked_or_if_somewhere_reads_them(
    flags, report_to, every, tmp_path
):
    PROFILE.save_pretrained(tmp_path)
    (make,) = callbacks(tmp_path, *flags, "--max_length", "50", report_to=report_to)
    found = make("the trainer")
    assert isinstance(found, DimensionCallback)
    assert (found.trainer, found.every) == ("the trainer", every)
    assert found.texts == list(DATA.train["text"])
    assert found.profile == PROFILE
    assert found.measuring["max_length"] == 50
    assert found.measuring["settings"].num_samples == PROFILE.num_texts


def test_a_profile_that_is_not_the_plan_s_is_left_out(tmp_path):
    PROFILE.save_pretrained(tmp_path)
    other = replace(plan_ranks(PROFILE), profile_hash="of another")
    (make,) = callbacks(tmp_path, "--dimension_steps", "7", plan=other)
    assert make("the trainer").profile is None
