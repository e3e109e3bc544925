"""Workflows, hooks and the Makefile name what exists, in the versions that are pinned."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = {
    path.name: yaml.safe_load(path.read_text())
    for path in sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
}
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([\w-]+):(?!=)", MAKEFILE, flags=re.MULTILINE))


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def make_targets(text):
    """Return the targets that the commands of a text call."""
    calls = re.findall(r"^\s*make((?: +\S+)+)", text, flags=re.MULTILINE)
    return {word for call in calls for word in call.split() if "=" not in word}


def test_there_is_a_workflow_and_each_has_jobs_with_steps():
    assert "ci.yml" in WORKFLOWS
    assert all(steps(workflow) for workflow in WORKFLOWS.values())


def test_workflows_and_ci_run_call_make_targets_that_exist():
    texts = [step.get("run", "") for workflow in WORKFLOWS.values() for step in steps(workflow)]
    called = make_targets("\n".join([*texts, (ROOT / ".ci" / "run").read_text()]))
    assert {"lint", "test", "coverage"} <= called
    assert called <= TARGETS | {"docs"}  # which comes with the documentation site


def test_workflows_may_only_read_and_use_no_secrets():
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {"contents": "read"}, name
        assert not any("permissions" in job for job in workflow["jobs"].values()), name
        assert "secrets." not in (ROOT / ".github" / "workflows" / name).read_text(), name


def test_actions_are_pinned_by_a_commit_with_its_version_beside():
    for name in WORKFLOWS:
        text = (ROOT / ".github" / "workflows" / name).read_text()
        used = re.findall(r"uses: (.*)", text)
        assert used
        for line in used:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_workflows_test_every_python_that_is_supported():
    versions = WORKFLOWS["ci.yml"]["jobs"]["tests"]["strategy"]["matrix"]["python"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert versions == ["3.11", "3.12", "3.13", "3.14"]
    assert project["requires-python"] == f">={versions[0]}"


def test_hooks_have_the_pinned_versions():
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    needed = [need for hook in repository["hooks"] for need in hook["additional_dependencies"]]
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", need) for need in needed)
    assert {need for need in needed if need.startswith("ruff==")} <= set(constraints)


def test_the_fast_tests_exist():
    (names,) = re.findall(r"^FAST := ((?:.*\\\n)*.*)", MAKEFILE, flags=re.MULTILINE)
    listed = names.replace("\\\n", " ").split()
    assert {"dimension", "ranks", "test_adapters.py", "test_project.py"} <= set(listed)
    assert all((ROOT / "tests" / name).exists() for name in listed)
