"""What a result was made with."""

import subprocess

import pytest

from gelora import environment
from gelora.environment import command, describe_environment


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/somewhere/bin/gelora", "run", "--seed", "1"], ["gelora", "run", "--seed", "1"]),
        (["/somewhere/gelora/__main__.py", "plan"], ["gelora", "plan"]),
        (["examples/loop.py", "-n", "2"], ["python", "examples/loop.py", "-n", "2"]),
        (["/home/me/loop.py"], ["python", "loop.py"]),
        (["../loop.py"], ["python", "loop.py"]),
        (["/somewhere/bin/pytest", "-x"], ["pytest", "-x"]),
        ([""], None),
        (["-c"], None),
        (["/somewhere/ipykernel_launcher.py", "-f", "/home/me/kernel.json"], None),
    ],
)
def test_the_command_is_without_the_folder_of_its_program(arguments, said, monkeypatch):
    monkeypatch.setattr("sys.argv", arguments)
    assert command() == said


def test_the_commit_is_of_the_repository_that_it_was_called_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GIT_DIR", raising=False)
    assert describe_environment(device="cpu")["git_commit"] is None
    me = ["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run(["git", *me, "commit", "--quiet", "--allow-empty", "-m", "first"], check=True)
    assert len(describe_environment(device="cpu")["git_commit"]) == 40
    monkeypatch.setenv("PATH", str(tmp_path))  # where no git is
    assert describe_environment(device="cpu")["git_commit"] is None


def test_source_sha256_changes_with_the_code_that_decides_a_result(tmp_path, monkeypatch):
    package = tmp_path / "gelora"
    (package / "cli").mkdir(parents=True)
    for name in ("environment.py", "train.py", "cli/plan.py"):
        (package / name).write_text("x = 1\n")
    monkeypatch.setattr(environment, "__file__", str(package / "environment.py"))
    source_sha256 = environment.source_sha256.__wrapped__
    before = source_sha256()
    (package / "cli" / "plan.py").write_text("x = 2\n")
    assert source_sha256() == before
    (package / "train.py").write_bytes(b"x = 1\r\n")
    assert source_sha256() == before
    (package / "train.py").write_text("x = 2\n")
    assert source_sha256() != before
