"""Only a complete checkpoint is resumed from, whatever a killed process left behind."""

import re

import pytest

from gelora.checkpoints import CHECKPOINT_FILES, find_checkpoint
from gelora.errors import ArtifactError


def make_checkpoint(output_dir, step):
    folder = output_dir / f"checkpoint-{step}"
    folder.mkdir()
    for name in CHECKPOINT_FILES:
        (folder / name).write_text('{"global_step": 1}')
    return folder


@pytest.mark.parametrize("resume", [None, False])
def test_without_resuming_checkpoints_are_ignored(resume, tmp_path):
    make_checkpoint(tmp_path, 2)
    assert find_checkpoint(tmp_path, resume) is None


def test_the_latest_is_found_by_its_number(tmp_path):
    for step in (9, 10, 2):
        make_checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-best").mkdir()
    (tmp_path / "checkpoint-99").write_text("not a folder")
    assert find_checkpoint(tmp_path, True) == tmp_path / "checkpoint-10"


@pytest.mark.parametrize("name", CHECKPOINT_FILES)
def test_one_that_lacks_a_file_is_passed_over_and_the_log_says_so(name, tmp_path, caplog):
    whole, cut = make_checkpoint(tmp_path, 2), make_checkpoint(tmp_path, 4)
    (cut / name).unlink()
    assert find_checkpoint(tmp_path, True) == whole
    assert caplog.messages == [f"{cut} is passed over: it has no {name}."]


def test_one_whose_state_was_cut_short_is_passed_over(tmp_path, caplog):
    whole, cut = make_checkpoint(tmp_path, 2), make_checkpoint(tmp_path, 4)
    (cut / "trainer_state.json").write_text('{"global_st')
    assert find_checkpoint(tmp_path, True) == whole
    assert caplog.messages == [f"{cut} is passed over: its trainer_state.json was cut short."]


def test_without_any_training_starts_anew(tmp_path, caplog):
    assert find_checkpoint(tmp_path / "absent", True) is None
    assert caplog.messages == [
        f"{tmp_path / 'absent'} has no complete checkpoint: training starts anew."
    ]


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_one_that_is_named_is_taken(kind, tmp_path):
    first = make_checkpoint(tmp_path, 2)
    make_checkpoint(tmp_path, 4)
    assert find_checkpoint(tmp_path, kind(first)) == first


def test_one_that_is_named_must_be_complete(tmp_path):
    cut = make_checkpoint(tmp_path, 4)
    (cut / "optimizer.pt").unlink()
    message = f"{cut} is no checkpoint to resume from: it has no optimizer.pt."
    with pytest.raises(ArtifactError, match=re.escape(message)):
        find_checkpoint(tmp_path, cut)
