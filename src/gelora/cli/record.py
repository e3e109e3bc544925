"""What a run's folder says of itself: config.yaml, environment.json, and whether a stage is done.

A stage (measure, train) is recorded with its inputs, each a flag's value or a hash. A stage whose
inputs are unchanged is not done again; one whose inputs differ belongs to another run, which is
never overwritten unasked. The record is written before the stage's own file, so that whatever
file is found, also after a crash, has the inputs that stand beside it.
"""

import contextlib
import hashlib
import shlex
from collections.abc import Collection, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from gelora import __version__
from gelora.artifacts import (
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    PROFILE_FILE,
    REPORT_FILE,
    canonical_json,
    read_json,
    write_json,
    write_text,
)
from gelora.cli.config import (
    FLAGS,
    NOT_SAVED,
    SOURCE_AND_WINDOWS,
    Config,
    flags_of,
    resolved,
)
from gelora.cli.console import is_main_process
from gelora.cli.values import read_yaml
from gelora.dimension.profile import DimensionProfile
from gelora.environment import command, describe_environment
from gelora.errors import OutputExistsError
from gelora.locks import hold_folder

_WRITING = frozenset({"measure", "plan", "train", "verify", "report", "run"})
_HEADER = "# gelora "


def saved_flags(folder: Path) -> dict[str, Any]:
    """Return the flags that a run left in its folder; none if the folder is no run's.

    Raises:
        ConfigError: config.yaml cannot be read.
    """
    path = folder / CONFIG_FILE
    if not path.is_file() or not _is_run(folder):
        return {}
    elsewhere = NOT_SAVED | {"output_dir"}  # a run may be moved
    return {name: value for name, value in read_yaml(path).items() if name not in elsewhere}


def source_flags(place: Path) -> dict[str, Any]:
    """Return which model and texts the run of a file was about; none if the file is in no run.

    Args:
        place: A profile or plan, or the folder of one: a run's, its adapter's or its states'.
    """
    folder = place if place.is_dir() else place.parent
    saved = saved_flags(folder) or saved_flags(folder.parent)
    return {name: value for name, value in saved.items() if name in SOURCE_AND_WINDOWS}


def recorded_data(folder: Path) -> str:
    """Return what the profile in a folder says of its texts, or ""."""
    path = folder / PROFILE_FILE
    if not path.is_file():
        return ""
    data = read_json(path, kind=DimensionProfile.KIND).get("data", {})
    source = data.get("source", {})
    name = source.get("file") or source.get("dataset") or source.get("folder") or data.get("name")
    columns = [*(data.get("text_columns") or ()), data.get("label_column")]
    listed = ", ".join(map(repr, filter(None, columns)))
    return f"{name} (columns {listed})" if name and listed else str(name or "")


@contextlib.contextmanager
def holding(folder: Path, verb: str) -> Generator[None, None, None]:
    """Hold the folder of a verb that writes files of a run; the main process does for all."""
    if verb in _WRITING and is_main_process():
        with hold_folder(folder):
            yield
    else:
        yield


def check_folder(folder: Path) -> None:
    """Check that what a run would write does not replace what no run wrote.

    Raises:
        OutputExistsError: It would.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file, not a folder: give another --output_dir.")
    for name in (CONFIG_FILE, REPORT_FILE):
        if (folder / name).exists() and not _is_run(folder):
            raise OutputExistsError(
                f"{folder} holds a {name} and no {ENVIRONMENT_FILE}, so it is not the folder of a "
                "run. Give another --output_dir, or --overwrite to replace it."
            )


def read_stages(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what is recorded of each stage: its inputs, seconds and peak memory.

    Raises:
        ArtifactError: environment.json cannot be read.
    """
    path = folder / ENVIRONMENT_FILE
    return read_json(path, kind="environment").get("stages", {}) if path.exists() else {}


def check_inputs(folder: Path, stage: str, inputs: Mapping[str, Any], *, holds: str) -> None:
    """Check that what a folder holds came from these inputs.

    Args:
        folder: The run's folder.
        stage: "measure", "train" or "verify".
        inputs: What the stage would start from now.
        holds: What was found there, for the message.

    Raises:
        OutputExistsError: The inputs differ; the message names the first that does.
    """
    before = read_stages(folder).get(stage, {}).get("inputs")
    if before is None:
        difference = f"nothing says how its {holds} came about"
    else:
        names = sorted(before.keys() | inputs.keys())
        changed = [name for name in names if before.get(name) != inputs.get(name)]
        if not changed:
            return
        first = changed[0]
        difference = (
            f"{first} is {_shown(before.get(first))} there, {_shown(inputs.get(first))} now"
        )
    raise OutputExistsError(
        f"{folder} holds the {holds} of another run: {difference}. Give another --output_dir, or "
        "--overwrite to replace it."
    )


def write(
    config: Config,
    verb: str,
    *,
    stage: str,
    inputs: Mapping[str, Any],
    facts: Mapping[str, Any],
    **cost: float | None,
) -> None:
    """Write config.yaml and environment.json, keeping what other stages left in them.

    Of processes that were launched together the main one does, here as in `write_config`.

    Args:
        config: The flags.
        verb: The verb that was called.
        stage: The stage that the inputs and the cost belong to.
        inputs: What the stage starts from.
        facts: "device", "data" and "model_revision" of the environment.
        **cost: As far as it is known: seconds, peak_memory_bytes.
    """
    if not is_main_process():
        return
    stages = read_stages(config.folder)
    stages[stage] = {"inputs": dict(inputs), **cost}
    environment = describe_environment(**facts, stages=stages)
    write_config(config, verb)
    write_json(config.folder / ENVIRONMENT_FILE, environment, kind="environment")


def add_stage(folder: Path, stage: str, *, inputs: Mapping[str, Any], **cost: float | None) -> None:
    """Record a stage beside the others, and leave what the run said of its command and machine."""
    path = folder / ENVIRONMENT_FILE
    environment = read_json(path, kind="environment")
    environment["stages"][stage] = {"inputs": dict(inputs), **cost}
    write_json(path, environment, kind="environment")


def forget(folder: Path, stage: str) -> None:
    """Drop the record of a stage, whose result is replaced by one from elsewhere."""
    path = folder / ENVIRONMENT_FILE
    if path.exists() and is_main_process():
        environment = read_json(path, kind="environment")
        environment.get("stages", {}).pop(stage, None)
        write_json(path, environment, kind="environment")


def write_config(config: Config, verb: str, *, inherited: Mapping[str, Any] | None = None) -> None:
    """Write config.yaml: the flags of this verb, and those that other verbs left there.

    Args:
        config: The flags.
        verb: The verb that was called.
        inherited: Flags of the run that an input comes from, for want of others.
    """
    if not is_main_process():
        return
    path = config.folder / CONFIG_FILE
    mine = flags_of(verb)
    saved = {**(inherited or {}), **saved_flags(config.folder)}
    others = {name: value for name, value in saved.items() if name not in mine}
    flags = {**others, **resolved(config, verb)}
    again = f"{_how_to_repeat(flags)} --config {shlex.quote(str(path))}"
    header = (
        f"{_HEADER}{__version__}, written by: {shlex.join(command() or [])}\n"
        f"# To {again} --output_dir ANOTHER_FOLDER\n"
    )
    write_text(path, header + yaml.safe_dump(flags, sort_keys=False))


def _how_to_repeat(flags: Collection[str]) -> str:
    """Return what the first command is to be that does again what flags of these names say."""
    if "hidden_states" in flags:
        return "measure again: gelora measure"
    groups = {FLAGS.get(name) for name in flags}
    verifies_alone = "theory" in groups and "training" not in groups
    return f"repeat: gelora {'verify' if verifies_alone else 'run'}"


def sha256_of(rows: Iterable[Any]) -> str:
    """Return the SHA-256 of JSON-able rows."""
    return hashlib.sha256(canonical_json({"rows": list(rows)}).encode()).hexdigest()


def _is_run(folder: Path) -> bool:
    """Say whether a folder is a run's; planning alone leaves our config.yaml, no environment."""
    if (folder / ENVIRONMENT_FILE).exists():
        return True
    path = folder / CONFIG_FILE
    return path.is_file() and path.read_bytes().startswith(_HEADER.encode())


def _shown(value: object) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) > 60 else text
