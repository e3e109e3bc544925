"""Read and write the record of a run in its folder: config.yaml and environment.json.

A stage (measure, train, verify) is recorded with its inputs. Each input is a flag's value or a
hash. A stage with unchanged inputs is not done again. A stage with other inputs belongs to another
run, which is overwritten only with --overwrite. The record is written before the stage's own file,
so a file always has its inputs beside it, also after a crash.
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
    METRICS_FILE,
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
    """Return the flags for model and texts of the run that a file lies in; {} if it is in no run.

    Args:
        place: A profile or a plan, or a folder of a run, its adapter or its states.
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
    """Lock the folder while a verb writes to it; the main process locks it for all processes."""
    if verb in _WRITING and is_main_process():
        with hold_folder(folder):
            yield
    else:
        yield


def check_folder(folder: Path) -> None:
    """Check that a run would replace no files that are not a run's.

    Raises:
        OutputExistsError: The folder is a file, or holds such a file.
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
    """Return the record of each stage: its inputs, seconds and peak memory.

    Raises:
        ArtifactError: environment.json cannot be read.
    """
    path = folder / ENVIRONMENT_FILE
    return read_json(path, kind="environment").get("stages", {}) if path.exists() else {}


def trained_metrics(folder: Path) -> dict[str, Any]:
    """Return what metrics.json of a run says; {} if the folder is not that of a trained run."""
    path = folder / METRICS_FILE
    is_ours = path.is_file() and (folder / ENVIRONMENT_FILE).is_file()
    return read_json(path, kind="metrics") if is_ours else {}


def check_inputs(folder: Path, stage: str, inputs: Mapping[str, Any], *, holds: str) -> None:
    """Check that the result of a stage in a folder came from these inputs.

    Args:
        folder: The run's folder.
        stage: "measure", "train" or "verify".
        inputs: The inputs of the stage now.
        holds: The result in the folder, for the message.

    Raises:
        OutputExistsError: The inputs differ; the message names the first difference.
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
    """Write config.yaml and environment.json; the records of other stages stay.

    Only the main process writes.

    Args:
        config: The flags.
        verb: The verb that was called.
        stage: The stage that the inputs and the cost belong to.
        inputs: The inputs of the stage.
        facts: "device", "data" and "model_revision" of the environment.
        **cost: Its seconds and peak_memory_bytes, if they are known.
    """
    if not is_main_process():
        return
    stages = read_stages(config.folder)
    stages[stage] = {"inputs": dict(inputs), **cost}
    environment = describe_environment(**facts, stages=stages)
    write_config(config, verb)
    write_json(config.folder / ENVIRONMENT_FILE, environment, kind="environment")


def add_stage(folder: Path, stage: str, *, inputs: Mapping[str, Any], **cost: float | None) -> None:
    """Record a stage beside the others; the run's command and machine stay as they are."""
    path = folder / ENVIRONMENT_FILE
    environment = read_json(path, kind="environment")
    environment["stages"][stage] = {"inputs": dict(inputs), **cost}
    write_json(path, environment, kind="environment")


def forget(folder: Path, stage: str) -> None:
    """Remove the record of a stage whose result is replaced by a file from elsewhere."""
    path = folder / ENVIRONMENT_FILE
    if path.exists() and is_main_process():
        environment = read_json(path, kind="environment")
        environment.get("stages", {}).pop(stage, None)
        write_json(path, environment, kind="environment")


def write_config(config: Config, verb: str, *, inherited: Mapping[str, Any] | None = None) -> None:
    """Write config.yaml: the flags of this verb, and the flags that other verbs saved there.

    Args:
        config: The flags.
        verb: The verb that was called.
        inherited: Flags of the run that an input comes from; saved flags override them.
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
    """Return the command that repeats a run with these flags."""
    if "hidden_states" in flags:
        return "measure again: gelora measure"
    groups = {FLAGS.get(name) for name in flags}
    verifies_alone = "theory" in groups and "training" not in groups
    return f"repeat: gelora {'verify' if verifies_alone else 'run'}"


def sha256_of(rows: Iterable[Any]) -> str:
    """Return the SHA-256 of JSON-able rows."""
    return hashlib.sha256(canonical_json({"rows": list(rows)}).encode()).hexdigest()


def _is_run(folder: Path) -> bool:
    """Return whether a folder is a run's; planning alone leaves a config.yaml of ours there."""
    if (folder / ENVIRONMENT_FILE).exists():
        return True
    path = folder / CONFIG_FILE
    return path.is_file() and path.read_bytes().startswith(_HEADER.encode())


def _shown(value: object) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) > 60 else text
