"""JSON files: what goes in comes out, and what is broken is said to be."""

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from example_profiles import make_profile
from gelora.artifacts import (
    canonical_json,
    content_hash,
    locate,
    read_json,
    usual_mode,
    write_json,
    write_text,
)
from gelora.dimension.profile import DimensionProfile
from gelora.errors import ArtifactError

finite_floats = st.floats(allow_nan=False, allow_infinity=False)
payloads = st.dictionaries(
    st.text().filter(lambda key: key not in {"kind", "schema_version"}),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | finite_floats,
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
)


@given(payload=payloads)
def test_what_is_written_is_read(tmp_path_factory, payload):
    path = tmp_path_factory.mktemp("files") / "payload.json"
    write_json(path, payload, kind="test")
    assert read_json(path, kind="test") == payload


@given(payload=payloads)
def test_hash_ignores_the_order_of_keys(payload):
    assert content_hash(payload) == content_hash(dict(reversed(payload.items())))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_never_written(tmp_path, value):
    with pytest.raises(ArtifactError, match=f"{value}"):
        write_json(tmp_path / "x.json", {"a": value}, kind="test")
    assert list(tmp_path.iterdir()) == []


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_text(path, "old")

    def fail(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            canonical_json({"kind": "test", "schema_version": 1})[:-6],
            "not complete JSON.*cut short",
        ),
        ("[1]", "no JSON object"),
        (json.dumps({"kind": "other", "schema_version": 1}), "of kind 'other', not 'test'"),
        (json.dumps({"kind": "test", "schema_version": 9}), "version 9, .*up to 2: upgrade gelora"),
        (json.dumps({"kind": "test"}), "schema version None"),
    ],
)
def test_broken_files_are_named(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ArtifactError, match=message):
        read_json(path, kind="test")


def test_missing_file():
    with pytest.raises(ArtifactError, match=r"no file nowhere/x\.json"):
        read_json(Path("nowhere/x.json"), kind="test")


def test_a_file_is_found_by_itself_its_run_or_its_adapter(tmp_path):
    inside = tmp_path / "adapter" / "rank_plan.json"
    write_text(inside, "{}")
    assert locate(inside, "rank_plan.json") == inside
    assert locate(inside.parent, "rank_plan.json") == inside
    assert locate(tmp_path, "rank_plan.json") == inside
    with pytest.raises(
        ArtifactError, match=r"holds no dimension_profile\.json: run gelora measure"
    ):
        locate(tmp_path, "dimension_profile.json")


def test_a_path_is_never_asked_for_on_the_hub(monkeypatch):
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_download", lambda repo, name, **_: pytest.fail(repo)
    )
    with pytest.raises(
        ArtifactError, match=r"^runs/nope holds no rank_plan\.json: run gelora plan "
    ):
        locate(Path("runs/nope"), "rank_plan.json")


def test_a_hub_id_is_asked_for_on_the_hub(tmp_path, monkeypatch):
    write_text(tmp_path / "rank_plan.json", "{}")
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_download", lambda repo, name, **_: f"{tmp_path}/{name}"
    )
    assert locate("someone/adapter", "rank_plan.json") == tmp_path / "rank_plan.json"


def test_from_pretrained_hands_its_arguments_to_the_hub(tmp_path, monkeypatch):
    make_profile([5, 6]).save_pretrained(tmp_path)
    asked = {}

    def download(repo, name, **arguments):
        asked.update(arguments, repo=repo)
        return f"{tmp_path}/{name}"

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    named = {"revision": "v2", "token": "hf_x", "cache_dir": tmp_path}
    profile = DimensionProfile.from_pretrained("someone/adapter", **named)
    assert profile == make_profile([5, 6])
    assert asked == {**named, "repo": "someone/adapter"}


def test_an_unreachable_hub_is_an_artifact_error(monkeypatch):
    def offline(repo, name, **_):
        raise OSError("offline mode")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(ArtifactError, match="someone/adapter is no local folder.*offline mode"):
        locate("someone/adapter", "rank_plan.json")


def test_a_file_of_other_fields_is_named_and_to_be_made_again(tmp_path):
    path = tmp_path / DimensionProfile.FILE
    write_json(path, {"series": {}}, kind=DimensionProfile.KIND)
    with pytest.raises(ArtifactError, match=f"{path} cannot be used, make it again.*`settings`"):
        DimensionProfile.from_pretrained(tmp_path)


def test_a_file_of_an_earlier_gelora_is_named_and_to_be_made_again(tmp_path):
    path = tmp_path / DimensionProfile.FILE
    write_text(path, canonical_json({"kind": DimensionProfile.KIND, "schema_version": 1}))
    with pytest.raises(ArtifactError, match=r"earlier gelora .schema version 1.*migration\.md"):
        DimensionProfile.from_pretrained(tmp_path)


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_files_have_the_mode_that_the_umask_asks_for(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.json", "{}")
        write_text(tmp_path / "a.json", "[]")
        assert usual_mode(tmp_path) == mode
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == mode
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
