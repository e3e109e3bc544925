"""The files of a local checkpoint: which are there, and whether they are whole.

It loads no weights and no torch.
"""

import functools
import json
import logging
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from safetensors import safe_open

from gelora.errors import ConfigError

logger = logging.getLogger(__name__)

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"

_LFS = b"version https://git-lfs"
_ZIP = b"PK\x03\x04"
_SMALL = ("config.json", "tokenizer*", "vocab*", "merges.txt", "spiece.model", "sentencepiece*")
_HUB_NAME = re.compile(r"[\w\-.]+(/[\w\-.]+)?")


def model_of(name_or_path: str) -> str:
    """Return the model to load: the base model of an adapter's folder, any other name as it is.

    Raises:
        ConfigError: The name is that of a file, of a folder that is not there or that holds no
            model, or of an adapter without its base model.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        raise ConfigError(f"{name_or_path} is a file: give the folder of the model that it is of.")
    if not path.is_dir():
        if path.is_absolute() or not _HUB_NAME.fullmatch(name_or_path) or name_or_path[0] == ".":
            raise ConfigError(
                f"There is no folder {name_or_path}: give the folder of a model, or a name on the "
                "Hub."
            )
        return name_or_path
    has_weights = any(path.glob("*.safetensors")) or any(path.glob("*.bin"))
    if any(path.glob("*.gguf")) and not has_weights:
        raise ConfigError(
            f"{name_or_path} holds a GGUF model for llama.cpp, which cannot be measured or "
            "trained: give the model that it was made from."
        )
    if (path / CONFIG).is_file():
        return str(path)
    if (path / ADAPTER_CONFIG).is_file():
        return _base_of_adapter(path)
    inside = [config.parent for config in sorted(path.glob(f"*/{CONFIG}"))]
    advice = f": give {inside[0]}." if inside else ", so it is not the folder of a model."
    raise ConfigError(f"{name_or_path} holds no {CONFIG}{advice}")


def is_tokenizer_folder(name_or_path: str) -> bool:
    """Say whether a local folder holds a tokenizer, and no adapter."""
    path = Path(name_or_path)
    return any(path.glob("tokenizer*")) and not (path / ADAPTER_CONFIG).is_file()


def check_checkpoint(folder: str) -> None:
    """Check that the files of a model in a local folder are whole; any other name passes.

    Raises:
        ConfigError: A file is a pointer of git-lfs, is cut short, or is missing.
    """
    path = Path(folder)
    if not path.is_dir():
        return
    for file in (file for pattern in _SMALL for file in sorted(path.glob(pattern))):
        _check_no_pointer(file)
    for file in _weights(path):
        _check_no_pointer(file)
        _check_whole(file)


def _weights(path: Path) -> Iterator[Path]:
    """Yield the files that the weights are loaded from.

    Raises:
        ConfigError: One that the index names is missing.
    """
    safe = sorted(path.glob("model*.safetensors"))
    yield from safe or sorted(path.glob("pytorch_model*.bin"))
    for index in (path / "model.safetensors.index.json", path / "pytorch_model.bin.index.json"):
        if index.is_file() and not (path / "model.safetensors").exists():
            _check_no_pointer(index)
            try:
                named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            except (ValueError, KeyError, AttributeError) as error:
                raise ConfigError(f"{index} is damaged: download the model again.") from error
            missing = sorted(name for name in named if not (path / name).is_file())
            if missing:
                raise ConfigError(
                    f"{path} lacks {len(missing)} of its {len(named)} files of weights, the first "
                    f"{missing[0]}: download the model again."
                )
            return


def _check_no_pointer(file: Path) -> None:
    with file.open("rb") as opened:
        start = opened.read(len(_LFS))
    if start == _LFS:
        raise ConfigError(
            f"{file} is a pointer of git-lfs, not the file itself: run `git lfs pull` in its "
            "repository, or download the model again."
        )


def _check_whole(file: Path) -> None:
    reason = ""
    if file.suffix == ".safetensors":
        try:
            with safe_open(file, framework="numpy"):
                pass
        except Exception as error:  # SafetensorError, which is no subclass of ours or OSError
            reason = f" ({error})"
    else:
        with file.open("rb") as opened:
            start = opened.read(len(_ZIP))
        if not start or (start == _ZIP and not zipfile.is_zipfile(file)):  # its end lists its parts
            reason = f" ({file.stat().st_size:,} bytes)"
    if reason:
        raise ConfigError(f"{file} is cut short or damaged{reason}: download the model again.")


def _base_of_adapter(folder: Path) -> str:
    """Return the base model of an adapter's folder, and say so.

    Raises:
        ConfigError: The adapter names none, or one that is not there.
    """
    try:
        settings = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        base = settings.get("base_model_name_or_path")
    except (ValueError, AttributeError):
        base = None
    if not base:
        raise ConfigError(
            f"{folder} holds an adapter that names no base model: give the base model."
        )
    try:
        model = model_of(str(base))
    except ConfigError as error:
        raise ConfigError(
            f"{folder} holds an adapter, and its base model cannot be loaded: {error}"
        ) from error
    _tell_adapter(str(folder), model)
    return model


@functools.cache
def _tell_adapter(folder: str, base: str) -> None:
    """Warn once that an adapter's folder was given as a model."""
    logger.warning(
        "Warning: %s is an adapter, not a model; its base model %s is loaded, without the adapter.",
        folder,
        base,
    )
