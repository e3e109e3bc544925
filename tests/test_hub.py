"""Profiles and plans go to the Hub and come back; what is missing for that is said."""

import pytest

from fake_hub import install
from gelora import DimensionProfile, RankPlan, plan_ranks
from gelora.errors import ArtifactError
from gelora.hub import push_folder
from report.example_run import example_profile


@pytest.fixture
def no_token(monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)


def test_what_is_pushed_comes_back(tmp_path, monkeypatch):
    hub = install(monkeypatch, tmp_path)
    profile = example_profile()
    plan = plan_ranks(profile)
    assert profile.push_to_hub("someone/ranks") == "https://hub/someone/ranks/commit/1"
    plan.push_to_hub("someone/ranks", private=True, commit_message="Plan")
    assert hub.asked == {"someone/ranks": {"private": True, "commit_message": "Plan"}}
    assert DimensionProfile.from_pretrained("someone/ranks") == profile
    assert RankPlan.from_pretrained("someone/ranks") == plan


def test_a_name_alone_is_the_tokens_owner(tmp_path, monkeypatch):
    hub = install(monkeypatch, tmp_path)
    example_profile().push_to_hub("ranks")
    message = "Upload dimension_profile.json"
    assert hub.asked == {"someone/ranks": {"private": None, "commit_message": message}}


def test_without_a_token_nothing_is_tried(tmp_path, no_token):
    message = "Pushing to someone/ranks needs a token that may write: set HF_TOKEN, or run `hf auth"
    with pytest.raises(ArtifactError, match=message):
        push_folder(tmp_path, "someone/ranks")


def test_a_token_that_is_given_is_the_one_used(tmp_path, monkeypatch, no_token):
    tokens = []
    hub = install(monkeypatch, tmp_path)
    monkeypatch.setattr(
        "huggingface_hub.HfApi", lambda token: tokens.append(token) or hub.api(token)
    )
    example_profile().push_to_hub("someone/ranks", token="hf_given")
    assert tokens == ["hf_given"]


def test_a_hub_that_refuses_is_quoted(tmp_path, monkeypatch):
    hub = install(monkeypatch, tmp_path)

    def refuse(**asked):
        raise PermissionError("403 Forbidden")

    monkeypatch.setattr(hub, "_upload_folder", refuse)
    message = r"did not take the files for someone/ranks \(PermissionError: 403 Forbidden\): check"
    with pytest.raises(ArtifactError, match=message):
        push_folder(tmp_path, "someone/ranks")
