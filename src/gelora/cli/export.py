"""`gelora export`: an adapter for servers, or a plan for other trainers, beside the run."""

import logging
from collections.abc import Iterator, Set
from dataclasses import asdict
from pathlib import Path
from typing import Any

from peft import PeftModel, TaskType
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from gelora.artifacts import (
    ADAPTER_FOLDER,
    ENVIRONMENT_FILE,
    METRICS_FILE,
    PLAN_FILE,
    locate,
    read_json,
)
from gelora.cli.config import Config
from gelora.cli.console import Output
from gelora.cli.forwarding import check_training, lora_arguments
from gelora.cli.record import saved_flags
from gelora.errors import ArtifactError, ConfigError
from gelora.exports import (
    export_axolotl,
    export_merged,
    export_peft_config,
    export_uniform,
    export_untrained,
)
from gelora.exports.saved import SavedAdapter, read_adapter
from gelora.model.loading import load_model, load_tokenizer, public_name
from gelora.ranks import RankPlan
from gelora.tasks import TASKS
from gelora.training.wrapping import TASK_TYPES, wrap

logger = logging.getLogger(__name__)


def main(config: Config) -> Output:
    """Write the exports that are asked for, and show where they are.

    Raises:
        ConfigError: None is asked for, or a flag cannot be read.
    """
    asked = {name for name, value in asdict(config.export).items() if value} - {"export_dir"}
    if not asked:
        raise ConfigError(
            "Say what to export: --uniform [RANK], --merged, --untrained, --axolotl or --peft."
        )
    folder = Path(config.export.export_dir or config.folder / "export")
    written: dict[str, Path] = {}
    if asked & {"uniform", "merged"}:
        written |= dict(_from_adapter(config, folder, asked))
    if asked & {"untrained", "axolotl", "peft"}:
        written |= dict(_from_plan(config, folder, asked))
    paths = {name: str(path) for name, path in written.items()}
    return Output("\n".join(f"{name:<10} {path}" for name, path in paths.items()), paths)


def _from_adapter(config: Config, folder: Path, asked: Set[str]) -> Iterator[tuple[str, Path]]:
    named = config.adapter_source.adapter
    source = config.folder / ADAPTER_FOLDER if named is None else Path(named)
    overwrite = config.run.overwrite
    rank = _uniform_rank(config.export.uniform)
    if "uniform" in asked:
        out = export_uniform(source, folder / "uniform", rank=rank, overwrite=overwrite)
        yield "uniform", out
    if "merged" in asked:
        adapter = read_adapter(source)
        base = adapter.config.get("base_model_name_or_path")
        model, tokenizer = _load(config, _trained_head(config, adapter), fallback=base)
        out = export_merged(source, folder / "merged", model, tokenizer, overwrite=overwrite)
        yield "merged", out


def _from_plan(config: Config, folder: Path, asked: Set[str]) -> Iterator[tuple[str, Path]]:
    plan = RankPlan.from_pretrained(locate(config.plan_source.plan or config.folder, PLAN_FILE))
    overwrite = config.run.overwrite
    model = _planned(config, plan)
    settings: Any = model.peft_config["default"]
    if "untrained" in asked:
        out = export_untrained(model, folder / "untrained", plan, overwrite=overwrite)
        yield "untrained", out
    if "axolotl" in asked:
        yield "axolotl", export_axolotl(settings, folder / "axolotl.yaml", overwrite=overwrite)
    if "peft" in asked:
        yield "peft", export_peft_config(settings, folder / "peft", overwrite=overwrite)


def _uniform_rank(text: str | None) -> int | None:
    if text in (None, "auto"):
        return None
    if not text.isdecimal():
        raise ConfigError(f"--uniform takes a rank, or no value for the smallest. Got {text!r}.")
    return int(text)


def _planned(config: Config, plan: RankPlan) -> PeftModel:
    """Put the plan on its model, under the run's seed, as training would."""
    check_training(config)
    head = _planned_head(config)
    model, _ = _load(config, head, fallback=None)
    # The files to come name the model as other machines know it.
    model.name_or_path = model.config.name_or_path = public_name(str(model.name_or_path))
    set_seed(config.run.seed)
    return wrap(model, plan, head["task"], **lora_arguments(config))


def _load(
    config: Config, head: dict[str, Any], *, fallback: str | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the model in the dtype it is stored in, never quantised, and its tokenizer."""
    flags = config.model
    name = flags.model_name_or_path or fallback or config.model_name
    source = {"revision": flags.model_revision, "trust_remote_code": flags.trust_remote_code}
    tokenizer = load_tokenizer(name, chat_template_path=flags.chat_template_path, **source)
    set_seed(config.run.seed)  # of a new head
    model = load_model(
        name, **head, dtype=flags.dtype, config_overrides=flags.config_overrides, **source
    )
    if flags.load_in_4bit or flags.load_in_8bit:
        logger.info("The export is made with the weights of %s as they are stored.", name)
    return model, tokenizer


def _run_head(config: Config) -> dict[str, Any] | None:
    """Return what the run says of its head, if it was trained."""
    path = config.folder / METRICS_FILE
    if not path.is_file() or not (config.folder / ENVIRONMENT_FILE).is_file():
        return None
    metrics = read_json(path, kind="metrics")
    labels = {name: metrics[name] for name in ("num_labels", "label_names") if metrics.get(name)}
    return {"task": metrics["problem"], **labels}


def _trained_head(config: Config, adapter: SavedAdapter) -> dict[str, Any]:
    """Return which head the adapter's model has, by its run or else by its own files."""
    known = _run_head(config)
    if known is not None:
        return known
    named = adapter.config.get("task_type")
    base_class = (adapter.config.get("auto_mapping") or {}).get("base_model_class", "")
    if base_class.endswith("ForQuestionAnswering"):  # PEFT names it where there is no task type
        return {"task": "question_answering"}
    problem = next((name for name, kind in TASK_TYPES.items() if kind == named), None)
    if named is None or problem is None:
        raise ArtifactError(
            f"The adapter names the task_type {named}, by which its model's head is unknown: merge "
            "it with peft's merge_and_unload."
        )
    if named != TaskType.SEQ_CLS:
        return {"task": problem}
    sides = [len(t) for name, t in adapter.tensors.items() if ".lora_" not in name and t.ndim == 2]
    num_labels = min(sides, default=2)
    return {
        "task": "regression" if num_labels == 1 else "classification",
        "num_labels": num_labels,
    }


def _planned_head(config: Config) -> dict[str, Any]:
    """Return which head the plan is for: the run's, else that of a causal language model."""
    known = _run_head(config)
    if known is not None:
        return known
    flags = saved_flags(config.folder)
    task = TASKS.get(flags.get("task_name") or "")
    problem = flags.get("problem_type") or (task.problem if task else "instruction_tuning")
    if task is not None and task.num_labels:
        return {"task": problem, "num_labels": task.num_labels, "label_names": task.label_names}
    if problem == "classification":
        raise ConfigError(
            f"{config.folder} does not say yet how many labels there are: train first."
        )
    return {"task": problem}
