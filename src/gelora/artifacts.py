"""Read and write the JSON files of a run: sorted, indented, atomic, and each naming its kind.

A file says its `kind` and `schema_version`; reading checks both. Writing goes to a temporary file
in the same folder and is renamed, so a reader never sees half a file and a crash costs nothing.
Paths may be a file, the folder of a run, an adapter's folder, or a Hub repository's id.
"""

import hashlib
import json
import stat
import tempfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import msgspec

from gelora import hub
from gelora.errors import ArtifactError

SCHEMA_VERSION = 2

_OLDEST = {"dimension_profile": 2, "rank_plan": 2, "hidden_states": 2}
"""Oldest schema version of a kind of file that can still be read, where it is not 1."""

PROFILE_FILE = "dimension_profile.json"
PLAN_FILE = "rank_plan.json"
THEORY_FILE = "theory.json"
CUT_FILE = "cut.json"
METRICS_FILE = "metrics.json"
CONFIG_FILE = "config.yaml"
ENVIRONMENT_FILE = "environment.json"
REPORT_FILE = "report.html"
ADAPTER_FOLDER = "adapter"
CUT_FOLDER = "cut"

_WRITTEN_BY = {
    PROFILE_FILE: "gelora measure",
    PLAN_FILE: "gelora plan",
    THEORY_FILE: "gelora verify",
    CUT_FILE: "gelora cut",
}


def canonical_json(payload: Mapping[str, Any]) -> str:
    """Return the payload as JSON: keys sorted, two spaces, floats in full precision.

    Raises:
        ArtifactError: The payload holds NaN or infinity, which JSON cannot carry.
    """
    try:
        return json.dumps(payload, sort_keys=True, indent=2, allow_nan=False) + "\n"
    except ValueError as error:
        raise ArtifactError(
            f"A value that JSON cannot carry was to be written: {error}."
        ) from error


def content_hash(payload: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the payload's canonical JSON, as 64 hexadecimal digits.

    >>> content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1})
    True
    """
    return hashlib.sha256(canonical_json(payload).encode()).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step: a temporary file in the same folder, then a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        # open(), unlike mkstemp, gives the file the mode that the umask asks for
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def usual_mode(folder: Path) -> int:
    """Return the mode that the umask gives a new file: for files that a library writes as 0600."""
    probe = folder / f".{uuid.uuid4().hex}"
    probe.touch(exist_ok=False)
    try:
        return stat.S_IMODE(probe.stat().st_mode)
    finally:
        probe.unlink()


def write_json(path: Path, payload: Mapping[str, Any], *, kind: str) -> None:
    """Write `payload` with its `kind` and schema version.

    Raises:
        ArtifactError: The payload holds NaN or infinity.
    """
    stamped = {**payload, "kind": kind, "schema_version": SCHEMA_VERSION}
    write_text(path, canonical_json(stamped))


def read_json(path: Path, *, kind: str) -> dict[str, Any]:
    """Read a file that `write_json` wrote, less its kind and schema version.

    Raises:
        ArtifactError: The file is missing, truncated, of another kind or of a newer schema.
    """
    try:
        parsed: object = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"There is no file {path}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(
            f"{path} is not complete JSON ({error}): it was cut short or edited; make it again."
        ) from error
    if not isinstance(parsed, dict):
        raise ArtifactError(f"{path} holds no JSON object, so it is not a {kind}.")
    payload = cast("dict[str, Any]", parsed)
    found, version = payload.pop("kind", None), payload.pop("schema_version", None)
    if found != kind:
        raise ArtifactError(f"{path} is of kind {found!r}, not {kind!r}.")
    if isinstance(version, int) and version < _OLDEST.get(kind, 1):
        raise ArtifactError(
            f"{path} was written by an earlier gelora (schema version {version}), whose names have "
            "changed: make it again (docs/migration.md)."
        )
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise ArtifactError(
            f"{path} has schema version {version!r}, this gelora reads up to {SCHEMA_VERSION}: "
            "upgrade gelora, or make the file again."
        )
    return payload


def locate(source: str | Path, filename: str, **hub_arguments: Any) -> Path:
    """Return the path of one of a run's files.

    Args:
        source: The file itself, a folder that holds it (a run or its adapter), or a Hub id; a
            `Path` is never one of the Hub's.
        filename: The file's fixed name, as `PROFILE_FILE`.
        **hub_arguments: `revision`, `token` and `cache_dir` of `hf_hub_download`.

    Raises:
        ArtifactError: It is in none of these places.
    """
    path = Path(source)
    candidates = (path, path / filename, path / ADAPTER_FOLDER / filename)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if isinstance(source, Path) or path.exists() or not hub.is_hub_id(source):
        raise ArtifactError(
            f"{source} holds no {filename}: run {_WRITTEN_BY[filename]} first, or name where it is."
        )
    return hub.download(source, filename, **hub_arguments)


def _unknown_key(payload: Any, known: Any) -> str | None:
    """Return a key of a payload, at any depth, that another payload does not have."""
    found: Iterable[str | None] = ()
    if isinstance(payload, dict):
        pairs = cast("dict[str, Any]", payload).items()
        found = (
            name if name not in known else _unknown_key(part, known[name]) for name, part in pairs
        )
    elif isinstance(payload, list | tuple):
        parts = cast("Sequence[Any]", payload)
        found = (_unknown_key(part, other) for part, other in zip(parts, known, strict=True))
    return next((name for name in found if name is not None), None)


class Artifact:
    """Base of frozen dataclasses that have a JSON file, in a run's folder or on the Hub.

    The annotations of the fields say what the file may hold.

    Attributes:
        FILE: The file's fixed name.
        KIND: What the file says it is.
    """

    FILE: ClassVar[str]
    KIND: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as they stand in the file."""
        values = asdict(self)  # type: ignore[call-overload]
        return msgspec.to_builtins(values, str_keys=True)

    @classmethod
    def from_dict(cls, payload: Mapping[str, Any]) -> Self:
        """Rebuild the result from `to_dict`'s form.

        Raises:
            ArtifactError: A field is missing, unknown or of the wrong type, or fields contradict
                each other.
        """
        what = cls.KIND.replace("_", " ")
        try:
            result = msgspec.convert(payload, cls, str_keys=True)
        except msgspec.ValidationError as error:
            raise ArtifactError(
                f"The file of a {what} lacks or mistypes a field: {error}."
            ) from error
        whole = result.to_dict()
        for says, name in (
            ("has an unknown", _unknown_key(payload, whole)),
            ("lacks the", _unknown_key(whole, payload)),
        ):
            if name is not None:
                raise ArtifactError(f"The file of a {what} {says} field {name!r}.")
        result.check()
        return result

    def check(self) -> None:
        """Check that fields read from a file agree with each other.

        Raises:
            ArtifactError: They do not.
        """

    def content_hash(self) -> str:
        """Return the SHA-256 that files made from this one name it by."""
        return content_hash(self.to_dict())

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the file into a folder, and return its path."""
        path = Path(folder) / self.FILE
        write_json(path, self.to_dict(), kind=self.KIND)
        return path

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str | None = None,
    ) -> str:
        """Write the file into a repository on the Hub, beside what is there.

        Args:
            repo_id: "owner/name", or a name alone for the token's owner; made if it is not there.
            private: Whether a new repository is private; None for what the owner has set.
            token: That may write; None for HF_TOKEN, or the one of `hf auth login`.
            commit_message: None for one that names the file.

        Returns:
            The address of the commit.

        Raises:
            ArtifactError: There is no token, or the Hub cannot be reached or refuses.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return hub.push_folder(
                folder,
                repo_id,
                private=private,
                token=token,
                commit_message=commit_message or f"Upload {self.FILE}",
            )

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
    ) -> Self:
        """Read the result from its file, a run's or adapter's folder, or the Hub.

        Args:
            source: The file, a folder that holds it, or "owner/name" on the Hub.
            revision: Branch, tag or commit on the Hub; None for the newest.
            token: Token for the Hub; None for HF_TOKEN, or the one of `hf auth login`.
            cache_dir: Folder for files of the Hub; None for the usual one.

        Raises:
            ArtifactError: There is none, or it cannot be read.
        """
        path = locate(source, cls.FILE, revision=revision, token=token, cache_dir=cache_dir)
        payload = read_json(path, kind=cls.KIND)
        try:
            return cls.from_dict(payload)
        except ArtifactError as error:
            raise ArtifactError(
                f"{path} cannot be used, make it again if it is an earlier gelora's. {error}"
            ) from error
