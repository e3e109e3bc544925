"""A Hub that is a folder: what is pushed lands there, and can be fetched from there."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest


class FakeHub:
    """Repositories as subfolders, and what was asked for with each.

    Attributes:
        root: Where the repositories are.
        asked: By repository, what it was made and committed with.
    """

    def __init__(self, root: Path):
        self.root = root
        self.asked: dict[str, dict] = {}

    def api(self, token=None):
        return SimpleNamespace(
            create_repo=self._create_repo,
            upload_folder=self._upload_folder,
            token=token,
        )

    def _create_repo(self, repo_id, *, private, exist_ok):
        assert exist_ok
        full_id = repo_id if "/" in repo_id else f"someone/{repo_id}"
        (self.root / full_id).mkdir(parents=True, exist_ok=True)
        self.asked[full_id] = {"private": private}
        return SimpleNamespace(repo_id=full_id)

    def _upload_folder(self, *, repo_id, folder_path, commit_message):
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)
        self.asked[repo_id]["commit_message"] = commit_message
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")

    def download(self, repo_id, filename, **_):
        path = self.root / repo_id / filename
        if not path.is_file():
            raise OSError(f"no {filename} in {repo_id}")
        return str(path)


def install(monkeypatch: pytest.MonkeyPatch, root: Path) -> FakeHub:
    """Put a fake Hub in the client's place, with a token to push by."""
    hub = FakeHub(root)
    monkeypatch.setattr("huggingface_hub.HfApi", hub.api)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", hub.download)
    monkeypatch.setenv("HF_TOKEN", "hf_fake")
    return hub
