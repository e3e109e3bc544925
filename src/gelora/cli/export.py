"""`gelora export`: an adapter for servers, or a plan for other trainers, beside the run."""

import logging
import warnings
from collections.abc import Iterator, Set
from dataclasses import asdict
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from gelora.artifacts import ADAPTER_FOLDER
from gelora.cli.config import Config
from gelora.cli.console import Output
from gelora.cli.forwarding import check_training, lora_arguments
from gelora.cli.heads import planned_head, trained_head
from gelora.errors import ConfigError, ServingWarning
from gelora.exports import (
    UNIFORM_RANKS,
    export_axolotl,
    export_merged,
    export_peft_config,
    export_uniform,
    export_untrained,
)
from gelora.exports.folders import check_file, check_folder
from gelora.exports.readers import reader_notes
from gelora.exports.saved import CONFIG_NAME, read_adapter
from gelora.exports.uniform import uniform_rank
from gelora.hidden_states.loading import load_model, load_tokenizer, public_name
from gelora.ranks import RankPlan
from gelora.training.train import wrap

_OF_A_PLAN = frozenset({"untrained", "axolotl", "peft"})
_AXOLOTL_FILE = "axolotl.yaml"
_HOLDS = {
    "uniform": CONFIG_NAME,
    "merged": "config.json",
    "untrained": CONFIG_NAME,
    "peft": CONFIG_NAME,
}
"""The folders, and a file that each such export holds."""

logger = logging.getLogger(__name__)


def main(config: Config) -> Output:
    """Write the exports that the flags name, and show where they are.

    Nothing is written if one of them exists already, or if the run does not say enough for one.

    Raises:
        ArtifactError: There is no plan or no adapter, or something is not to be replaced.
        ConfigError: No export is named, a flag cannot be read, or nothing says which model or head
            the plan is for.
    """
    exports = {name for name, value in asdict(config.export).items() if value} - {"export_dir"}
    if not exports:
        raise ConfigError(
            "Say what to export: --uniform [RANK], --merged, --untrained, --axolotl or --peft."
        )
    named = config.adapter_source.adapter
    source = config.folder / ADAPTER_FOLDER if named is None else Path(named)
    folder = Path(
        config.export.export_dir or Path(config.run.output_dir or config.folder) / "export"
    )
    rank = _uniform_already(config, source, exports)
    if rank is not None:
        exports -= {"uniform"}
    _check_free(folder, exports, source, overwrite=config.run.overwrite)
    planned = _checked_plan(config, exports) if exports & _OF_A_PLAN else None
    written: dict[str, Path] = {}
    if exports - _OF_A_PLAN:
        written |= dict(_from_adapter(config, source, folder, exports))
    if planned is not None:
        written |= dict(_from_plan(config, *planned, folder, exports))
    paths = {name: str(path) for name, path in written.items()}
    lines = [f"{name:<10} {path}" for name, path in paths.items()]
    if rank is not None:
        lines.insert(0, _serve_as_it_is(source, rank))
        paths["uniform"] = str(source)
    return Output("\n".join(lines), paths)


def _uniform_already(config: Config, source: Path, exports: Set[str]) -> int | None:
    """Return the rank of an adapter that needs no padding, where no other rank is named.

    Warns:
        ServingWarning: A server is known to refuse the adapter for another reason than its ranks.
    """
    if "uniform" not in exports or _uniform_rank(config.export.uniform) is not None:
        return None
    rank = uniform_rank(source)
    if rank is not None:
        for note in reader_notes(read_adapter(source)):
            warnings.warn(note, ServingWarning, stacklevel=2)
    return rank


def _serve_as_it_is(source: Path, rank: int) -> str:
    """Say that an adapter needs no export, and which server needs a larger rank."""
    sentence = f"The adapter is uniform already, of rank {rank}: serve it as it is from {source}."
    if rank in UNIFORM_RANKS:
        return sentence
    padded = next((size for size in UNIFORM_RANKS if size > rank), None)
    return f"{sentence} LoRAX needs a rank of its own: --uniform {padded}." if padded else sentence


def _check_free(folder: Path, exports: Set[str], source: Path, *, overwrite: bool) -> None:
    """Check all places before anything is written."""
    for name in exports & _HOLDS.keys():
        check_folder(folder / name, holds=_HOLDS[name], overwrite=overwrite, source=source)
    if "axolotl" in exports:
        check_file(folder / _AXOLOTL_FILE, overwrite=overwrite)


def _checked_plan(config: Config, exports: Set[str]) -> tuple[RankPlan, dict[str, Any]]:
    """Return the plan and which head its model gets, where all that its exports need is known."""
    check_training(config)
    plan = RankPlan.from_pretrained(config.plan_source.plan or config.folder)
    _known(config.model.model_name_or_path, "plan", config.folder)
    head = planned_head(config)
    if "axolotl" in exports and head["task"] != "instruction_tuning":
        raise ConfigError(
            f"axolotl trains language models, and the plan is for {head['task']}: export "
            "--untrained or --peft instead."
        )
    return plan, head


def _known(model: str | None, what: str, folder: Path) -> str:
    if model is None:
        raise ConfigError(
            f"{folder} does not say which model the {what} is for: add --model_name_or_path."
        )
    return model


def _from_adapter(
    config: Config, source: Path, folder: Path, exports: Set[str]
) -> Iterator[tuple[str, Path]]:
    overwrite = config.run.overwrite
    rank = _uniform_rank(config.export.uniform)
    merged = None
    if "merged" in exports:
        base = read_adapter(source).config.get("base_model_name_or_path")
        name = _known(config.model.model_name_or_path or base, "adapter", source)
        merged = name, trained_head(config, source)
    if "uniform" in exports:
        out = export_uniform(source, folder / "uniform", rank=rank, overwrite=overwrite)
        yield "uniform", out
    if merged is not None:
        model, tokenizer = _load(config, *merged)
        out = export_merged(source, folder / "merged", model, tokenizer, overwrite=overwrite)
        yield "merged", out


def _from_plan(
    config: Config, plan: RankPlan, head: dict[str, Any], folder: Path, exports: Set[str]
) -> Iterator[tuple[str, Path]]:
    overwrite = config.run.overwrite
    model = _planned(config, plan, head)
    settings: Any = model.peft_config["default"]
    if "axolotl" in exports:  # first, for it may refuse the alphas
        yield "axolotl", export_axolotl(settings, folder / _AXOLOTL_FILE, overwrite=overwrite)
    if "untrained" in exports:
        out = export_untrained(model, folder / "untrained", plan, overwrite=overwrite)
        yield "untrained", out
    if "peft" in exports:
        yield "peft", export_peft_config(settings, folder / "peft", overwrite=overwrite)


def _uniform_rank(text: str | None) -> int | None:
    if text in (None, "auto"):
        return None
    if not text.isdecimal():
        raise ConfigError(f"--uniform takes a rank, or no value for the smallest. Got {text!r}.")
    return int(text)


def _planned(config: Config, plan: RankPlan, head: dict[str, Any]) -> PeftModel:
    """Put the plan on its model, under the run's seed, as training would."""
    model, _ = _load(config, config.model_name, head)
    # The files to come name the model as other machines know it.
    model.name_or_path = model.config.name_or_path = public_name(str(model.name_or_path))
    set_seed(config.run.seed)
    return wrap(model, plan, head["task"], **lora_arguments(config))


def _load(
    config: Config, name: str, head: dict[str, Any]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the model in the dtype it is stored in, never quantised, and its tokenizer."""
    flags = config.model
    source = {"revision": flags.model_revision, "trust_remote_code": flags.trust_remote_code}
    tokenizer = load_tokenizer(name, chat_template_path=flags.chat_template_path, **source)
    set_seed(config.run.seed)  # of a new head
    model = load_model(
        name, **head, dtype=flags.dtype, config_overrides=flags.config_overrides, **source
    )
    if flags.load_in_4bit or flags.load_in_8bit:
        logger.info("The export is made with the weights of %s as they are stored.", name)
    return model, tokenizer
