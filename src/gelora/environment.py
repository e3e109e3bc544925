"""What a result was made with: the command, the versions and the machine."""

import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = ("accelerate", "datasets", "gelora", "numpy", "peft", "scikit-learn", "scipy", "torch")
PACKAGES += ("transformers",)

_AROUND = ("cli", "report", "exports", "lab/pages")
"""Parts of the package that change no result."""


def describe_environment(*, device: str, **facts: Any) -> dict[str, Any]:
    """Return the command, the versions and the machine, as `environment.json` has them.

    Args:
        device: That models run on, for people.
        **facts: What else is known, as of the model and the data.
    """
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "command": command(),
        "python": platform.python_version(),
        "packages": versions,
        "platform": platform.platform(),
        "processor_count": os.cpu_count(),
        "device": device,
        "git_commit": _git_commit(),
        **facts,
    }


@functools.cache
def source_sha256() -> str:
    """Return the SHA-256 of the code that decides a result: all but the command line and the pages.

    It tells results of other code apart where the version is the same.
    """
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if not name.startswith(tuple(f"{part}/" for part in _AROUND)):
            digest.update(f"{name}\n".encode())
            digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def command() -> list[str] | None:
    """Return the command line without the folder of its program; None of a notebook or a shell."""
    program, *arguments = sys.argv
    path = Path(program)
    if path.name in ("", "-c", "ipykernel_launcher.py"):
        return None
    if path.name == "gelora" or path.parts[-2:] == ("gelora", "__main__.py"):
        return ["gelora", *arguments]
    if path.suffix != ".py":
        return [path.name, *arguments]
    is_below = not path.is_absolute() and ".." not in path.parts
    return ["python", program if is_below else path.name, *arguments]


def _git_commit() -> str | None:
    """Return the commit of the folder the command was called in, or None outside a repository."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None
