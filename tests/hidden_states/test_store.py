"""A store gives back what was written, in memory and on disk, and is whole or not there."""

import errno
import os
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gelora.artifacts import content_hash
from gelora.dimension.profile import BlockModule
from gelora.errors import ArtifactError, ConfigError, OutputExistsError
from gelora.hidden_states.store import (
    STATES_FOLDER,
    HiddenStatesRecord,
    HiddenStatesStore,
    open_states,
    remove_states,
)
from gelora.settings import MeasurementSettings

WIDTHS = (3, 5)
RECORD = HiddenStatesRecord(
    layers=("embeddings", "layer.0"),
    blocks=("layer.0",),
    modules=(BlockModule("layer.0.query", 0, "query", 3, 5),),
    fingerprint={"model_type": "none"},
    settings=MeasurementSettings(pooling="mean", precision=0.25),
    seed=3,
    stopped_by="precision",
    num_texts=9,
    num_copies=2,
    num_rows=7,
    forward_tokens=100,
)


def states(num_rows, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(num_rows, width, generator=generator) for width in WIDTHS]


def fill(store, written):
    order = torch.randperm(len(written[0]), generator=torch.Generator().manual_seed(1)).tolist()
    for rows in (order[:2], order[2:]):
        store.write(rows, [layer[rows] for layer in written])
        store.exchange([rows])


def keep(folder, *, num_texts=9, written=None):
    written = states(RECORD.num_rows) if written is None else written
    with HiddenStatesStore(num_texts, folder=folder) as store:
        fill(store, written)
        store.keep(RECORD)
    return written


@pytest.mark.parametrize("on_disk", [False, True])
def test_rows_are_where_they_were_written(on_disk, tmp_path):
    written = states(7)
    with HiddenStatesStore(9, folder=tmp_path / "kept" if on_disk else None) as store:
        fill(store, written)
        for found, expected in zip(store.first(5), written, strict=True):
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, expected[:5])
            assert isinstance(found, np.memmap) == on_disk


@given(extra=st.integers(0, 2000))
def test_what_is_kept_is_cut_to_its_rows_and_opens_as_plain_numpy(extra, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "kept"
    written = keep(folder, num_texts=RECORD.num_rows + extra)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["kept"]
    assert sorted(path.name for path in folder.iterdir()) == [
        *("hidden_states.json", "layer_000.npy", "layer_001.npy"),
    ]
    record, layers = open_states(folder)
    assert record == RECORD
    assert content_hash(record.to_dict()) == RECORD.content_hash()
    for i, (found, expected) in enumerate(zip(layers, written, strict=True)):
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(np.load(folder / f"layer_{i:03}.npy"), expected)


def test_a_run_folder_will_do(tmp_path):
    keep(tmp_path / STATES_FOLDER)
    assert open_states(tmp_path)[0] == open_states(tmp_path / STATES_FOLDER)[0] == RECORD


def test_what_is_done_to_opened_states_does_not_reach_the_files(tmp_path):
    written = keep(tmp_path / "kept")
    open_states(tmp_path / "kept")[1][0][:] = 7
    np.testing.assert_array_equal(open_states(tmp_path / "kept")[1][0], written[0])


def test_memory_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with HiddenStatesStore(9, folder=None) as store:
        fill(store, states(7))
        store.keep(RECORD)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_store_is_not_there(error, tmp_path):
    def interrupted():
        with HiddenStatesStore(9, folder=tmp_path / "kept") as store:
            fill(store, states(7))
            raise error

    with pytest.raises(error):
        interrupted()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_no_store_and_no_obstacle(tmp_path):
    store = HiddenStatesStore(9, folder=tmp_path / "kept")
    fill(store, states(7))
    assert not (tmp_path / "kept").exists()
    with pytest.raises(ArtifactError, match="kept holds no hidden states: keep them when"):
        open_states(tmp_path / "kept")
    keep(tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_what_is_there_is_not_overwritten(tmp_path):
    written = keep(tmp_path / "kept")
    with pytest.raises(OutputExistsError, match="kept exists, and hidden states are to be kept"):
        keep(tmp_path / "kept", written=states(7, seed=5))
    np.testing.assert_array_equal(open_states(tmp_path / "kept")[1][0], written[0])


def test_overwriting_replaces_a_store_once_the_new_one_is_whole(tmp_path):
    old, new = keep(tmp_path / "kept"), states(7, seed=5)
    with HiddenStatesStore(9, folder=tmp_path / "kept", overwrite=True) as store:
        fill(store, new)
        np.testing.assert_array_equal(open_states(tmp_path / "kept")[1][0], old[0])
    np.testing.assert_array_equal(open_states(tmp_path / "kept")[1][0], old[0])
    with HiddenStatesStore(9, folder=tmp_path / "kept", overwrite=True) as store:
        fill(store, new)
        store.keep(RECORD)
    np.testing.assert_array_equal(open_states(tmp_path / "kept")[1][0], new[0])
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_what_is_no_store_is_not_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(OutputExistsError, match="mine holds no states, and hidden states are to"):
        HiddenStatesStore(9, folder=tmp_path / "mine", overwrite=True)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="macOS and Windows lack it")
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    def no_room(_file, _offset, _size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    message = "kept has no room for 236 bytes more, .* 9 texts .*No space left on device"
    with pytest.raises(OSError, match=message) as caught:
        keep(tmp_path / "kept")
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="macOS and Windows lack it")
def test_files_take_their_room_at_once_or_where_that_is_not_known_as_they_fill(
    tmp_path, monkeypatch
):
    claimed = []

    def cannot(_file, offset, size):
        claimed.append((offset, size))
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", cannot)
    keep(tmp_path / "kept")
    header = 128
    assert claimed == [(0, header + 9 * width * 4) for width in WIDTHS]


def test_machines_do_not_share_files(tmp_path, monkeypatch):
    monkeypatch.setattr("gelora.hidden_states.store.machines_of", lambda _group: ["one", "two"])
    with pytest.raises(ConfigError, match=r"kept by processes on 2 machines \(one, two\): measure"):
        HiddenStatesStore(9, folder=tmp_path / "kept")
    HiddenStatesStore(9, folder=None)


def test_only_states_are_removed(tmp_path):
    remove_states(tmp_path / "nowhere")
    keep(tmp_path / "kept")
    remove_states(tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    (tmp_path / "mine").mkdir()
    remove_states(tmp_path / "mine")
    assert (tmp_path / "mine").exists()


def test_damaged_stores_are_refused(tmp_path):
    folder = tmp_path / "kept"
    keep(folder)
    path = folder / "layer_001.npy"
    whole = path.read_bytes()
    for damage, message in (
        (lambda: path.write_bytes(whole[:-4]), "layer_001.npy cannot be read"),
        (path.unlink, "layer_001.npy cannot be read"),
        (lambda: np.save(path, np.zeros((6, 5), "f4")), r"shape \(6, 5\), not float32 of 7 rows"),
        (lambda: np.save(path, np.zeros((7, 5))), r"float64 of shape \(7, 5\), not float32"),
        (lambda: np.save(path, np.zeros(7, "f4")), r"shape \(7,\), not float32 of 7 rows"),
    ):
        damage()
        with pytest.raises(ArtifactError, match=message):
            open_states(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": None}, "lacks or mistypes a field: Expected `array`, got `null`"),
        ({"modules": [{"name": "x"}]}, "missing required field `block`"),
        ({"x": 1}, "has an unknown field 'x'"),
    ],
)
def test_a_record_of_another_shape_is_refused(change, message):
    with pytest.raises(ArtifactError, match=f"^The file of a hidden states .*{re.escape(message)}"):
        HiddenStatesRecord.from_dict({**RECORD.to_dict(), **change})
